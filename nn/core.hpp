// Input and Dense, and what the arguments of all layers have in common.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/activations.hpp"
#include "nn/initializers.hpp"
#include "nn/symbol.hpp"

namespace weft::nn {

/// A height and a width; one number stands for both.
struct Size2D {
  std::int64_t height = 0, width = 0;
  constexpr Size2D(std::int64_t both) : height(both), width(both) {}
  constexpr Size2D(std::int64_t h, std::int64_t w) : height(h), width(w) {}
  friend constexpr bool operator==(const Size2D&, const Size2D&) = default;
};

// In each config: input_shape is without the batch, and needed (of the first layer) only to build a
// Sequential before it sees data; name is what the weights are named after; trainable is
// Layer::trainable at the beginning.

struct LayerConfig {
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// y, the output of a layer, once its activity_regularizer (if there is one) has added its part to
/// the loss: divided by the size of the batch, as Keras 3 does. Where replicas share the batch,
/// each adds that of its slice, which is right for sums over samples, as l1 and l2 are.
Value with_activity_loss(Scope& scope, Value y, const Regularizer& activity_regularizer);

struct InputConfig {
  std::string name{};
  DType dtype = DType::f32;  ///< or s32, for whole numbers
  Shape input_shape{};       ///< as given to Input
};

/// Where a model begins: a symbol for a batch of samples of that shape. Also what a Sequential may
/// begin with.
struct Input : Symbol {
  InputConfig config;

  explicit Input(const Shape& shape, InputConfig config = {});
  static std::string_view name() { return "InputLayer"; }
  Value operator()(Scope&, Value x) const { return x; }
};

struct DenseConfig {
  Activation activation = "linear";
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// activation(x kernel + bias), over the last axis.
///   x        f32[...,C]
///   returns  f32[...,units]
///   weights  kernel f32[C,units], bias f32[units]
///   throws   ArgumentError unless units > 0; ShapeError for a scalar or a mere batch of numbers
struct Dense : Symbolic<Dense> {
  std::int64_t units;
  DenseConfig config;

  explicit Dense(std::int64_t units, DenseConfig config = {});
  static std::string_view name() { return "Dense"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
