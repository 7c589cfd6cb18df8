// Layers that normalize what goes through them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nn/core.hpp"

namespace weft::nn {

struct BatchNormalizationConfig {
  int axis = -1;  ///< the channels: the last axis is the only one that can be
  double momentum = 0.99;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Initializer moving_mean_initializer = "zeros";
  Initializer moving_variance_initializer = "ones";
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel. In training, mean and (biased)
/// variance are those of the batch, over all its replicas, and what is kept moves towards them:
/// moving = momentum * moving + (1 - momentum) * batch. Else what is kept serves.
///   x        f32[N,...,C]
///   returns  the same type
///   weights  gamma (if scale), beta (if center), moving_mean, moving_variance, each f32[C]
///   throws   ArgumentError unless 0 <= momentum <= 1 and epsilon >= 0, and for another axis than
///            the last; ShapeError for a mere batch of numbers
struct BatchNormalization : Symbolic<BatchNormalization> {
  BatchNormalizationConfig config;

  explicit BatchNormalization(BatchNormalizationConfig config = {});
  static std::string_view name() { return "BatchNormalization"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
