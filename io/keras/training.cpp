#include "io/keras/training.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/classes.hpp"

namespace weft::keras {

// ---- optimizers

static void describe(nn::Fields& f, nn::SGD& o) {
  f("learning_rate", o.learning_rate)("momentum", o.momentum)("nesterov", o.nesterov);
}
static void describe(nn::Fields& f, nn::RMSprop& o) {
  f("learning_rate", o.learning_rate)("rho", o.rho)("momentum", o.momentum);
  f("epsilon", o.epsilon)("centered", o.centered);
}
static void describe(nn::Fields& f, nn::Adam& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon)("amsgrad", o.amsgrad);
}
static void describe(nn::Fields& f, nn::AdamW& o) {
  f("learning_rate", o.learning_rate)("weight_decay", o.weight_decay)("beta_1", o.beta_1);
  f("beta_2", o.beta_2)("epsilon", o.epsilon)("amsgrad", o.amsgrad);
}
static void describe(nn::Fields& f, nn::Adadelta& o) {
  f("learning_rate", o.learning_rate)("rho", o.rho)("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Adagrad& o) {
  f("learning_rate", o.learning_rate);
  f("initial_accumulator_value", o.initial_accumulator_value)("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Adamax& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Adafactor& o) {
  f("learning_rate", o.learning_rate)("beta_2_decay", o.beta_2_decay)("epsilon_1", o.epsilon_1);
  f("epsilon_2", o.epsilon_2)("clip_threshold", o.clip_threshold);
  f("relative_step", o.relative_step);
}
static void describe(nn::Fields& f, nn::Nadam& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Ftrl& o) {
  f("learning_rate", o.learning_rate)("learning_rate_power", o.learning_rate_power);
  f("initial_accumulator_value", o.initial_accumulator_value);
  f("l1_regularization_strength", o.l1_regularization_strength);
  f("l2_regularization_strength", o.l2_regularization_strength);
  f("l2_shrinkage_regularization_strength", o.l2_shrinkage_regularization_strength);
  f("beta", o.beta);
}
static void describe(nn::Fields& f, nn::Lion& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
}
static void describe(nn::Fields& f, nn::Lamb& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Muon& o) {
  f("learning_rate", o.learning_rate)("adam_beta_1", o.adam_beta_1);
  f("adam_beta_2", o.adam_beta_2)("adam_weight_decay", o.adam_weight_decay);
  f("epsilon", o.epsilon)("weight_decay", o.weight_decay)("exclude_layers", o.exclude_layers);
  f("exclude_embeddings", o.exclude_embeddings)("muon_a", o.muon_a)("muon_b", o.muon_b);
  f("muon_c", o.muon_c)("adam_lr_ratio", o.adam_lr_ratio)("momentum", o.momentum);
  f("ns_steps", o.ns_steps)("nesterov", o.nesterov)("rms_rate", o.rms_rate);
}
static void describe(nn::Fields& f, nn::ScheduleFreeAdamW& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon)("warmup_steps", o.warmup_steps);
}

static void describe_common(nn::Fields& f, nn::OptimizerConfig& c, bool has_weight_decay) {
  if (!has_weight_decay) f("weight_decay", c.weight_decay);
  f("clipnorm", c.clipnorm)("global_clipnorm", c.global_clipnorm)("clipvalue", c.clipvalue);
  f("use_ema", c.use_ema)("ema_momentum", c.ema_momentum);
  f("ema_overwrite_frequency", c.ema_overwrite_frequency);
  f("loss_scale_factor", c.loss_scale_factor);
  f("gradient_accumulation_steps", c.gradient_accumulation_steps);
}

namespace {

struct OptimizerClass {
  std::string_view name;
  nn::Optimizer (*read)(ReadFields&);
  bool (*write)(const nn::Optimizer&, WriteFields&, bool with_common);
};

template <class T>
constexpr OptimizerClass optimizer_class(std::string_view name) {
  constexpr bool has_weight_decay = requires(T object) { object.weight_decay; };
  return {name,
          [](ReadFields& fields) -> nn::Optimizer {
            T object{};
            describe(fields, object);
            nn::OptimizerConfig common;
            describe_common(fields, common, has_weight_decay);
            return {std::move(object), std::move(common)};
          },
          [](const nn::Optimizer& any, WriteFields& fields, bool with_common) {
            const T* object = any.as<T>();
            if (object == nullptr) return false;
            T copy = *object;
            describe(fields, copy);
            nn::OptimizerConfig common = any.config;
            if (with_common) describe_common(fields, common, has_weight_decay);
            return true;
          }};
}

constexpr std::array optimizers{
    optimizer_class<nn::SGD>("SGD"),
    optimizer_class<nn::RMSprop>("RMSprop"),
    optimizer_class<nn::Adam>("Adam"),
    optimizer_class<nn::AdamW>("AdamW"),
    optimizer_class<nn::Adadelta>("Adadelta"),
    optimizer_class<nn::Adagrad>("Adagrad"),
    optimizer_class<nn::Adamax>("Adamax"),
    optimizer_class<nn::Adafactor>("Adafactor"),
    optimizer_class<nn::Nadam>("Nadam"),
    optimizer_class<nn::Ftrl>("Ftrl"),
    optimizer_class<nn::Lion>("Lion"),
    optimizer_class<nn::Lamb>("Lamb"),
    optimizer_class<nn::Muon>("Muon"),
    optimizer_class<nn::ScheduleFreeAdamW>("ScheduleFreeAdamW"),
};

nn::Optimizer read_optimizer_config(const Json& value) {
  const std::string where = "optimizer";
  if (value.is_string()) return {value.get<std::string>()};
  const Described object = described(value, where);
  for (const OptimizerClass& known : optimizers) {
    if (!nn::same_name(known.name, object.class_name)) continue;
    Json config = *object.config;
    // Before 2.3 it was called lr; a decay of the rate over time was an argument until 2.10.
    if (!config.contains("learning_rate") && config.contains("lr")) {
      config["learning_rate"] = config["lr"];
    }
    const Json& decay = member(config, "decay");
    if (decay.is_number() && decay.get<double>() != 0) {
      Json schedule = Json::object();
      schedule["class_name"] = "InverseTimeDecay";
      schedule["config"] = {{"initial_learning_rate", config["learning_rate"]},
                            {"decay_steps", 1},
                            {"decay_rate", decay}};
      config["learning_rate"] = std::move(schedule);
    }
    ReadFields fields(config, where + " " + object.class_name, Generation::keras3);
    for (const char* key : {"name", "lr", "decay", "jit_compile", "is_legacy_optimizer"}) {
      fields.ignore(key);
    }
    const nn::Optimizer optimizer = known.read(fields);
    fields.finish();
    return optimizer;
  }
  fail<UnsupportedError>("optimizer: there is no \"{}\"", object.class_name);
}

/// What is common to all optimizers and not as it is by default.
bool says_nothing(const nn::OptimizerConfig& c) {
  return !c.weight_decay && !c.clipnorm && !c.global_clipnorm && !c.clipvalue && !c.use_ema &&
         !c.ema_overwrite_frequency && !c.loss_scale_factor && !c.gradient_accumulation_steps;
}

Json write_optimizer_config(const nn::Optimizer& optimizer, Generation to) {
  const nn::OptimizerConfig& common = optimizer.config;
  if (!common.exclude_from_weight_decay.empty()) {
    fail<UnsupportedError>("optimizer \"{}\": exclude_from_weight_decay is no part of Keras' files",
                           optimizer.name);
  }
  // Keras 2 knows no more of it than the clips.
  const bool with_common = to == Generation::keras3 || !says_nothing(common);
  for (const OptimizerClass& known : optimizers) {
    Json config = Json::object();
    config["name"] = optimizer.name;
    WriteFields fields(config, "optimizer", to);
    if (!known.write(optimizer, fields, with_common)) continue;
    if (to == Generation::keras2) {
      Json said = Json::object();
      for (const auto& [key, value] : config.items()) {
        if (!value.is_null()) said[key] = value;
      }
      config = std::move(said);
    }
    return object_of("keras.optimizers", known.name, std::move(config), to);
  }
  fail<UnsupportedError>("optimizer \"{}\" is of the program's own type, which no file can hold",
                         optimizer.name);
}

}  // namespace

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

/// By name where all is as by default, since older Keras read that; else as an object.
Json write_loss(const nn::Loss& loss, Generation to) {
  Json object = write_object(loss, "loss", "loss", "keras.losses", losses, to);
  const Json standard =
      write_object(nn::Loss(loss.name), "loss", "loss", "keras.losses", losses, to);
  if (object == standard) return loss.name;
  object["config"]["name"] = loss.name;
  return object;
}

/// Losses by output: one for all, a list, or an object.
template <class F>
void for_each_output(const Json& value, const std::vector<std::string>& outputs,
                     std::string_view what, F f) {
  if (value.is_array() && value.size() == outputs.size()) {
    for (std::size_t i = 0; i < outputs.size(); ++i) f(i, value[i]);
  } else if (value.is_object()) {
    for (const auto& [name, one] : value.items()) {
      const auto at = std::find(outputs.begin(), outputs.end(), name);
      if (at == outputs.end()) {
        fail<IoError>("{}: there is no output \"{}\"; there are: {}", what, name,
                      fmt::join(outputs, ", "));
      }
      f(static_cast<std::size_t>(at - outputs.begin()), one);
    }
  } else {
    fail<IoError>("{}: {} outputs, but {}", what, outputs.size(), excerpt(value));
  }
}

}  // namespace

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

