#include "nn/losses.hpp"

#include <cmath>

#include "nn/metrics.hpp"
#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

using nn::Loss;

double log_softmax_at(const std::vector<double>& x, std::size_t k) {
  double sum = 0;
  for (const double v : x) sum += std::exp(v);
  return x[k] - std::log(sum);
}

const Array logits({2, 3}, {1, 2, 3, 0.5, -1, 4});
const Array one_hots({2, 3}, {0, 0, 1, 1, 0, 0});
const Array classes({2}, {2, 0});
const std::vector<double> expected{-log_softmax_at({1, 2, 3}, 2), -log_softmax_at({0.5, -1, 4}, 0)};

bool uses(Value value, std::string_view op) {
  Graph& graph = Graph::of(value);
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (graph[id].op.name() == op) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("losses: categorical cross-entropy from logits, from softmax, from probabilities") {
  const auto from_logits = nn::CategoricalCrossentropy{.from_logits = true};
  check_close(evaluate_pair(from_logits, logits, one_hots).data, expected);

  bool fused = false;
  const auto from_softmax = [&](Value p, Value t) {
    const Value loss = Loss("categorical_crossentropy")(softmax(p), t);
    fused = uses(loss, "softmax_cross_entropy") && !uses(loss, "clip");
    return loss;
  };
  check_close(evaluate_pair(from_softmax, logits, one_hots).data, expected);
  CHECK(fused);

  // Not scaled to 1, as Keras allows: 0.2 / 0.8 and 0.6 / 1.2.
  const Array p({2, 3}, {0.5, 0.1, 0.2, 0.6, 0.6, 0});
  check_close(evaluate_pair(Loss("categorical_crossentropy"), p, one_hots).data,
              {std::log(4.0), std::log(2.0)});
  // And clipped: no loss is larger than -log(1e-7).
  const Array sure({1, 2}, {1, 0});
  check_close(evaluate_pair(Loss("categorical_crossentropy"), sure, Array({1, 2}, {0, 1})).data,
              {16.118095}, 1e-4);
}

TEST_CASE("losses: a softmax over another axis is not fused") {
  const auto loss = [](Value p, Value t) {
    const Value result = nn::CategoricalCrossentropy{}(softmax(p, 1), t);
    CHECK_FALSE(uses(result, "softmax_cross_entropy"));
    return result;
  };
  evaluate_pair(loss, Array({1, 2, 2}, {1, 2, 3, 4}), Array({1, 2, 2}, {1, 0, 0, 1}));
}

TEST_CASE("losses: label smoothing") {
  const auto smooth = nn::CategoricalCrossentropy{.from_logits = true, .label_smoothing = 0.3};
  double wanted = 0;
  for (const std::size_t k : {0, 1, 2}) {
    wanted -= log_softmax_at({1, 2, 3}, k) * (k == 2 ? 0.8 : 0.1);
  }
  check_close(evaluate_pair(smooth, Array({1, 3}, {1, 2, 3}), Array({1, 3}, {0, 0, 1})).data,
              {wanted});
}

TEST_CASE("losses: sparse categorical cross-entropy takes classes [N] or [N,1], s32 or f32") {
  const Loss loss = nn::SparseCategoricalCrossentropy{.from_logits = true};
  CHECK(loss.integer_targets);
  CHECK(loss.name == "sparse_categorical_crossentropy");
  REQUIRE(loss.as<nn::SparseCategoricalCrossentropy>() != nullptr);
  check_close(evaluate_pair(loss, logits, classes, DType::s32).data, expected);
  check_close(evaluate_pair(loss, logits, classes).data, expected);
  check_close(evaluate_pair(loss, logits, Array({2, 1}, {2, 0}), DType::s32).data, expected);
  // Probabilities are rescaled to sum 1, as all of Keras 3's back ends do it.
  const Array p({2, 3}, {0.5, 0.1, 0.2, 0.6, 0.6, 0});
  check_close(evaluate_pair(Loss("sparse_categorical_crossentropy"), p, classes, DType::s32).data,
              {-std::log(0.2 / 0.8), -std::log(0.6 / 1.2)});
}

TEST_CASE("losses: binary cross-entropy") {
  const Array x({2, 2}, {0, 2, -3, 0.5}), t({2, 2}, {1, 0, 0, 1});
  const auto term = [](double v, double target) {
    const double p = 1 / (1 + std::exp(-v));
    return -target * std::log(p) - (1 - target) * std::log(1 - p);
  };
  const std::vector<double> wanted{(term(0, 1) + term(2, 0)) / 2, (term(-3, 0) + term(0.5, 1)) / 2};
  check_close(evaluate_pair(nn::BinaryCrossentropy{.from_logits = true}, x, t).data, wanted);
  check_close(evaluate_pair(
                  [](Value p, Value y) { return Loss("binary_crossentropy")(sigmoid(p), y); }, x, t)
                  .data,
              wanted);
  const Array p({2, 2}, {0.5, 0.2, 0.9, 1});
  check_close(evaluate_pair(Loss("binary_crossentropy"), p, t).data,
              {-(std::log(0.5) + std::log(0.8)) / 2, -(std::log(0.1) + std::log(1 - 1e-7)) / 2},
              1e-5);
  // Targets may lack the last axis.
  check_close(evaluate_pair(nn::BinaryCrossentropy{.from_logits = true}, Array({2, 1}, {0, 2}),
                            Array({2}, {1, 0}))
                  .data,
              {term(0, 1), term(2, 0)});
}

TEST_CASE("losses: squared and absolute errors, also of integer targets") {
  const Array p({2, 2}, {1, 2, 3, 4}), t({2, 2}, {0, 4, 3, 1});
  for (const char* name : {"mse", "mean_squared_error", "MeanSquaredError"}) {
    check_close(evaluate_pair(Loss(name), p, t).data, {2.5, 4.5});
  }
  check_close(evaluate_pair(Loss("mae"), p, t, DType::s32).data, {1.5, 1.5});
}

TEST_CASE("losses: targets of another shape") {
  const auto with = [](const char* loss, const Shape& p, const Shape& t) {
    return message_of<ShapeError>([&] { evaluate_pair(Loss(loss), Array(p), Array(t)); });
  };
  CHECK(
      with("categorical_crossentropy", {4, 10}, {4}) ==
      "categorical_crossentropy: the output is [N,10], so targets must be one-hot vectors [N,10], "
      "but they are [N]: for integer classes use sparse_categorical_crossentropy, or "
      "nn::to_categorical(y, 10)");
  CHECK(with("sparse_categorical_crossentropy", {4, 10}, {4, 10}) ==
        "sparse_categorical_crossentropy: the output is [N,10], so targets must be integer classes "
        "[N], but they are [N,10]: for one-hot vectors use categorical_crossentropy");
  CHECK(
      with("categorical_crossentropy", {4, 10}, {4, 7}) ==
      "categorical_crossentropy: the output is [N,10], so targets must be [N,10] too, but they are "
      "[N,7]");
  CHECK(with("mse", {4, 3}, {4}) ==
        "mean_squared_error: the output is [N,3], so targets must be [N,3] too, but they are [N]");
}

TEST_CASE("losses: unknown names and functions of the user's") {
  CHECK(
      message_of<ArgumentError>([] { Loss("crossentropy"); }) ==
      "loss: unknown name \"crossentropy\"; known are categorical_crossentropy, "
      "sparse_categorical_crossentropy, binary_crossentropy, bce, categorical_focal_crossentropy, "
      "binary_focal_crossentropy, categorical_generalized_cross_entropy, kl_divergence, kld, "
      "poisson, mean_squared_error, mse, mean_absolute_error, mae, mean_absolute_percentage_error, "
      "mape, mean_squared_logarithmic_error, msle, huber, log_cosh, cosine_similarity, hinge, "
      "squared_hinge, categorical_hinge, dice, tversky, circle");
  const Loss own = [](Value p, Value t) { return square(square(p - t)); };
  CHECK(own.name == "loss");
  check_close(evaluate_pair(own, Array({2}, {1, 2}), Array({2}, {0, 4})).data, {1, 16});
}

TEST_CASE("metrics: accuracy finds its kind by the shapes") {
  const Array p({4, 3}, {0.1, 0.7, 0.2, 0.5, 0.5, 0, 0.2, 0.3, 0.5, 0.6, 0.3, 0.1});
  const nn::Metric accuracy = "accuracy";
  check_close(evaluate_pair(accuracy, p, Array({4}, {1, 1, 2, 0}), DType::s32).data, {1, 0, 1, 1});
  check_close(evaluate_pair(accuracy, p, Array({4, 1}, {1, 0, 0, 0})).data, {1, 1, 0, 1});
  check_close(evaluate_pair(accuracy, p, Array({4, 3}, {0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0})).data,
              {1, 1, 1, 0});
  // Binary: strictly above a half.
  const Array b({3, 1}, {0.5, 0.51, 0.2});
  check_close(evaluate_pair(accuracy, b, Array({3, 1}, {0, 1, 1})).data, {1, 1, 0});
  check_close(evaluate_pair(accuracy, b, Array({3}, {1, 1, 0})).data, {0, 1, 1});
}

TEST_CASE("metrics: names stay as written") {
  CHECK(nn::Metric("acc").name == "acc");
  CHECK(nn::Metric("mse").name == "mse");
  const nn::Metric own("worst", [](Value p, Value t) { return max(abs(p - t)); });
  CHECK(own.name == "worst");
  check_close(evaluate_pair(own, Array({2}, {1, 2}), Array({2}, {0, 4})).data, {2});
  CHECK(
      message_of<ArgumentError>([] { nn::Metric("exactness"); })
          .starts_with(
              "metric: unknown name \"exactness\"; known are accuracy, acc, categorical_accuracy"));
}

}  // namespace weft::test
