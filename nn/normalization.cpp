#include "nn/normalization.hpp"

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {

BatchNormalization::BatchNormalization(BatchNormalizationConfig c) : config(std::move(c)) {
  if (!(config.momentum >= 0 && config.momentum <= 1)) {
    fail<ArgumentError>("BatchNormalization: momentum must be in [0, 1], not {}", config.momentum);
  }
  if (!(config.epsilon >= 0)) {
    fail<ArgumentError>("BatchNormalization: epsilon must be at least 0, not {}", config.epsilon);
  }
}

Value BatchNormalization::operator()(Scope& scope, Value x) const {
  const Shape shape = x.shape();
  if (shape.rank() < 2) {
    fail<ShapeError>("BatchNormalization: the input must be at least f32[N,C], not {}", x.type());
  }
  if (config.axis != -1 && config.axis + 1 != static_cast<int>(shape.rank())) {
    fail<ArgumentError>(
        "BatchNormalization: axis must be the last, -1, not {}; transpose {} so that channels come "
        "last",
        config.axis, x.type());
  }
  const Shape channels{shape[-1]};
  const auto constant = [&](float number) {
    return scope.graph().constant(Tensor::full(channels, number));
  };
  const Value gamma =
      config.scale ? scope.parameter("gamma", channels, config.gamma_initializer) : constant(1);
  const Value beta =
      config.center ? scope.parameter("beta", channels, config.beta_initializer) : constant(0);
  const Value mean = scope.state("moving_mean", channels, config.moving_mean_initializer);
  const Value variance =
      scope.state("moving_variance", channels, config.moving_variance_initializer);
  const auto epsilon = static_cast<float>(config.epsilon);
  if (!scope.training() || !scope.trainable()) {
    return batch_norm(x, mean, variance, gamma, beta, epsilon);
  }

  const Moments batch = batch_moments(x, scope.share());
  const auto kept = static_cast<float>(config.momentum),
             added = static_cast<float>(1 - config.momentum);
  scope.update_uniform(mean, mean * kept + batch.mean * added);
  scope.update_uniform(variance, variance * kept + batch.variance * added);
  return batch_norm(x, batch.mean, batch.variance, gamma, beta, epsilon);
}

}  // namespace weft::nn