/// A metric by its name, as a class, or as Keras' wrapper of a function.
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

/// One list for all outputs, or one for each.
std::vector<nn::Metric> read_metrics(const Json& value) {
  std::vector<nn::Metric> result;
  if (value.is_null()) return result;
  if (!value.is_array()) return {read_metric(value)};
  for (const Json& one : value) {
    if (!one.is_null()) result.push_back(read_metric(one));
  }
  return result;
}

bool is_by_output(const Json& value, std::size_t outputs) {
  if (value.is_object()) return member(value, "class_name").is_null();
  if (!value.is_array() || value.empty()) return false;
  const bool lists = std::ranges::any_of(value, [](const Json& one) { return one.is_array(); });
  return lists && (outputs > 1 || value.size() == 1);
}

void append(std::vector<nn::Metric>& to, const std::vector<nn::Metric>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

nn::OutputOptions& of_output(nn::TrainOptions& options, const std::string& output) {
  for (auto& [name, its] : options.outputs) {
    if (name == output) return its;
  }
  return options.outputs.emplace_back(output, nn::OutputOptions{}).second;
}

Json list_of(const std::vector<nn::Metric>& metrics) {
  Json list = Json::array();
  for (const nn::Metric& metric : metrics) list.push_back(write_metric(metric));
  return list;
}

}  // namespace

