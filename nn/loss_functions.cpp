// The formulas of losses.hpp.
#include <algorithm>

#include "graph/graph.hpp"
#include "graph/op.hpp"
#include "graph/print.hpp"
#include "nn/losses.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

constexpr float epsilon = 1e-7f;  // Keras' fuzz factor

bool is_last(const Shape& shape, int axis) {
  return axis == -1 || axis == static_cast<int>(shape.rank()) - 1;
}

/// x with that axis behind all others.
Value with_last(Value x, int axis, std::string_view who) {
  if (is_last(x.shape(), axis)) return x;
  const int moved = axis_of(x.shape(), axis, who);
  std::vector<int> order;
  for (int k = 0; k < static_cast<int>(x.shape().rank()); ++k) {
    if (k != moved) order.push_back(k);
  }
  order.push_back(moved);
  return transpose(x, order);
}

void expect_fraction(std::string_view loss, std::string_view what, double number) {
  if (number >= 0 && number <= 1) return;
  fail<ArgumentError>("{}: {} must be between 0 and 1, not {}", loss, what, number);
}

/// t (1 - smoothing) + smoothing / classes
Value smoothed(std::string_view loss, Value t, double smoothing, std::int64_t classes) {
  expect_fraction(loss, "label_smoothing", smoothing);
  if (smoothing == 0) return t;
  return t * static_cast<float>(1 - smoothing) +
         static_cast<float>(smoothing / static_cast<double>(classes));
}

/// The input of the activation that made the prediction; empty if another op made it.
Value logits_behind(Value prediction, std::string_view activation, int axis = -1) {
  if (prediction.op().name() != activation) return {};
  const auto along = fmt::format("{{axis={}}}", axis_of(prediction.shape(), axis, activation));
  if (activation == "softmax" && prediction.op().attributes() != along) return {};
  return prediction.inputs()[0];
}

/// p scaled to sum up to 1, and clipped.
Value scaled_probabilities(Value p, int axis) {
  return clip(p / sum(p, {axis}, Keep::axes), epsilon, 1 - epsilon);
}

/// -sum t log p for targets that are distributions over the axis.
Value cross_entropy(Value prediction, Value target, bool from_logits, int axis) {
  const Value logits = from_logits ? prediction : logits_behind(prediction, "softmax", axis);
  if (logits) {
    return softmax_cross_entropy(with_last(logits, axis, "softmax"),
                                 with_last(target, axis, "softmax"));
  }
  return -sum(target * log(scaled_probabilities(prediction, axis)), {axis});
}

/// -t log p - (1 - t) log(1 - p)
Value binary_cross_entropy(Value t, Value probabilities) {
  const Value p = clip(probabilities, epsilon, 1 - epsilon);
  return -(t * log(p) + (1.0f - t) * log(1.0f - p));
}

/// loss * base^gamma, without powers of 0 that have no derivative.
Value focused(Value loss, Value base, double gamma) {
  if (gamma == 0) return loss;
  if (gamma == 1) return loss * base;
  return loss * (gamma == 2 ? square(base) : pow(base, static_cast<float>(gamma)));
}

Value mean_last(Value x) { return mean(x, {-1}); }

/// Whether all targets of the batch are 0 or 1 is for all of its slices to say.
Value hinge_target(std::string_view loss, Value prediction, Value target) {
  const Value t = dense_target(loss, prediction, target);
  const Value others = all_reduce(sum(1.0f - maximum(equal(t, 0.0f), equal(t, 1.0f))));
  return select(broadcast_to(equal(others, 0.0f), t.shape()), 2.0f * t - 1.0f, t);
}

Value margin(std::string_view loss, Value prediction, Value target) {
  return maximum(1.0f - hinge_target(loss, prediction, target) * prediction, 0.0f);
}

/// x scaled to length 1 along an axis, if it is at least 1e-7 long.
Value normalized(Value x, int axis) {
  return x * reciprocal(sqrt(maximum(sum(square(x), {axis}, Keep::axes), epsilon * epsilon)));
}

/// The sum over axes (none named: all) of the batch, of which x is a slice.
Value sum_of_batch(Value x, const std::vector<int>& axes, std::string_view who) {
  const bool over_samples = axes.empty() || std::any_of(axes.begin(), axes.end(), [&](int axis) {
                              return axis_of(x.shape(), axis, who) == 0;
                            });
  const Value total = sum(x, axes);
  return over_samples ? all_reduce(total) : total;
}

