#include "nn/normalization.hpp"

#include <algorithm>
#include <numeric>

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

void expect_epsilon(std::string_view layer, double epsilon) {
  if (!(epsilon >= 0)) {
    fail<ArgumentError>("{}: epsilon must be at least 0, not {}", layer, epsilon);
  }
}

void expect_axes(std::string_view layer, const Axes& axes) {
  if (axes.empty()) fail<ArgumentError>("{}: it needs at least one axis", layer);
}

/// Where the channels are, counted from the front.
int channel_axis(std::string_view layer, int axis, const Type& x) {
  const int rank = static_cast<int>(x.shape.rank());
  if (rank < 2) fail<ShapeError>("{}: the input must be at least f32[N,C], not {}", layer, x);
  const int at = axis < 0 ? axis + rank : axis;
  if (at < 1 || at >= rank) {
    fail<ArgumentError>("{}: axis {} must be one of 1 to {}, or -1 to {}, for an input {}", layer,
                        axis, rank - 1, 1 - rank, x);
  }
  return at;
}

/// All axes of a rank, with one of them moved to another place.
std::vector<int> moved(std::size_t rank, int from, int to) {
  std::vector<int> order(rank);
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + from);
  order.insert(order.begin() + to, from);
  return order;
}

Value inverse_root(Value x, double epsilon) {
  return reciprocal(sqrt(x + static_cast<float>(epsilon)));
}

/// x gamma + beta, either of which may be empty, for weights of a shape that x's ends with.
Value scaled(Value x, Value gamma, Value beta) {
  // One number per channel: what is normalized by mean 0 and variance 1 is only scaled and shifted,
  // and batch_norm_sums makes both gradients in one pass.
  if (gamma && beta && gamma.shape().rank() == 1 && x.shape().rank() > 1) {
    const auto constant = [&](float number) {
      return Graph::of(x).constant(Tensor::full(gamma.shape(), number));
    };
    return batch_norm(x, constant(0), constant(1), gamma, beta, 0);
  }
  if (gamma) x = x * gamma;
  return beta ? x + beta : x;
}

/// What normalization along several axes has in common.
struct Extent {
  std::vector<int> axes;  // counted from the front, sorted
  Shape weight;           // of gamma and beta
  Shape broadcast;        // as that of x, but 1 along the other axes

  Extent(std::string_view layer, const Axes& given, const Shape& x)
      : axes(axes_of(x, given, layer)) {
    // As in Keras, the weights' axes are sorted as they were given.
    Axes sorted = given;
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::int64_t> sizes;
    for (const int axis : sorted) sizes.push_back(x[axis]);
    weight = Shape(sizes);
    sizes.assign(x.rank(), 1);
    for (const int axis : axes) sizes[static_cast<std::size_t>(axis)] = x[axis];
    // Leading ones are those that broadcasting adds anyway.
    sizes.erase(sizes.begin(), sizes.begin() + axes.front());
    broadcast = Shape(sizes);
  }
};

}  // namespace

BatchNormalization::BatchNormalization(BatchNormalizationConfig c) : config(std::move(c)) {
  if (!(config.momentum >= 0 && config.momentum <= 1)) {
    fail<ArgumentError>("BatchNormalization: momentum must be in [0, 1], not {}", config.momentum);
  }
  expect_epsilon(name(), config.epsilon);
}

Value BatchNormalization::operator()(Scope& scope, Value x) const {
  const std::size_t rank = x.shape().rank();
  const int last = static_cast<int>(rank) - 1, axis = channel_axis(name(), config.axis, x.type());
  if (axis != last) x = transpose(x, moved(rank, axis, last));
  const Shape channels{x.shape()[-1]};
  const auto constant = [&](float number) {
    return scope.graph().constant(Tensor::full(channels, number));
  };
  const Value gamma = config.scale
                          ? scope.parameter("gamma", channels, config.gamma_initializer,
                                            config.gamma_regularizer, config.gamma_constraint)
                          : constant(1);
  const Value beta = config.center
                         ? scope.parameter("beta", channels, config.beta_initializer,
                                           config.beta_regularizer, config.beta_constraint)
                         : constant(0);
  const Value mean = scope.state("moving_mean", channels, config.moving_mean_initializer);
  const Value variance =
      scope.state("moving_variance", channels, config.moving_variance_initializer);
  const auto epsilon = static_cast<float>(config.epsilon);
  const auto with = [&](Value m, Value v) {
    const Value y = batch_norm(x, m, v, gamma, beta, epsilon);
    return axis == last ? y : transpose(y, moved(rank, last, axis));
  };
  if (!scope.training() || !scope.trainable()) return with(mean, variance);

  const Moments batch = batch_moments(x, scope.share());
  const auto kept = static_cast<float>(config.momentum),
             added = static_cast<float>(1 - config.momentum);
  scope.update_uniform(mean, mean * kept + batch.mean * added);
  scope.update_uniform(variance, variance * kept + batch.variance * added);
  return with(batch.mean, batch.variance);
}