std::optional<nn::TrainOptions> read_training(const Json& training, const nn::Model& model) {
  const Json& optimizer = training.contains("optimizer_config")
                              ? member(training, "optimizer_config")
                              : member(training, "optimizer");
  const Json& loss = member(training, "loss");
  if (optimizer.is_null() || loss.is_null()) return std::nullopt;
  const std::vector<std::string> outputs = model.output_names();
  nn::TrainOptions options{.optimizer = read_optimizer_config(optimizer)};
  if (loss.is_string() || !member(loss, "class_name").is_null()) {
    options.loss = read_loss(loss);
  } else {
    for_each_output(loss, outputs, "loss", [&](std::size_t i, const Json& one) {
      of_output(options, outputs[i]).loss = read_loss(one);
    });
  }
  const Json& weights = member(training, "loss_weights");
  if (!weights.is_null() && !weights.empty()) {
    for_each_output(weights, outputs, "loss_weights", [&](std::size_t i, const Json& one) {
      if (one.is_number()) of_output(options, outputs[i]).loss_weight = one.get<double>();
    });
  }
  const auto read = [&](const char* key, std::vector<nn::Metric>& all,
                        std::vector<nn::Metric> nn::OutputOptions::*own) {
    const Json& value = member(training, key);
    if (!is_by_output(value, outputs.size())) return append(all, read_metrics(value));
    for_each_output(value, outputs, key, [&](std::size_t i, const Json& one) {
      append(outputs.size() == 1 ? all : of_output(options, outputs[i]).*own, read_metrics(one));
    });
  };
  read("metrics", options.metrics, &nn::OutputOptions::metrics);
  read("weighted_metrics", options.weighted_metrics, &nn::OutputOptions::weighted_metrics);
  return options;
}

