// Losses and metrics beside those of Keras 3: figures from tests/reference/losses.py.
#include <algorithm>
#include <cmath>

#include "tests/messages.hpp"
#include "tests/reference_testing.hpp"

namespace weft::test {
namespace {

// A loss is a sum of some ten products and logarithms of numbers around 1 (a few reach 30, and are
// compared relative to that): libraries differ by the last bits, up to 4e-6 in all.
constexpr double loss_tolerance = 1e-5;

struct LossCase {
  nn::Loss loss;
  const char *target, *prediction;
};

/// In the order of loss_cases() in losses.py.
std::vector<LossCase> loss_cases() {
  return {
      {nn::CategoricalCrossentropy{}, "one_hot", "probabilities"},
      {nn::CategoricalCrossentropy{.from_logits = true, .label_smoothing = 0.2}, "one_hot",
       "logits"},
      {nn::SparseCategoricalCrossentropy{}, "labels", "probabilities"},
      {nn::SparseCategoricalCrossentropy{.from_logits = true, .ignore_class = 2}, "labels",
       "logits"},
      {nn::SparseCategoricalCrossentropy{.ignore_class = 0}, "labels", "probabilities"},
      {nn::BinaryCrossentropy{}, "binary", "probabilities"},
      {nn::BinaryCrossentropy{.from_logits = true, .label_smoothing = 0.3}, "binary", "logits"},
      {nn::BinaryFocalCrossentropy{}, "binary", "probabilities"},
      {nn::BinaryFocalCrossentropy{.apply_class_balancing = true,
                                   .alpha = 0.3,
                                   .gamma = 1.5,
                                   .from_logits = true,
                                   .label_smoothing = 0.1},
       "binary", "logits"},
      {nn::CategoricalFocalCrossentropy{}, "one_hot", "probabilities"},
      {nn::CategoricalFocalCrossentropy{.alpha = {0.1, 0.2, 0.3, 0.4, 0.5},
                                        .gamma = 3,
                                        .from_logits = true,
                                        .label_smoothing = 0.1},
       "one_hot", "logits"},
      {nn::CategoricalGeneralizedCrossEntropy{.q = 0.7}, "labels", "soft"},
      {"kl_divergence", "distribution", "probabilities"},
      {"poisson", "counts", "probabilities"},
      {"mse", "numbers", "logits"},
      {"mae", "numbers", "logits"},
      {"mape", "counts", "logits"},
      {"msle", "counts", "logits"},
      {"huber", "numbers", "logits"},
      {nn::Huber{.delta = 2.5}, "numbers", "logits"},
      {"log_cosh", "numbers", "logits"},
      {"cosine_similarity", "numbers", "logits"},
      {"hinge", "signs", "logits"},
      {"hinge", "binary", "logits"},
      {"squared_hinge", "signs", "logits"},
      {"squared_hinge", "binary", "logits"},
      {"categorical_hinge", "one_hot", "logits"},
      {nn::Dice{.axis = {-1}}, "binary", "probabilities"},
      {nn::Tversky{.alpha = 0.3, .beta = 0.8, .axis = {-1}}, "binary", "probabilities"},
  };
}

Tensor input(const std::string& name) { return read("losses_more/" + name); }

/// Row i of an array, as a tensor.
Tensor row(const Tensor& array, std::size_t i) {
  const Shape shape(std::span(array.shape().begin() + 1, array.shape().end()));
  const auto count = static_cast<std::size_t>(shape.elements());
  return Tensor::of<float>(shape, array.data<float>().subspan(i * count, count));
}

/// A tensor as it is in one of so many slices.
Type slice_type(const Tensor& whole, std::int64_t slices) {
  return {whole.dtype(), whole.shape().with(0, whole.shape()[0] / slices)};
}

/// The loss of the batch and its derivative by the prediction, in one slice or in several.
std::vector<Tensor> reduced(const nn::Loss& loss, const Tensor& p, const Tensor& t, const Tensor& w,
                            std::int64_t slices) {
  Graph graph;
  const Value prediction = graph.input(slice_type(p, slices), "p");
  const Value target = graph.input(slice_type(t, slices), "t");
  const Value weight = w ? graph.input(slice_type(w, slices), "w") : Value{};
  const Value value = loss.reduced(prediction, target, weight, 1.0f / static_cast<float>(slices));
  Feeds feeds{{"p", p}, {"t", t}};
  if (w) feeds.emplace("w", w);
  const std::vector<Value> slopes = gradients(value, {prediction});
  return compile({all_reduce(value), slopes[0]}, {.replicas = static_cast<std::size_t>(slices)})
      .run(feeds);
}

}  // namespace

TEST_CASE("reference: losses, and their derivatives, also where they are clipped") {
  const Tensor values = input("values"), slopes = input("slopes");
  const std::vector<LossCase> cases = loss_cases();
  REQUIRE(values.shape()[0] == static_cast<std::int64_t>(cases.size()));
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& [loss, target, prediction] = cases[i];
    CAPTURE(i);
    CAPTURE(loss.name);
    const Tensor p = input(prediction), t = input(target);
    Graph graph;
    const Value x = graph.input(p.type(), "p"), y = graph.input(t.type(), "t");
    const Value losses = loss(x, y);
    const auto out = compile({losses, gradients(sum(losses), {x})[0]}).run({{"p", p}, {"t", t}});
    CHECK(difference(out[0], row(values, i), 1) < loss_tolerance);
    CHECK(difference(out[1], row(slopes, i), 1) < loss_tolerance);
  }
}

