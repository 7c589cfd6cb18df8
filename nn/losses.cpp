#include "nn/losses.hpp"

#include <array>

#include "graph/op.hpp"
#include "graph/print.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

constexpr float epsilon = 1e-7f;  // Keras' fuzz factor

struct Row {
  std::string_view name;
  Loss (*make)();
};

constexpr std::array known{
    Row{"categorical_crossentropy", []() -> Loss { return CategoricalCrossentropy{}; }},
    Row{"sparse_categorical_crossentropy",
        []() -> Loss { return SparseCategoricalCrossentropy{}; }},
    Row{"binary_crossentropy", []() -> Loss { return BinaryCrossentropy{}; }},
    Row{"mean_squared_error", []() -> Loss { return MeanSquaredError{}; }},
    Row{"mse", []() -> Loss { return MeanSquaredError{}; }},
    Row{"mean_absolute_error", []() -> Loss { return MeanAbsoluteError{}; }},
    Row{"mae", []() -> Loss { return MeanAbsoluteError{}; }},
};

/// The input of the activation that made the prediction; empty if another op made it.
Value logits_behind(Value prediction, std::string_view activation) {
  if (prediction.op().name() != activation) return {};
  const auto last_axis = fmt::format("{{axis={}}}", prediction.shape().rank() - 1);
  if (activation == "softmax" && prediction.op().attributes() != last_axis) return {};
  return prediction.inputs()[0];
}

/// -sum t log p for targets that are distributions over the last axis.
Value cross_entropy(Value prediction, Value target, bool from_logits) {
  const Value logits = from_logits ? prediction : logits_behind(prediction, "softmax");
  if (logits) return softmax_cross_entropy(logits, target);
  const Value p = prediction / sum(prediction, {-1}, Keep::axes);
  return -sum(target * log(clip(p, epsilon, 1 - epsilon)), {-1});
}

bool is_column(const Shape& shape, const Shape& wide) {
  return shape.rank() == wide.rank() && shape.rank() > 0 && shape == wide.with(-1, 1);
}

Shape without_last(const Shape& shape) {
  return Shape(std::span<const std::int64_t>(shape.begin(), shape.end() - 1));
}

}  // namespace

Loss::Loss(std::string_view wanted) {
  *this = find_named("loss", wanted, std::span<const Row>(known)).make();
}

Value dense_target(std::string_view who, Value prediction, Value target) {
  const Shape& wanted = prediction.shape();
  const Shape& given = target.shape();
  if (given == wanted) return cast(target, DType::f32);
  if (wanted.rank() > 0 && wanted[-1] == 1 && given == without_last(wanted)) {
    return reshape(cast(target, DType::f32), wanted);
  }
  if (who.starts_with("categorical") && wanted.rank() > 1 &&
      (given == without_last(wanted) || is_column(given, wanted))) {
    fail<ShapeError>(
        "{0}: the output is {1}, so targets must be one-hot vectors {1}, but they are {2}: for "
        "integer classes use sparse_{0}, or nn::to_categorical(y, {3})",
        who, with_any_batch(wanted), with_any_batch(given), wanted[-1]);
  }
  fail<ShapeError>("{0}: the output is {1}, so targets must be {1} too, but they are {2}", who,
                   with_any_batch(wanted), with_any_batch(given));
}

Value class_target(std::string_view who, Value prediction, Value target) {
  const Shape& outputs = prediction.shape();
  const Shape& given = target.shape();
  if (outputs.rank() < 1) fail<ShapeError>("{}: the output is a scalar", who);
  const Shape wanted = without_last(outputs);
  if (given == wanted) return cast(target, DType::s32);
  if (is_column(given, outputs)) return reshape(cast(target, DType::s32), wanted);
  const std::string_view dense = who.substr(who.starts_with("sparse_") ? 7 : 0);
  fail<ShapeError>("{}: the output is {}, so targets must be integer classes {}, but they are {}{}",
                   who, with_any_batch(outputs), with_any_batch(wanted), with_any_batch(given),
                   given == outputs ? fmt::format(": for one-hot vectors use {}", dense) : "");
}

Value CategoricalCrossentropy::operator()(Value prediction, Value target) const {
  Value t = dense_target(name(), prediction, target);
  if (label_smoothing != 0) {
    const double classes = static_cast<double>(prediction.shape()[-1]);
    t = t * static_cast<float>(1 - label_smoothing) + static_cast<float>(label_smoothing / classes);
  }
  return cross_entropy(prediction, t, from_logits);
}

Value SparseCategoricalCrossentropy::operator()(Value prediction, Value target) const {
  const Value classes = class_target(name(), prediction, target);
  return cross_entropy(prediction, one_hot(classes, prediction.shape()[-1]), from_logits);
}

Value BinaryCrossentropy::operator()(Value prediction, Value target) const {
  Value t = dense_target(name(), prediction, target);
  if (label_smoothing != 0) {
    t = t * static_cast<float>(1 - label_smoothing) + static_cast<float>(label_smoothing / 2);
  }
  // With p = sigmoid(x): -log p = softplus(x) - x and -log(1 - p) = softplus(x).
  const Value x = from_logits ? prediction : logits_behind(prediction, "sigmoid");
  if (x) return mean(softplus(x) - x * t, {-1});
  const Value p = clip(prediction, epsilon, 1 - epsilon);
  return -mean(t * log(p) + (1.0f - t) * log(1.0f - p), {-1});
}

Value MeanSquaredError::operator()(Value prediction, Value target) const {
  return mean(square(prediction - dense_target(name(), prediction, target)), {-1});
}

Value MeanAbsoluteError::operator()(Value prediction, Value target) const {
  return mean(abs(prediction - dense_target(name(), prediction, target)), {-1});
}

}  // namespace weft::nn