Json write_training(const nn::TrainOptions& options, const nn::Model& model, Generation to) {
  Json training = Json::object();
  const bool old = to == Generation::keras2;
  const auto set_optimizer = [&] {
    training[old ? "optimizer_config" : "optimizer"] =
        write_optimizer_config(options.optimizer, to);
  };
  if (!old) set_optimizer();
  if (options.outputs.empty()) {
    training["loss"] = write_loss(options.loss, to);
    training["loss_weights"] = nullptr;
    training["metrics"] = list_of(options.metrics);
    training["weighted_metrics"] =
        options.weighted_metrics.empty() ? Json(nullptr) : list_of(options.weighted_metrics);
  } else {
    Json loss = Json::object(), weights = Json::object(), metrics = Json::object(),
         weighted = Json::object();
    for (const std::string& output : model.output_names()) {
      nn::OutputOptions its{.loss = options.loss};
      for (const auto& [name, own] : options.outputs) {
        if (name == output) its = own;
      }
      loss[output] = write_loss(its.loss ? its.loss : options.loss, to);
      weights[output] = its.loss_weight;
      std::vector<nn::Metric> all = options.metrics, all_weighted = options.weighted_metrics;
      append(all, its.metrics);
      append(all_weighted, its.weighted_metrics);
      metrics[output] = list_of(all);
      weighted[output] = list_of(all_weighted);
    }
    training["loss"] = std::move(loss);
    training["loss_weights"] = std::move(weights);
    training["metrics"] = std::move(metrics);
    training["weighted_metrics"] = std::move(weighted);
  }
  if (old) {
    set_optimizer();
  } else {
    training["run_eagerly"] = false;
    training["steps_per_execution"] = 1;
    training["jit_compile"] = false;
  }
  return training;
}

// ---- what optimizers keep

namespace {

/// Where Keras 3 makes a slot. Those of one stage are made parameter by parameter.
int stage_of(const nn::Optimizer& optimizer, const std::string& slot) {
  if (slot == "average") return 1;
  if (slot == "gradient_accumulator") return 2;
  if (slot == "velocity_hat") return 6;
  if (optimizer.as<nn::RMSprop>() == nullptr) return 3;
  return slot == "velocity" ? 3 : slot == "momentum" ? 4 : 5;
}
/// Among those of one stage and one parameter.
int rank_of(const std::string& slot) {
  for (const char* second : {"c", "norm", "accumulated_delta_var", "linear"}) {
    if (slot == second) return 1;
  }
  return slot == "velocity" ? 2 : 0;
}

/// Adafactor keeps three slots of each parameter in Keras, of which either one or two are used.
void add_unused(std::vector<Kept>& kept, nn::Model& model) {
  std::map<std::string, Shape> parameters;
  for (const auto& weight : model.weights()) parameters.emplace(weight.name, weight.shape);
  std::vector<Kept> all;
  for (Kept& one : kept) {
    const std::string slot = one.slot, parameter = one.parameter;
    if (slot == "velocity") {
      for (const char* unused : {"r", "c"}) all.push_back({"", {}, unused, parameter});
    }
    all.push_back(std::move(one));
    if (slot == "c") all.push_back({"", parameters.at(parameter), "velocity", parameter});
  }
  kept = std::move(all);
}

}  // namespace

