#include "nn/metrics.hpp"

#include <cmath>

#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

struct Same {
  static std::string_view name() { return "Same"; }
  Value operator()(nn::Scope&, Value x) const { return x; }
};

/// What metrics make of predictions, in batches of two.
nn::Sequential evaluated(const std::vector<nn::Metric>& metrics, const Tensor& p, const Tensor& t,
                         std::size_t replicas = 1) {
  nn::Sequential model({Same{}}, {.replicas = replicas});
  model.compile(
      {.loss = [](Value prediction, Value) { return mean(prediction, {-1}); }, .metrics = metrics});
  model.evaluate(p, t, {.batch_size = 2, .verbose = 0});
  return model;
}

std::string shape_message(const nn::Metric& metric, const Shape& p, const Shape& t) {
  Graph graph;
  const Value prediction = graph.input({DType::f32, p}, "p"),
              target = graph.input({DType::f32, t}, "t");
  return message_of<ShapeError>([&] { metric.sums(prediction, target); });
}

std::string argument_message(const nn::Metric& metric) {
  Graph graph;
  const Type type{DType::f32, {4, 3}};
  const Value prediction = graph.input(type, "p"), target = graph.input(type, "t");
  return message_of<ArgumentError>([&] { metric.sums(prediction, target); });
}

const Tensor scores = Tensor::of<float>(
    {5, 3}, {0.1f, 0.7f, 0.2f, 0.5f, 0.4f, 0, 0.2f, 0.3f, 0.5f, 0.6f, 0.3f, 0.1f, 0, 0.9f, 0.1f});
const Tensor classes = Tensor::of<std::int32_t>({5}, {1, 1, 2, 0, 2});

}  // namespace

TEST_CASE("metrics: a confusion matrix is read after evaluate, whatever targets look like") {
  const std::vector<float> wanted{1, 0, 0, 1, 1, 0, 0, 1, 1};
  for (const Tensor& targets :
       {classes, classes.reshaped({5, 1}), nn::to_categorical(classes, 3)}) {
    for (const std::size_t replicas : {1, 2}) {
      const nn::Sequential model = evaluated({"confusion_matrix"}, scores, targets, replicas);
      const Tensor matrix = model.metric_result("confusion_matrix");
      CHECK(matrix.shape() == Shape{3, 3});
      CHECK(to_floats(matrix) == wanted);
    }
  }
  const Tensor p = Tensor::of<float>({4, 1}, {0.2f, 0.8f, 0.6f, 0.1f});
  const Tensor t = Tensor::of<float>({4}, {0, 1, 0, 1});
  CHECK(to_floats(evaluated({"confusion_matrix"}, p, t).metric_result("confusion_matrix")) ==
        std::vector<float>{1, 1, 1, 1});
  CHECK(to_floats(evaluated({nn::ConfusionMatrix{.threshold = 0.7}}, p, t)
                      .metric_result("confusion_matrix")) == std::vector<float>{2, 0, 1, 1});
}

TEST_CASE("metrics: results of the last pass, by the name in the logs") {
  const nn::Sequential model =
      evaluated({"acc", nn::F1Score{}}, scores, nn::to_categorical(classes, 3));
  CHECK(model.metric_result("acc").item<float>() == doctest::Approx(0.6));
  CHECK(model.metric_result("loss").item<float>() == doctest::Approx(4.9 / 15));
  CHECK(model.metric_result("f1_score").shape() == Shape{3});
  CHECK(message_of<ArgumentError>([&] { model.metric_result("auc"); }) ==
        "metric_result: the last pass over data had no \"auc\"; it had: loss, acc, f1_score");
}

TEST_CASE("metrics: what fit shows of an epoch is of that epoch alone") {
  nn::Sequential model{nn::Input({3}), nn::Dense(3, {.kernel_initializer = "zeros"})};
  model.compile({.optimizer = nn::SGD{.learning_rate = 0},
                 .loss = "mse",
                 .metrics = {"true_negatives", "confusion_matrix"}});
  const Tensor y = nn::to_categorical(classes, 3);
  const nn::History history =
      model.fit(scores, y, {.epochs = 3, .batch_size = 2, .validation_split = 0.4, .verbose = 0});
  CHECK(history["true_negatives"] == std::vector<double>{6, 6, 6});
  CHECK(history["val_true_negatives"] == std::vector<double>{4, 4, 4});
  double samples = 0;
  for (const float count : to_floats(model.metric_result("confusion_matrix"))) {
    samples += static_cast<double>(count);
  }
  CHECK(samples == 2);  // of the validation, which came last
}

TEST_CASE("metrics: counts are exact beyond what an f32 counts to") {
  // 2^24 + 2 samples; in f32, the last two would be lost. Accuracy would be 1.
  const double most = 16777216;
  const nn::Metric counts = "true_positives";
  const std::vector<double> sums{1, 0, 0, most + 2};
  CHECK(counts.result(sums, most + 3) == most + 2);
  const nn::Metric accuracy = "accuracy";
  CHECK(accuracy.result(std::vector<double>{most + 1}, most + 2) == (most + 1) / (most + 2));
}