LayerNormalization::LayerNormalization(LayerNormalizationConfig c) : config(std::move(c)) {
  expect_epsilon(name(), config.epsilon);
  expect_axes(name(), config.axis);
}

Value LayerNormalization::operator()(Scope& scope, Value x) const {
  const Extent extent(name(), config.axis, x.shape());
  Value gamma, beta;
  if (config.scale || config.rms_scaling) {
    gamma = scope.parameter("gamma", extent.weight, config.gamma_initializer,
                            config.gamma_regularizer, config.gamma_constraint);
  }
  if (config.center && !config.rms_scaling) {
    beta = scope.parameter("beta", extent.weight, config.beta_initializer, config.beta_regularizer,
                           config.beta_constraint);
  }
  Value y;
  if (config.rms_scaling) {
    const Value centered = x - mean(x, extent.axes, Keep::axes);
    y = x * inverse_root(mean(square(centered), extent.axes, Keep::axes), config.epsilon);
  } else {
    y = standardize(x, extent.axes, static_cast<float>(config.epsilon));
  }
  if (gamma) gamma = reshape(gamma, extent.broadcast);
  if (beta) beta = reshape(beta, extent.broadcast);
  return scaled(y, gamma, beta);
}

GroupNormalization::GroupNormalization(GroupNormalizationConfig c) : config(std::move(c)) {
  if (config.groups < 1 && config.groups != -1) {
    fail<ArgumentError>(
        "GroupNormalization: groups must be at least 1, or -1 for one per channel, "
        "not {}",
        config.groups);
  }
  expect_epsilon(name(), config.epsilon);
}

Value GroupNormalization::operator()(Scope& scope, Value x) const {
  const Shape shape = x.shape();
  const int axis = channel_axis(name(), config.axis, x.type());
  const std::int64_t channels = shape[axis],
                     groups = config.groups == -1 ? channels : config.groups;
  if (channels % groups != 0) {
    fail<ShapeError>("GroupNormalization: the {} channels of {} cannot be cut into {} groups",
                     channels, x.type(), groups);
  }
  Value gamma, beta;
  if (config.scale) {
    gamma = scope.parameter("gamma", {channels}, config.gamma_initializer, config.gamma_regularizer,
                            config.gamma_constraint);
  }
  if (config.center) {
    beta = scope.parameter("beta", {channels}, config.beta_initializer, config.beta_regularizer,
                           config.beta_constraint);
  }
  // Each axis that is cut is two: groups, and the channels of one.
  std::vector<std::int64_t> sizes(shape.begin(), shape.end());
  sizes[static_cast<std::size_t>(axis)] = channels / groups;
  sizes.insert(sizes.begin() + axis, groups);
  std::vector<int> axes;
  for (int k = 1; k < static_cast<int>(sizes.size()); ++k) {
    if (k != axis) axes.push_back(k);
  }
  const Value y = reshape(
      standardize(reshape(x, Shape(sizes)), axes, static_cast<float>(config.epsilon)), shape);
  // Behind the channels, weights have axes of size 1.
  std::vector<std::int64_t> weight(shape.rank() - static_cast<std::size_t>(axis), 1);
  weight[0] = channels;
  if (gamma) gamma = reshape(gamma, Shape(weight));
  if (beta) beta = reshape(beta, Shape(weight));
  return scaled(y, gamma, beta);
}

RMSNormalization::RMSNormalization(RMSNormalizationConfig c) : config(std::move(c)) {
  expect_epsilon(name(), config.epsilon);
  expect_axes(name(), config.axis);
}

Value RMSNormalization::operator()(Scope& scope, Value x) const {
  const Extent extent(name(), config.axis, x.shape());
  const Value scale = scope.parameter("scale", extent.weight, "ones");
  return x * inverse_root(mean(square(x), extent.axes, Keep::axes), config.epsilon) *
         reshape(scale, extent.broadcast);
}

UnitNormalization::UnitNormalization(UnitNormalizationConfig c) : config(std::move(c)) {
  expect_axes(name(), config.axis);
}

Value UnitNormalization::operator()(Scope&, Value x) const {
  const std::vector<int> axes = axes_of(x.shape(), config.axis, name());
  // Held from 0 before the root, whose derivative is infinite there.
  return x * reciprocal(sqrt(maximum(sum(square(x), axes, Keep::axes), 1e-24f)));
}

}  // namespace weft::nn