TEST_CASE("reference: reductions of losses, with weights and without, in any slices") {
  const Tensor wanted = input("reduced"), weights = input("weights");
  const std::vector<LossCase> cases = loss_cases();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(i);
    const Tensor p = input(cases[i].prediction), t = input(cases[i].target);
    std::size_t column = 0;
    for (const char* reduction : {"sum_over_batch_size", "sum", "mean_with_sample_weight"}) {
      nn::Loss loss = cases[i].loss;
      loss.reduction = reduction;
      for (const bool weighted : {false, true}) {
        CAPTURE(reduction);
        CAPTURE(weighted);
        const Tensor value = Tensor::scalar(row(wanted, i).data<float>()[column++]);
        const Tensor w = weighted ? weights : Tensor{};
        const auto whole = reduced(loss, p, t, w, 1);
        CHECK(difference(whole[0], value, 1) < loss_tolerance);
        const auto slices = reduced(loss, p, t, w, 4);
        CHECK(difference(slices[0], value, 1) < loss_tolerance);
        CHECK(difference(slices[1], whole[1], 1) < loss_tolerance);
      }
    }
  }
}

TEST_CASE("reference: overlaps of a whole batch, in any slices") {
  const Tensor p = input("probabilities"), t = input("binary");
  const Tensor values = input("whole_values"), slopes = input("whole_slopes");
  const nn::Loss losses[] = {"dice", nn::Tversky{.alpha = 0.3, .beta = 0.8}, nn::Dice{.axis = {0}}};
  for (std::size_t i = 0; i < 3; ++i) {
    for (const std::int64_t slices : {1, 2, 4}) {
      CAPTURE(i);
      CAPTURE(slices);
      const auto out = reduced(losses[i], p, t, {}, slices);
      CHECK(difference(out[0], row(values, i), 1) < loss_tolerance);
      CHECK(difference(out[1], row(slopes, i), 1) < loss_tolerance);
    }
  }
}

TEST_CASE("reference: samples beside one another") {
  const Tensor rows = input("circle_rows"), labels = input("circle_labels");
  const Tensor values = input("circle_values"), reduced = input("circle_reduced");
  const nn::Loss losses[] = {"circle",
                             nn::Circle{.gamma = 3, .margin = 0.2, .remove_diagonal = false}};
  for (std::size_t i = 0; i < 2; ++i) {
    CAPTURE(i);
    Graph graph;
    const Value x = graph.input(rows.type(), "p"), y = graph.input(labels.type(), "t");
    const Value each = losses[i](x, y);
    const auto out = compile({each, losses[i].reduced(x, y), gradients(sum(each), {x})[0]})
                         .run({{"p", rows}, {"t", labels}});
    CHECK(difference(out[0], row(values, i), 1) < loss_tolerance);
    CHECK(difference(out[1], row(reduced, i), 1) < loss_tolerance);
    // An exponent of 80 makes 80 times the rounding error of a distance.
    CHECK(difference(out[2], row(input("circle_slopes"), i), 1) < 80 * loss_tolerance);
  }
  // A batch is not cut, since its samples would not see one another.
  nn::Sequential model({nn::Input({5}), nn::Dense(5)}, {.replicas = 4});
  model.compile({.loss = "circle"});
  CHECK(model.training_step(nn::Dataset(rows, labels), 8).statistics().replicas == 1);
}