/// log sum e^x of each row, over those x where the mask is 1; very small if there are none.
Value log_sum_exp(Value x, Value mask) {
  const Value kept = select(mask, x, scalar_like(x, -1e30f));
  const Value largest = stop_gradient(max(kept, {-1}, Keep::axes));
  return log(sum(exp(kept - largest), {-1})) + reshape(largest, {x.shape()[0]});
}

/// Zeros, and 1 where row and column are the same.
Value diagonal(Value like, std::int64_t size) {
  Tensor ones(Type{DType::f32, {size, size}});
  for (std::int64_t i = 0; i < size; ++i) {
    ones.data<float>()[static_cast<std::size_t>(i * (size + 1))] = 1;
  }
  return Graph::of(like).constant(ones);
}

}  // namespace

// ---- probabilities

Value CategoricalCrossentropy::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  return cross_entropy(prediction, smoothed(name(), t, label_smoothing, prediction.shape()[axis]),
                       from_logits, axis);
}

Value SparseCategoricalCrossentropy::operator()(Value prediction, Value target) const {
  const int along = axis_of(prediction.shape(), axis, name());
  const Value logits = from_logits ? prediction : logits_behind(prediction, "softmax", along);
  const Value p = with_last(logits ? logits : prediction, along, name());
  Value classes = class_target(name(), p, target);
  const Value valid = mask(prediction, target);
  if (valid) classes = cast(cast(classes, DType::f32) * valid, DType::s32);  // class 0 will do
  const Value losses = cross_entropy(p, one_hot(classes, p.shape()[-1]), bool(logits), -1);
  return valid ? select(valid, losses, zeros_like(losses)) : losses;
}

Value SparseCategoricalCrossentropy::mask(Value prediction, Value target) const {
  if (!ignore_class) return {};
  const Value classes = class_target(name(), with_last(prediction, axis, name()), target);
  const Value numbers = cast(classes, DType::f32);
  return not_equal(numbers, scalar_like(numbers, static_cast<float>(*ignore_class)));
}

Value BinaryCrossentropy::operator()(Value prediction, Value target) const {
  const Value t = smoothed(name(), dense_target(name(), prediction, target), label_smoothing, 2);
  // With p = sigmoid(x): -log p = softplus(x) - x and -log(1 - p) = softplus(x).
  const Value x = from_logits ? prediction : logits_behind(prediction, "sigmoid");
  if (x) return mean(softplus(x) - x * t, {axis});
  return mean(binary_cross_entropy(t, prediction), {axis});
}

Value CategoricalFocalCrossentropy::operator()(Value prediction, Value target) const {
  const Value p = with_last(from_logits ? softmax(prediction, axis) : prediction, axis, name());
  const std::int64_t classes = p.shape()[-1];
  const Value t = with_last(
      smoothed(name(), dense_target(name(), prediction, target), label_smoothing, classes), axis,
      name());
  const Value scaled = scaled_probabilities(p, -1);
  Value losses = focused(-t * log(scaled), 1.0f - scaled, gamma);
  if (alpha.size() == 1) {
    losses = losses * static_cast<float>(alpha[0]);
  } else if (static_cast<std::int64_t>(alpha.size()) == classes) {
    const std::vector<float> factors(alpha.begin(), alpha.end());
    losses = losses * Graph::of(p).constant(Tensor::of<float>({classes}, factors));
  } else {
    fail<ArgumentError>("{}: alpha must be one number or one for each of {} classes, not {}",
                        name(), classes, alpha.size());
  }
  return sum(losses, {-1});
}

Value BinaryFocalCrossentropy::operator()(Value prediction, Value target) const {
  const Value t = smoothed(name(), dense_target(name(), prediction, target), label_smoothing, 2);
  const Value p = from_logits ? sigmoid(prediction) : prediction;
  const Value right = t * p + (1.0f - t) * (1.0f - p);
  Value losses = focused(binary_cross_entropy(t, p), 1.0f - right, gamma);
  if (apply_class_balancing) {
    const auto a = static_cast<float>(alpha);
    losses = losses * (t * a + (1.0f - t) * (1 - a));
  }
  return mean(losses, {axis});
}

Value CategoricalGeneralizedCrossEntropy::operator()(Value prediction, Value target) const {
  if (!(q > 0 && q < 1)) {
    fail<ArgumentError>("{}: q must be between 0 and 1, not {}", name(), q);
  }
  const Value classes = class_target(name(), prediction, target);
  const Value p = sum(prediction * one_hot(classes, prediction.shape()[-1]), {-1});
  return (1.0f - pow(p, static_cast<float>(q))) * static_cast<float>(1 / q);
}