TEST_CASE("metrics: of the user's own, by sums, by samples, by batches") {
  struct Spread {
    static std::string_view name() { return "spread"; }
    Value sums(Value prediction, Value, Value) const {
      const auto one = [](Value x) { return reshape(x, {1}); };
      return concat({one(sum(prediction)), one(sum(square(prediction)))}, 0);
    }
    double result(std::span<const double> sums) const {
      return std::sqrt(sums[1] / 5 - sums[0] * sums[0] / 25);
    }
  };
  const Tensor x = Tensor::of<float>({5, 1}, {1, 2, 3, 4, 5}), y(Type{DType::f32, {5, 1}});
  const nn::Metric largest("largest", [](Value p, Value) { return max(p); });
  const nn::Metric renamed("squares", nn::MeanSquaredError{});
  CHECK(renamed.as<nn::MeanSquaredError>() != nullptr);
  CHECK(nn::Metric("f1_score").as<nn::F1Score>() != nullptr);
  CHECK(nn::Metric("f1_score").as<nn::FBetaScore>() == nullptr);
  for (const std::size_t replicas : {1, 2}) {
    const nn::Sequential model = evaluated({Spread{}, largest, renamed}, x, y, replicas);
    CHECK(model.metric_result("spread").item<float>() == doctest::Approx(std::sqrt(2.0)));
    CHECK(model.metric_result("squares").item<float>() == doctest::Approx(11));
    if (replicas > 1) continue;  // the largest of a slice is not that of its batch
    CHECK(model.metric_result("largest").item<float>() ==
          doctest::Approx((2 * 2 + 4 * 2 + 5) / 5.0));
  }
  CHECK(message_of<ArgumentError>([&] { nn::Metric(Spread{})(Value{}, Value{}); }) ==
        "spread: it has no number for each sample; sums() has what it keeps");
}

TEST_CASE("metrics: top k, ties, and classes sorted by likelihood") {
  const nn::Metric top = nn::SparseTopKCategoricalAccuracy{.k = 2};
  // Two are as likely: neither is above the other.
  const Array p({3, 3}, {0.4, 0.4, 0.2, 0.1, 0.3, 0.6, 0.5, 0.2, 0.3}), t({3}, {1, 0, 2});
  check_close(evaluate_pair(top, p, t, DType::s32).data, {1, 0, 1});
  const nn::Metric sorted = nn::SparseTopKCategoricalAccuracy{.k = 2, .from_sorted_ids = true};
  const Array ids({2, 3}, {2, 0, 1, 2, 0, 1});
  check_close(evaluate_pair(sorted, ids, Array({2}, {0, 1}), DType::s32).data, {1, 0});
  check_close(evaluate_pair(nn::Accuracy{}, Array({3}, {1, 2, 3}), Array({3}, {1, 0, 3})).data,
              {1, 0, 1});
}

TEST_CASE("metrics: positions within samples") {
  // Two samples of two positions of two classes.
  const Tensor p = Tensor::of<float>({2, 2, 2}, {0.9f, 0.1f, 0.2f, 0.8f, 0.6f, 0.4f, 0.7f, 0.3f});
  const Tensor t = Tensor::of<std::int32_t>({2, 2}, {0, 1, 1, 0});
  const nn::Sequential model = evaluated({"accuracy", "confusion_matrix"}, p, t);
  CHECK(model.metric_result("accuracy").item<float>() == doctest::Approx(0.75));
  CHECK(to_floats(model.metric_result("confusion_matrix")) == std::vector<float>{2, 0, 1, 1});
}