std::vector<Kept> kept_by_optimizer(nn::Model& model) {
  const nn::Optimizer& optimizer = model.training().optimizer;
  const std::string prefix = optimizer.name + '/';
  std::vector<Kept> kept;
  std::map<std::string, std::size_t> order;  // of parameters
  for (const std::string& name : model.optimizer_variables()) {
    const std::string own = name.substr(prefix.size());
    const std::size_t end = own.find('/');
    Kept one{name, model.variables().type(name).shape, own.substr(0, end),
             end == std::string::npos ? "" : own.substr(end + 1)};
    if (!one.parameter.empty()) order.emplace(one.parameter, order.size());
    kept.push_back(std::move(one));
  }
  const auto place = [&](const Kept& one) -> std::array<std::size_t, 3> {
    if (one.slot == "iteration") return {0, 0, 0};
    if (one.slot == "learning_rate") return {0, 1, 0};
    if (one.parameter.empty()) return {7, 0, 0};
    return {static_cast<std::size_t>(stage_of(optimizer, one.slot)), order.at(one.parameter),
            static_cast<std::size_t>(rank_of(one.slot))};
  };
  std::ranges::stable_sort(kept, {}, place);
  if (optimizer.as<nn::Adafactor>() != nullptr) add_unused(kept, model);
  return kept;
}

bool read_legacy_optimizer(nn::Model& model, const Hdf5Group& group) {
  if (!model.is_compiled()) return false;
  // Until 2.10, all of one slot, and then all of the next; later as in Keras 3, where slots of a
  // parameter may be neighbours.
  std::vector<Kept> now;
  std::map<std::string, std::string> numbers;  // names of numbers that all share
  for (Kept& one : kept_by_optimizer(model)) {
    if (one.parameter.empty()) {
      numbers.emplace(one.slot, one.name);
    } else if (one.shape.rank() > 0) {
      now.push_back(std::move(one));
    }
  }
  std::vector<std::pair<std::string, Tensor>> values;
  std::optional<std::int64_t> count;
  std::map<std::string, Tensor> stored;  // of numbers
  for (const std::string& place : group.texts("weight_names")) {
    Tensor value = group.array(place);
    const bool is_number = value.shape().rank() == 0;
    if (is_number && !count && place.find("iter") != std::string::npos) {
      count = group.integer(place);
    } else if (is_number && place.find("learning_rate") != std::string::npos) {
      stored.insert_or_assign("learning_rate", std::move(value));
    } else if (is_number) {
      stored.insert_or_assign("u_product", std::move(value));  // the only one beside
    } else {
      values.emplace_back(place, std::move(value));
    }
  }
  if (!count || values.size() != now.size()) return false;
  std::vector<Kept> before = now;
  std::map<std::string, std::size_t> slots;
  for (const Kept& one : now) slots.emplace(one.slot, slots.size());
  std::ranges::stable_sort(before, {}, [&](const Kept& one) { return slots.at(one.slot); });
  const auto fits = [&](const std::vector<Kept>& order) {
    return std::ranges::equal(order, values, [](const Kept& one, const auto& value) {
      return one.shape == value.second.shape();
    });
  };
  // The names say which it is where shapes do not.
  const bool looks_old = !values.empty() && values[0].first.ends_with("/m:0");
  const std::vector<Kept>& first = looks_old ? before : now;
  const std::vector<Kept>& second = looks_old ? now : before;
  if (!fits(first) && !fits(second)) return false;
  const std::vector<Kept>& order = fits(first) ? first : second;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (!order[i].name.empty()) model.variables().set(order[i].name, values[i].second);
  }
  model.variables().set(numbers.at("iteration"), Tensor::scalar(static_cast<float>(*count)));
  for (const auto& [name, value] : stored) {
    if (numbers.contains(name)) model.variables().set(numbers[name], value);
  }
  return true;
}

}  // namespace weft::keras