Value KLDivergence::operator()(Value prediction, Value target) const {
  const Value t = clip(dense_target(name(), prediction, target), epsilon, 1);
  // A probability of 1 is none that is cut, and has half a gradient, as in JAX.
  const Value p = minimum(maximum(prediction, epsilon), 1.0f);
  return sum(t * log(t / p), {-1});
}

Value Poisson::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  return mean_last(prediction - t * log(prediction + epsilon));
}

// ---- numbers

Value MeanSquaredError::operator()(Value prediction, Value target) const {
  return mean_last(square(prediction - dense_target(name(), prediction, target)));
}

Value MeanAbsoluteError::operator()(Value prediction, Value target) const {
  return mean_last(abs(prediction - dense_target(name(), prediction, target)));
}

Value MeanAbsolutePercentageError::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  return 100.0f * mean_last(abs((t - prediction) / maximum(abs(t), epsilon)));
}

Value MeanSquaredLogarithmicError::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  const auto logarithm = [](Value x) { return log(maximum(x, epsilon) + 1.0f); };
  return mean_last(square(logarithm(prediction) - logarithm(t)));
}

Value Huber::operator()(Value prediction, Value target) const {
  if (!(delta > 0)) fail<ArgumentError>("{}: delta must be above 0, not {}", name(), delta);
  const auto d = static_cast<float>(delta);
  const Value error = prediction - dense_target(name(), prediction, target);
  const Value size = abs(error);
  return mean_last(select(less_equal(size, scalar_like(size, d)), 0.5f * square(error),
                          d * size - 0.5f * d * d));
}

Value LogCosh::operator()(Value prediction, Value target) const {
  // log cosh x = x + log(1 + e^-2x) - log 2
  const Value x = prediction - dense_target(name(), prediction, target);
  return mean_last(x + softplus(-2.0f * x) - 0.69314718f);
}

Value CosineSimilarity::operator()(Value prediction, Value target) const {
  return -metric(prediction, target);
}

Value CosineSimilarity::metric(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  return sum(normalized(t, axis) * normalized(prediction, axis), {axis});
}

// ---- margins

Value Hinge::operator()(Value prediction, Value target) const {
  return mean_last(margin(name(), prediction, target));
}

Value SquaredHinge::operator()(Value prediction, Value target) const {
  return mean_last(square(margin(name(), prediction, target)));
}

Value CategoricalHinge::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  const Value right = sum(t * prediction, {-1}), wrong = max((1.0f - t) * prediction, {-1});
  return maximum(wrong - right + 1.0f, 0.0f);
}

// ---- overlaps

Value Dice::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  const auto total = [&](Value x) { return sum_of_batch(x, axis, name()); };
  return 1.0f - 2.0f * total(t * prediction) / (total(t) + total(prediction) + epsilon);
}

Value Tversky::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  const auto total = [&](Value x) { return sum_of_batch(x, axis, name()); };
  const Value both = total(t * prediction);
  const Value missed = total(t * (1.0f - prediction)) * static_cast<float>(alpha);
  const Value wrong = total(prediction * (1.0f - t)) * static_cast<float>(beta);
  return 1.0f - both / (both + missed + wrong + epsilon);
}

// ---- similarity

Value Circle::operator()(Value prediction, Value target) const {
  if (prediction.shape().rank() != 2) {
    fail<ShapeError>("{}: the output must be [N,D], not {}", name(),
                     with_any_batch(prediction.shape()));
  }
  const Value labels = cast(class_target(name(), prediction, target), DType::f32);
  const std::int64_t rows = labels.shape()[0];
  const auto m = static_cast<float>(margin), g = static_cast<float>(gamma);
  const Value distance =
      maximum(1.0f - matmul(prediction, prediction, {.transpose_b = true}), 0.0f);
  const Value alike = equal(reshape(labels, {rows, 1}), reshape(labels, {1, rows}));
  const Value others = remove_diagonal ? alike - diagonal(alike, rows) : alike;
  const Value pull = g * (distance + m) * (distance - m);
  const Value push = g * maximum(1 + m - distance, 0.0f) * (1 - m - distance);
  return softplus(log_sum_exp(pull, others) + log_sum_exp(push, 1.0f - alike));
}

Value Circle::mask(Value prediction, Value target) const {
  return greater((*this)(prediction, target), 0.0f);
}

}  // namespace weft::nn