TEST_CASE("metrics: what does not fit") {
  CHECK(shape_message("precision", {4, 3}, {4}) ==
        "precision: the output is [N,3], so targets must be [N,3] too, but they are [N]");
  CHECK(shape_message("f1_score", {4, 2, 3}, {4, 2, 3}) ==
        "f1_score: the output must be [N,K], not [N,2,3]");
  CHECK(shape_message(nn::MeanIoU{.num_classes = 3}, {4, 3}, {4}) ==
        "mean_io_u: predicted classes are [N,3], but those of targets are [N]");
  CHECK(argument_message(nn::Precision{.thresholds = {0.5, 1.5}}) ==
        "precision: thresholds must lie in [0, 1], not at 1.5");
  CHECK(argument_message(nn::Recall{.top_k = 0}) == "recall: top_k must be at least 1, not 0");
  CHECK(argument_message(nn::Recall{.class_id = 3}) ==
        "recall: there is no class_id 3 among the 3 classes 0 to 2");
  CHECK(argument_message(nn::SensitivityAtSpecificity{.specificity = 2}) ==
        "sensitivity_at_specificity: specificity must be from 0 to 1, not 2");
  CHECK(argument_message(nn::PrecisionAtRecall{.num_thresholds = 0}) ==
        "precision_at_recall: num_thresholds must be at least 1, not 0");
  CHECK(argument_message(nn::AUC{.curve = "roc"}) ==
        "auc: unknown curve \"roc\"; known are ROC, PR, PRGAIN");
  CHECK(argument_message(nn::AUC{.summation_method = "sum"}) ==
        "auc: unknown summation_method \"sum\"; known are interpolation, minoring, majoring");
  CHECK(argument_message(nn::AUC{.num_thresholds = 1}) ==
        "auc: num_thresholds must be at least 2, not 1");
  CHECK(argument_message(nn::AUC{.multi_label = true, .num_labels = 4}) ==
        "auc: num_labels is 4, but there are 3 labels");
  CHECK(argument_message(nn::AUC{.label_weights = {1, 2}}) ==
        "auc: there are 2 label_weights for 3 labels");
  CHECK(argument_message(nn::FBetaScore{.beta = 0}) == "fbeta_score: beta must be above 0, not 0");
  CHECK(argument_message(nn::F1Score{.average = "mean"}) ==
        "f1_score: unknown average \"mean\"; known are none, micro, macro, weighted");
  CHECK(argument_message(nn::F1Score{.threshold = 1.5}) ==
        "f1_score: threshold must be above 0 and at most 1, not 1.5");
  CHECK(
      argument_message(nn::R2Score{.class_aggregation = "mean"})
          .starts_with("r2_score: unknown class_aggregation \"mean\"; known are uniform_average"));
  CHECK(argument_message(nn::R2Score{.num_regressors = -1}) ==
        "r2_score: num_regressors must be at least 0, not -1");
  CHECK(argument_message(nn::IoU{.num_classes = 3, .target_class_ids = {3}}) ==
        "io_u: there is no class 3 among the 3 classes 0 to 2");
  CHECK(argument_message(nn::IoU{.target_class_ids = {}}) ==
        "io_u: target_class_ids names no class");
  CHECK(argument_message(nn::TopKCategoricalAccuracy{.k = 0}) ==
        "top_k_categorical_accuracy: k must be at least 1, not 0");
  CHECK(message_of<ArgumentError>([] {
          nn::Metric("mean_iou");
        }).starts_with("metric: unknown name \"mean_iou\"; known are accuracy, acc"));
  // Before the first epoch, and of which output.
  nn::Sequential model{nn::Input({3}), nn::Dense(3)};
  model.compile({.loss = "sparse_categorical_crossentropy", .metrics = {"precision"}});
  CHECK(message_of<ShapeError>([&] {
          model.fit(scores, classes, {.verbose = 0});
        }).starts_with("precision: the output is [N,3]"));
}

TEST_CASE("losses: arguments out of range") {
  const auto with = [](const nn::Loss& loss) {
    Graph graph;
    const Type type{DType::f32, {4, 3}};
    const Value p = graph.input(type, "p"), t = graph.input(type, "t");
    return message_of<ArgumentError>([&] { loss(p, t); });
  };
  CHECK(with(nn::CategoricalCrossentropy{.label_smoothing = 1.5}) ==
        "categorical_crossentropy: label_smoothing must be between 0 and 1, not 1.5");
  CHECK(with(nn::BinaryCrossentropy{.label_smoothing = -0.1}) ==
        "binary_crossentropy: label_smoothing must be between 0 and 1, not -0.1");
  CHECK(with(nn::Huber{.delta = 0}) == "huber: delta must be above 0, not 0");
  CHECK(with(nn::CategoricalGeneralizedCrossEntropy{.q = 1}) ==
        "categorical_generalized_cross_entropy: q must be between 0 and 1, not 1");
  CHECK(with(nn::CategoricalFocalCrossentropy{.alpha = {0.1, 0.2}}) ==
        "categorical_focal_crossentropy: alpha must be one number or one for each of 3 classes, "
        "not 2");
}

TEST_CASE("losses: a class to be ignored may lie out of range, and does not count") {
  nn::Sequential model{nn::Input({2}), nn::Dense(2, {.activation = "softmax"})};
  const Tensor x = Tensor::of<float>({3, 2}, {1, 0, 0, 1, 1, 1});
  const Tensor y = Tensor::of<std::int32_t>({3}, {0, -1, 1});
  model.compile({.loss = "sparse_categorical_crossentropy"});
  CHECK(message_of<ArgumentError>([&] {
          model.fit(x, y, {.verbose = 0});
        }).starts_with("labels: label -1 at position 1"));
  model.compile({.loss = nn::SparseCategoricalCrossentropy{.ignore_class = -1}});
  const double loss = model.evaluate(x, y, {.verbose = 0})["loss"];
  const Tensor p = model.predict(x, {.verbose = 0});
  CHECK(loss ==
        doctest::Approx(-(std::log(p.data<float>()[0]) + std::log(p.data<float>()[5])) / 2));
  const nn::Dataset only(x.reshaped({3, 2}), Tensor::of<std::int32_t>({3}, {-1, -1, -1}));
  CHECK(model.evaluate(only, {.verbose = 0})["loss"] == 0);
}

}  // namespace weft::test
