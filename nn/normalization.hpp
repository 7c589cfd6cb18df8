// Layers that normalize what goes through them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nn/axes.hpp"
#include "nn/core.hpp"

namespace weft::nn {

struct BatchNormalizationConfig {
  int axis = -1;  ///< the channels
  double momentum = 0.99;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Initializer moving_mean_initializer = "zeros";
  Initializer moving_variance_initializer = "ones";
  Regularizer beta_regularizer{};
  Regularizer gamma_regularizer{};
  Constraint beta_constraint{};
  Constraint gamma_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel. In training, mean and (biased)
/// variance are those of the batch, over all its replicas, and what is kept moves towards them:
/// moving = momentum * moving + (1 - momentum) * batch. Else, and in a layer that is frozen, what
/// is kept serves, and stays.
///   x        f32[N,...,C], or with C at another axis
///   returns  the same type
///   weights  gamma (if scale), beta (if center), moving_mean, moving_variance, each f32[C]
///   throws   ArgumentError unless 0 <= momentum <= 1 and epsilon >= 0, and for an axis that is the
///            batch or is not there; ShapeError for a mere batch of numbers
///   see      Ioffe and Szegedy, 2015
struct BatchNormalization : Symbolic<BatchNormalization> {
  BatchNormalizationConfig config;

  explicit BatchNormalization(BatchNormalizationConfig config = {});
  static std::string_view name() { return "BatchNormalization"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct LayerNormalizationConfig {
  Axes axis = -1;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  bool rms_scaling = false;  ///< as Keras has it, see below
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Regularizer beta_regularizer{};
  Regularizer gamma_regularizer{};
  Constraint beta_constraint{};
  Constraint gamma_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// gamma (x - mean) / sqrt(variance + epsilon) + beta, with mean and (biased) variance of each
/// sample along the axes. With rms_scaling it is gamma x / sqrt(variance + epsilon), which is no
/// normalization by the root mean square: RMSNormalization is.
///   x        f32[N,...]
///   returns  the same type
///   weights  gamma (if scale or rms_scaling), beta (if center and not rms_scaling), of the sizes
///            of the axes
///   throws   ArgumentError unless epsilon >= 0, and for no axis; ShapeError for an axis that is
///            not there
///   see      Ba, Kiros and Hinton, "Layer normalization", 2016
struct LayerNormalization : Symbolic<LayerNormalization> {
  LayerNormalizationConfig config;

  explicit LayerNormalization(LayerNormalizationConfig config = {});
  static std::string_view name() { return "LayerNormalization"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct GroupNormalizationConfig {
  std::int64_t groups = 32;  ///< -1: each channel is one
  int axis = -1;             ///< the channels
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Regularizer beta_regularizer{};
  Regularizer gamma_regularizer{};
  Constraint beta_constraint{};
  Constraint gamma_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// gamma (x - mean) / sqrt(variance + epsilon) + beta, with mean and (biased) variance of each
/// sample over each group of neighbouring channels, and all other axes.
///   x        f32[N,...,C], or with C at another axis
///   returns  the same type
///   weights  gamma (if scale), beta (if center), each f32[C]
///   throws   ArgumentError unless groups > 0 or it is -1, and epsilon >= 0, and for an axis that
///            is the batch or is not there; ShapeError unless groups divides C
///   see      Wu and He, "Group normalization", 2018
struct GroupNormalization : Symbolic<GroupNormalization> {
  GroupNormalizationConfig config;

  explicit GroupNormalization(GroupNormalizationConfig config = {});
  static std::string_view name() { return "GroupNormalization"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct RMSNormalizationConfig {
  Axes axis = -1;
  double epsilon = 1e-6;
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// scale x / sqrt(mean of x^2 along the axes + epsilon).
///   x        f32[N,...]
///   returns  the same type
///   weights  scale, of the sizes of the axes
///   throws   as LayerNormalization does
///   see      Zhang and Sennrich, "Root mean square layer normalization", 2019
struct RMSNormalization : Symbolic<RMSNormalization> {
  RMSNormalizationConfig config;

  explicit RMSNormalization(RMSNormalizationConfig config = {});
  static std::string_view name() { return "RMSNormalization"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct UnitNormalizationConfig {
  Axes axis = -1;
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// x / sqrt(sum of x^2 along the axes); zeros stay. Throws ArgumentError for no axis; ShapeError
/// for one that is not there.
struct UnitNormalization : Symbolic<UnitNormalization> {
  UnitNormalizationConfig config;

  explicit UnitNormalization(UnitNormalizationConfig config = {});
  static std::string_view name() { return "UnitNormalization"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