TEST_CASE("reference: losses along another axis") {
  const Tensor logits = input("axis_logits"), one_hot = input("axis_one_hot");
  const Tensor values = input("axis_values");
  const nn::Loss losses[] = {nn::CategoricalCrossentropy{.from_logits = true, .axis = 1},
                             nn::CategoricalFocalCrossentropy{.from_logits = true, .axis = 1},
                             nn::BinaryCrossentropy{.from_logits = true, .axis = 1},
                             nn::BinaryFocalCrossentropy{.from_logits = true, .axis = 1},
                             nn::CosineSimilarity{.axis = 1}};
  for (std::size_t i = 0; i < 5; ++i) {
    CAPTURE(i);
    Graph graph;
    const Value x = graph.input(logits.type(), "p"), y = graph.input(one_hot.type(), "t");
    const auto out = compile({losses[i](x, y)}).run({{"p", logits}, {"t", one_hot}});
    CHECK(difference(out[0], row(values, i), 1) < loss_tolerance);
  }
}

// ---- metrics

namespace {

struct MetricCase {
  nn::Metric metric;
  const char *target, *prediction;
};

/// In the order of metric_cases() in losses.py.
std::vector<MetricCase> metric_cases() {
  const std::vector<double> label_weights{1, 2, 0.5, 1};
  return {
      {"binary_accuracy", "binary", "scores"},
      {nn::BinaryAccuracy{.threshold = 0.7}, "binary", "scores"},
      {"categorical_accuracy", "one_hot", "scores"},
      {"sparse_categorical_accuracy", "labels", "scores"},
      {nn::TopKCategoricalAccuracy{.k = 2}, "one_hot", "scores"},
      {nn::SparseTopKCategoricalAccuracy{.k = 2}, "labels", "scores"},
      {"true_positives", "binary", "scores"},
      {nn::TrueNegatives{.thresholds = {0.7, 0.2}}, "binary", "scores"},
      {nn::FalsePositives{.thresholds = {0, 0.5, 1}}, "binary", "scores"},
      {"FalseNegatives", "binary", "scores"},
      {"precision", "binary", "scores"},
      {nn::Precision{.thresholds = {0.8, 0.3, 0.6}}, "binary", "scores"},
      {nn::Precision{.top_k = 2}, "binary", "scores"},
      {nn::Precision{.thresholds = {0.4}, .top_k = 1, .class_id = 1}, "binary", "scores"},
      {"recall", "binary", "scores"},
      {nn::Recall{.class_id = 2}, "binary", "scores"},
      {nn::Recall{.top_k = 3}, "one_hot", "scores"},
      {nn::SensitivityAtSpecificity{.specificity = 0.6}, "binary", "scores"},
      {nn::SpecificityAtSensitivity{.sensitivity = 0.7, .num_thresholds = 50}, "binary", "scores"},
      {nn::PrecisionAtRecall{.recall = 0.5, .class_id = 3}, "binary", "scores"},
      {nn::RecallAtPrecision{.precision = 0.6, .num_thresholds = 1}, "binary", "scores"},
      {"AUC", "binary", "scores"},
      {nn::AUC{.curve = "PR"}, "binary", "scores"},
      {nn::AUC{.num_thresholds = 30, .curve = "PRGAIN"}, "binary", "scores"},
      {nn::AUC{.curve = "PR", .summation_method = "minoring"}, "binary", "scores"},
      {nn::AUC{.summation_method = "majoring", .thresholds = {0.3, 0.9, 0.5}}, "binary", "scores"},
      {nn::AUC{.from_logits = true}, "binary", "logits"},
      {nn::AUC{.multi_label = true}, "binary", "scores"},
      {nn::AUC{.curve = "PR", .multi_label = true, .label_weights = label_weights}, "binary",
       "scores"},
      {nn::AUC{.label_weights = label_weights}, "binary", "scores"},
      {"auc", "truth", "column"},
      {"f1_score", "one_hot", "scores"},
      {nn::F1Score{.average = "macro", .threshold = 0.4}, "binary", "scores"},
      {nn::FBetaScore{.average = "micro", .beta = 2}, "one_hot", "scores"},
      {nn::FBetaScore{.average = "weighted", .beta = 0.5, .threshold = 0.6}, "binary", "scores"},
      {nn::MeanIoU{.num_classes = 4, .sparse_y_pred = false}, "labels", "scores"},
      {nn::MeanIoU{.num_classes = 4, .ignore_class = 1}, "labels", "guesses"},
      {nn::IoU{.num_classes = 4, .target_class_ids = {0, 3}}, "labels", "guesses"},
      {nn::BinaryIoU{.threshold = 0.6}, "truth", "column"},
      {nn::OneHotIoU{.num_classes = 4, .target_class_ids = {2}}, "one_hot", "scores"},
      {nn::OneHotMeanIoU{.num_classes = 4}, "one_hot", "scores"},
      {"mse", "numbers", "near"},
      {"root_mean_squared_error", "numbers", "near"},
      {"mae", "numbers", "near"},
      {"mape", "numbers", "near"},
      {"msle", "binary", "scores"},
      {"logcosh", "numbers", "near"},
      {"cosine_similarity", "numbers", "near"},
      {"pearson_correlation", "numbers", "near"},
      {"concordance_correlation", "numbers", "near"},
      {"kl_divergence", "one_hot", "scores"},
      {"poisson", "binary", "scores"},
      {"bce", "binary", "scores"},
      {nn::CategoricalCrossentropy{.from_logits = true}, "one_hot", "logits"},
      {nn::SparseCategoricalCrossentropy{.ignore_class = 1}, "labels", "scores"},
      {"hinge", "binary", "logits"},
      {"squared_hinge", "binary", "logits"},
      {"categorical_hinge", "one_hot", "scores"},
      {"r2_score", "numbers", "near"},
      {nn::R2Score{.class_aggregation = "none"}, "numbers", "near"},
      {nn::R2Score{.class_aggregation = "variance_weighted_average", .num_regressors = 3},
       "numbers", "near"},
  };
}

struct Same {
  static std::string_view name() { return "Same"; }
  Value operator()(nn::Scope&, Value x) const { return x; }
};

/// The numbers of a result, less those that only fill up the array.
std::vector<float> result_of(const Tensor& results, std::size_t metric, bool weighted) {
  std::vector<float> numbers = to_floats(row(row(results, metric), weighted ? 1 : 0));
  std::erase(numbers, -100.0f);
  return numbers;
}

/// Evaluates all metrics of one kind of target and prediction, with sample weights and without.
void check_metrics(const std::vector<MetricCase>& cases, const std::vector<std::size_t>& which,
                   std::size_t replicas) {
  const Tensor results = read("metrics/results");
  const Tensor x = read("metrics/" + std::string(cases[which[0]].prediction));
  nn::TrainOptions options{.loss = [](Value p, Value) { return mean(p, {-1}); }};
  for (const std::size_t i : which) {
    options.metrics.push_back(cases[i].metric);
    options.metrics.back().name = std::to_string(i);
  }
  options.weighted_metrics = options.metrics;
  nn::Sequential model({Same{}}, {.replicas = replicas});
  model.compile(options);
  const nn::Dataset data(x, read("metrics/" + std::string(cases[which[0]].target)),
                         read("metrics/weights"));
  const nn::Logs logs = model.evaluate(data, {.batch_size = 5, .verbose = 0});
  for (const std::size_t i : which) {
    for (const bool weighted : {false, true}) {
      CAPTURE(i);
      CAPTURE(cases[i].metric.name);
      CAPTURE(weighted);
      const std::string name = (weighted ? "weighted_" : "") + std::to_string(i);
      const std::vector<float> got = to_floats(model.metric_result(name));
      const std::vector<float> wanted = result_of(results, i, weighted);
      REQUIRE(got.size() == wanted.size());
      double sum = 0;
      for (std::size_t k = 0; k < got.size(); ++k) {
        CHECK(std::abs(got[k] - wanted[k]) <= 1e-5 * std::max(1.0f, std::abs(wanted[k])));
        sum += static_cast<double>(got[k]);
      }
      CHECK(logs[name] == doctest::Approx(sum / static_cast<double>(got.size())).epsilon(1e-6));
    }
  }
}

}  // namespace

TEST_CASE("reference: metrics over several batches, weighted and not, on any replicas") {
  const std::vector<MetricCase> cases = metric_cases();
  REQUIRE(read("metrics/results").shape()[0] == static_cast<std::int64_t>(cases.size()));
  std::map<std::string, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    groups[std::string(cases[i].target) + ' ' + cases[i].prediction].push_back(i);
  }
  for (const auto& [group, which] : groups) {
    for (const std::size_t replicas : {1, 2, 3}) {
      CAPTURE(group);
      CAPTURE(replicas);
      check_metrics(cases, which, replicas);
    }
  }
}

}  // namespace weft::test
