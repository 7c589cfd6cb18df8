#include "io/keras/losses.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

#include "graph/print.hpp"
#include "io/keras/classes.hpp"
#include "nn/confusion_metrics.hpp"
#include "nn/score_metrics.hpp"

namespace weft::keras {

// ---- losses

static void describe(nn::Fields& f, nn::CategoricalCrossentropy& l) {
  f("reduction", l.reduction)("from_logits", l.from_logits);
  f("label_smoothing", l.label_smoothing)("axis", l.axis);
}
static void describe(nn::Fields& f, nn::SparseCategoricalCrossentropy& l) {
  f("reduction", l.reduction)("from_logits", l.from_logits);
  if (l.ignore_class || dynamic_cast<ReadFields*>(&f) != nullptr) {
    f("ignore_class", l.ignore_class);
  }
  if (l.axis != -1 || dynamic_cast<ReadFields*>(&f) != nullptr) f("axis", l.axis);
}
static void describe(nn::Fields& f, nn::BinaryCrossentropy& l) {
  f("reduction", l.reduction)("from_logits", l.from_logits);
  f("label_smoothing", l.label_smoothing)("axis", l.axis);
}
static void describe(nn::Fields& f, nn::CategoricalFocalCrossentropy& l) {
  f("reduction", l.reduction)("alpha", l.alpha)("gamma", l.gamma)("from_logits", l.from_logits);
  f("label_smoothing", l.label_smoothing)("axis", l.axis);
}
static void describe(nn::Fields& f, nn::BinaryFocalCrossentropy& l) {
  f("reduction", l.reduction)("apply_class_balancing", l.apply_class_balancing);
  f("alpha", l.alpha)("gamma", l.gamma)("from_logits", l.from_logits);
  f("label_smoothing", l.label_smoothing)("axis", l.axis);
}
static void describe(nn::Fields& f, nn::CategoricalGeneralizedCrossEntropy& l) {
  f("reduction", l.reduction)("q", l.q);
}
static void describe(nn::Fields& f, nn::Huber& l) { f("reduction", l.reduction)("delta", l.delta); }
static void describe(nn::Fields& f, nn::CosineSimilarity& l) {
  f("reduction", l.reduction)("axis", l.axis);
}
static void describe(nn::Fields& f, nn::Dice& l) { f("reduction", l.reduction)("axis", l.axis); }
static void describe(nn::Fields& f, nn::Tversky& l) {
  f("reduction", l.reduction)("alpha", l.alpha)("beta", l.beta)("axis", l.axis);
}
/// Losses without arguments of their own.
template <class T>
requires requires(T loss) {
  loss.reduction;
  { T::name() } -> std::convertible_to<std::string_view>;
}
static void describe(nn::Fields& f, T& l) { f("reduction", l.reduction); }

namespace {

template <class T>
constexpr auto loss_class = class_of<nn::Loss, T>;

constexpr std::array losses{
    loss_class<nn::CategoricalCrossentropy>("CategoricalCrossentropy"),
    loss_class<nn::SparseCategoricalCrossentropy>("SparseCategoricalCrossentropy"),
    loss_class<nn::BinaryCrossentropy>("BinaryCrossentropy"),
    loss_class<nn::CategoricalFocalCrossentropy>("CategoricalFocalCrossentropy"),
    loss_class<nn::BinaryFocalCrossentropy>("BinaryFocalCrossentropy"),
    loss_class<nn::CategoricalGeneralizedCrossEntropy>("CategoricalGeneralizedCrossEntropy"),
    loss_class<nn::KLDivergence>("KLDivergence"),
    loss_class<nn::Poisson>("Poisson"),
    loss_class<nn::MeanSquaredError>("MeanSquaredError"),
    loss_class<nn::MeanAbsoluteError>("MeanAbsoluteError"),
    loss_class<nn::MeanAbsolutePercentageError>("MeanAbsolutePercentageError"),
    loss_class<nn::MeanSquaredLogarithmicError>("MeanSquaredLogarithmicError"),
    loss_class<nn::Huber>("Huber"),
    loss_class<nn::LogCosh>("LogCosh"),
    loss_class<nn::CosineSimilarity>("CosineSimilarity"),
    loss_class<nn::Hinge>("Hinge"),
    loss_class<nn::SquaredHinge>("SquaredHinge"),
    loss_class<nn::CategoricalHinge>("CategoricalHinge"),
    loss_class<nn::Dice>("Dice"),
    loss_class<nn::Tversky>("Tversky"),
};

/// Names that Keras has had for functions of losses and metrics.
std::string present_name(const std::string& name) {
  static const std::map<std::string, std::string> now{
      {"kullback_leibler_divergence", "kl_divergence"},
      {"huber_loss", "huber"},
      {"logcosh", "log_cosh"},
      {"cosine_proximity", "cosine_similarity"},
      {"KLD", "kl_divergence"},
  };
  const auto found = now.find(name);
  return found == now.end() ? name : found->second;
}

}  // namespace

nn::Loss read_loss(const Json& value) {
  if (value.is_null()) return {};
  const std::string where = "loss";
  // A function is {"class_name": "function", "config": "mean_squared_error"} in Keras 3.
  const Json& name = member(value, "class_name") == "function" ? member(value, "config") : value;
  if (name.is_string()) {
    try {
      return {present_name(name.get<std::string>())};
    } catch (const ArgumentError& error) {
      fail<UnsupportedError>("{}", error.what());
    }
  }
  Json object = value;
  const Described it = described(value, where);
  if (it.config->is_object()) {
    Json& config = object["config"];
    if (member(config, "reduction") == "auto" || member(config, "reduction") == "none") {
      config["reduction"] = "sum_over_batch_size";
    }
    config.erase("fn");
  }
  return read_object(object, where, "loss", losses);
}

Json write_loss(const nn::Loss& loss, Generation to) {
  Json object = write_object(loss, "loss", "loss", "keras.losses", losses, to);
  const Json standard =
      write_object(nn::Loss(loss.name), "loss", "loss", "keras.losses", losses, to);
  if (object == standard) return loss.name;
  object["config"]["name"] = loss.name;
  return object;
}

// ---- metrics

static void describe(nn::Fields& f, nn::BinaryAccuracy& m) { f("threshold", m.threshold); }
static void describe(nn::Fields& f, nn::TopKCategoricalAccuracy& m) { f("k", m.k); }
static void describe(nn::Fields& f, nn::SparseTopKCategoricalAccuracy& m) {
  f("k", m.k);
  // Keras 3.4 does not know it.
  if (m.from_sorted_ids || dynamic_cast<ReadFields*>(&f) != nullptr) {
    f("from_sorted_ids", m.from_sorted_ids);
  }
}
static void describe(nn::Fields& f, nn::PearsonCorrelation& m) { f("axis", m.axis); }
static void describe(nn::Fields& f, nn::ConcordanceCorrelation& m) { f("axis", m.axis); }
static void describe(nn::Fields& f, nn::AUC& m) {
  f("num_thresholds", m.num_thresholds)("curve", m.curve);
  f("summation_method", m.summation_method)("thresholds", m.thresholds);
  f("multi_label", m.multi_label)("num_labels", m.num_labels)("label_weights", m.label_weights);
  f("from_logits", m.from_logits);
}
static void describe(nn::Fields& f, nn::FBetaScore& m) {
  f("average", m.average)("beta", m.beta)("threshold", m.threshold);
}
static void describe(nn::Fields& f, nn::F1Score& m) {
  f("average", m.average)("threshold", m.threshold);
}
static void describe(nn::Fields& f, nn::R2Score& m) {
  f("class_aggregation", m.class_aggregation)("num_regressors", m.num_regressors);
}
static void describe(nn::Fields& f, nn::IoU& m) {
  f("num_classes", m.num_classes)("target_class_ids", m.target_class_ids);
  f("ignore_class", m.ignore_class)("sparse_y_true", m.sparse_y_true);
  f("sparse_y_pred", m.sparse_y_pred)("axis", m.axis);
}
static void describe(nn::Fields& f, nn::MeanIoU& m) {
  f("num_classes", m.num_classes)("ignore_class", m.ignore_class);
  f("sparse_y_true", m.sparse_y_true)("sparse_y_pred", m.sparse_y_pred)("axis", m.axis);
}
static void describe(nn::Fields& f, nn::OneHotIoU& m) {
  f("num_classes", m.num_classes)("target_class_ids", m.target_class_ids);
  f("ignore_class", m.ignore_class)("sparse_y_pred", m.sparse_y_pred)("axis", m.axis);
}
static void describe(nn::Fields& f, nn::OneHotMeanIoU& m) {
  f("num_classes", m.num_classes)("ignore_class", m.ignore_class);
  f("sparse_y_pred", m.sparse_y_pred)("axis", m.axis);
}
static void describe(nn::Fields& f, nn::BinaryIoU& m) {
  f("target_class_ids", m.target_class_ids)("threshold", m.threshold);
}
static void describe(nn::Fields& f, nn::SensitivityAtSpecificity& m) {
  f("specificity", m.specificity)("num_thresholds", m.num_thresholds)("class_id", m.class_id);
}
static void describe(nn::Fields& f, nn::SpecificityAtSensitivity& m) {
  f("sensitivity", m.sensitivity)("num_thresholds", m.num_thresholds)("class_id", m.class_id);
}
static void describe(nn::Fields& f, nn::PrecisionAtRecall& m) {
  f("recall", m.recall)("num_thresholds", m.num_thresholds)("class_id", m.class_id);
}
static void describe(nn::Fields& f, nn::RecallAtPrecision& m) {
  f("precision", m.precision)("num_thresholds", m.num_thresholds)("class_id", m.class_id);
}
/// Counts above thresholds, and metrics without arguments.
template <class T>
requires nn::MetricType<T> &&
    (!requires(T loss) { loss.reduction; }) static void describe(nn::Fields& f, T& m) {
  if constexpr (requires { m.thresholds; }) f("thresholds", m.thresholds);
  if constexpr (requires { m.top_k; }) f("top_k", m.top_k);
  if constexpr (requires { m.class_id; }) f("class_id", m.class_id);
}

namespace {

template <class T>
constexpr auto metric_class = class_of<nn::Metric, T>;

constexpr std::array metrics{
    metric_class<nn::Accuracy>("Accuracy"),
    metric_class<nn::BinaryAccuracy>("BinaryAccuracy"),
    metric_class<nn::CategoricalAccuracy>("CategoricalAccuracy"),
    metric_class<nn::SparseCategoricalAccuracy>("SparseCategoricalAccuracy"),
    metric_class<nn::TopKCategoricalAccuracy>("TopKCategoricalAccuracy"),
    metric_class<nn::SparseTopKCategoricalAccuracy>("SparseTopKCategoricalAccuracy"),
    metric_class<nn::RootMeanSquaredError>("RootMeanSquaredError"),
    metric_class<nn::LogCoshError>("LogCoshError"),
    metric_class<nn::PearsonCorrelation>("PearsonCorrelation"),
    metric_class<nn::ConcordanceCorrelation>("ConcordanceCorrelation"),
    metric_class<nn::TruePositives>("TruePositives"),
    metric_class<nn::TrueNegatives>("TrueNegatives"),
    metric_class<nn::FalsePositives>("FalsePositives"),
    metric_class<nn::FalseNegatives>("FalseNegatives"),
    metric_class<nn::Precision>("Precision"),
    metric_class<nn::Recall>("Recall"),
    metric_class<nn::SensitivityAtSpecificity>("SensitivityAtSpecificity"),
    metric_class<nn::SpecificityAtSensitivity>("SpecificityAtSensitivity"),
    metric_class<nn::PrecisionAtRecall>("PrecisionAtRecall"),
    metric_class<nn::RecallAtPrecision>("RecallAtPrecision"),
    metric_class<nn::AUC>("AUC"),
    metric_class<nn::FBetaScore>("FBetaScore"),
    metric_class<nn::F1Score>("F1Score"),
    metric_class<nn::R2Score>("R2Score"),
    metric_class<nn::IoU>("IoU"),
    metric_class<nn::MeanIoU>("MeanIoU"),
    metric_class<nn::OneHotIoU>("OneHotIoU"),
    metric_class<nn::OneHotMeanIoU>("OneHotMeanIoU"),
    metric_class<nn::BinaryIoU>("BinaryIoU"),
    // Losses, which have no reduction here.
    metric_class<nn::CategoricalCrossentropy>("CategoricalCrossentropy"),
    metric_class<nn::SparseCategoricalCrossentropy>("SparseCategoricalCrossentropy"),
    metric_class<nn::BinaryCrossentropy>("BinaryCrossentropy"),
    metric_class<nn::KLDivergence>("KLDivergence"),
    metric_class<nn::Poisson>("Poisson"),
    metric_class<nn::MeanSquaredError>("MeanSquaredError"),
    metric_class<nn::MeanAbsoluteError>("MeanAbsoluteError"),
    metric_class<nn::MeanAbsolutePercentageError>("MeanAbsolutePercentageError"),
    metric_class<nn::MeanSquaredLogarithmicError>("MeanSquaredLogarithmicError"),
    metric_class<nn::CosineSimilarity>("CosineSimilarity"),
    metric_class<nn::Hinge>("Hinge"),
    metric_class<nn::SquaredHinge>("SquaredHinge"),
    metric_class<nn::CategoricalHinge>("CategoricalHinge"),
};

nn::Metric metric_of_name(const std::string& name) {
  try {
    return {present_name(name)};
  } catch (const ArgumentError& error) {
    fail<UnsupportedError>("{}", error.what());
  }
}

}  // namespace

nn::Metric read_metric(const Json& value) {
  if (value.is_string()) {
    nn::Metric metric = metric_of_name(value.get<std::string>());
    metric.name = value.get<std::string>();
    return metric;
  }
  const Described object = described(value, "metric");
  if (object.config->is_string()) return metric_of_name(object.config->get<std::string>());
  const Json& shown = member(*object.config, "name");
  const Json& fn = member(*object.config, "fn");
  const Json& function = fn.is_string() ? fn : member(fn, "config");
  const bool is_class = std::ranges::any_of(
      metrics, [&](const auto& known) { return nn::same_name(known.name, object.class_name); });
  nn::Metric metric = function.is_string() ? metric_of_name(function.get<std::string>())
                      : is_class           ? read_object(value, "metric", "metric", metrics)
                                           : metric_of_name(object.class_name);
  if (shown.is_string()) metric.name = shown.get<std::string>();
  return metric;
}

Json write_metric(const nn::Metric& metric) {
  const bool is_class = std::ranges::any_of(metrics, [&](const auto& known) {
    Json unused = Json::object();
    WriteFields fields(unused, "metric", Generation::keras3);
    return known.write(metric, fields);
  });
  if (!is_class) {  // a function by its name, or the program's own
    try {
      return nn::Metric(metric.name).name;
    } catch (const ArgumentError&) {
      fail<UnsupportedError>("metric \"{}\" is a function of the program's, which no file can hold",
                             metric.name);
    }
  }
  Json object =
      write_object(metric, "metric", "metric", "keras.metrics", metrics, Generation::keras3);
  try {
    // By name where all is as by default; but a class that Keras finds by its name gets a number
    // behind it if it is the second of its class in the program.
    static const std::set<std::string, std::less<>> classes{"true_positives",
                                                            "true_negatives",
                                                            "false_positives",
                                                            "false_negatives",
                                                            "precision",
                                                            "recall",
                                                            "auc",
                                                            "f1_score",
                                                            "fbeta_score",
                                                            "binary_iou",
                                                            "r2_score",
                                                            "root_mean_squared_error",
                                                            "log_cosh_error",
                                                            "pearson_correlation",
                                                            "concordance_correlation"};
    if (!classes.contains(metric.name) &&
        object == write_object(nn::Metric(metric.name), "metric", "metric", "keras.metrics",
                               metrics, Generation::keras3)) {
      return metric.name;
    }
  } catch (const Error&) {  // it has a name of its own
  }
  object["config"].erase("reduction");
  object["config"]["name"] = metric.name;
  return object;
}

}  // namespace weft::keras
