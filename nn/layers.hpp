// The layers, with Keras' arguments and defaults: those without a default come first, the rest by
// name, Conv2D(32, {3, 3}, {.padding = "same", .activation = "relu"}). All is channels last. Every
// member can be read back.
#pragma once

#include <cstdint>
#include <optional>
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
// Sequential before it sees data; name is what the weights are named after.

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

struct Conv2DConfig {
  Size2D strides = 1;
  std::string padding = "valid";  ///< or "same": zeros around, such that out = ceil(in / stride)
  Size2D dilation_rate = 1;
  std::int64_t groups = 1;
  Activation activation = "linear";
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Shape input_shape{};
  std::string name{};
};

/// activation(conv2d(x, kernel) + bias).
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',filters]
///   weights  kernel f32[KH,KW,C/groups,filters], bias f32[filters]
///   throws   ArgumentError for sizes below 1, an unknown padding, and a stride together with a
///            dilation; ShapeError if x is not of rank 4, groups does not divide C and filters, or
///            the kernel is larger than the input
struct Conv2D : Symbolic<Conv2D> {
  std::int64_t filters;
  Size2D kernel_size;
  Conv2DConfig config;

  Conv2D(std::int64_t filters, Size2D kernel_size, Conv2DConfig config = {});
  static std::string_view name() { return "Conv2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct Pooling2DConfig {
  Size2D strides = 0;  ///< 0: as pool_size
  std::string padding = "valid";
  Shape input_shape{};
  std::string name{};
};

/// The largest element of each window. Padding "same" counts as minus infinity.
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',C]
///   throws   ArgumentError for sizes below 1 and an unknown padding; ShapeError if x is not of
///   rank
///            4, or smaller than the window
struct MaxPooling2D : Symbolic<MaxPooling2D> {
  Size2D pool_size;
  Pooling2DConfig config;

  explicit MaxPooling2D(Size2D pool_size = 2, Pooling2DConfig config = {});
  static std::string_view name() { return "MaxPooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The mean of each window, over those elements that are not padding; the rest as MaxPooling2D.
struct AveragePooling2D : Symbolic<AveragePooling2D> {
  Size2D pool_size;
  Pooling2DConfig config;

  explicit AveragePooling2D(Size2D pool_size = 2, Pooling2DConfig config = {});
  static std::string_view name() { return "AveragePooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct GlobalPooling2DConfig {
  bool keepdims = false;  ///< f32[N,1,1,C] instead of f32[N,C]
  Shape input_shape{};
  std::string name{};
};

/// The mean over height and width.
///   x        f32[N,H,W,C]
///   returns  f32[N,C]
///   throws   ShapeError if x is not of rank 4
struct GlobalAveragePooling2D : Symbolic<GlobalAveragePooling2D> {
  GlobalPooling2DConfig config{};

  explicit GlobalAveragePooling2D(GlobalPooling2DConfig config = {});
  static std::string_view name() { return "GlobalAveragePooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The largest element over height and width; the rest as GlobalAveragePooling2D.
struct GlobalMaxPooling2D : Symbolic<GlobalMaxPooling2D> {
  GlobalPooling2DConfig config{};

  explicit GlobalMaxPooling2D(GlobalPooling2DConfig config = {});
  static std::string_view name() { return "GlobalMaxPooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

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

struct ReLUConfig {
  std::optional<double> max_value{};
  double negative_slope = 0;
  double threshold = 0;
  Shape input_shape{};
  std::string name{};
};

/// x where it is at least the threshold, else negative_slope (x - threshold); and at most
/// max_value. Throws ArgumentError for a negative argument.
struct ReLU : Symbolic<ReLU> {
  ReLUConfig config;

  explicit ReLU(ReLUConfig config = {});
  static std::string_view name() { return "ReLU"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct LayerConfig {
  Shape input_shape{};
  std::string name{};
};

/// f32[N,...] as f32[N,product], row-major; f32[N] as f32[N,1].
struct Flatten : Symbolic<Flatten> {
  LayerConfig config;

  explicit Flatten(LayerConfig config = {}) : config(std::move(config)) {}
  static std::string_view name() { return "Flatten"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// f32[N,...] as f32[N,target_shape...]; one size may be -1 and follows from the others.
/// Throws ArgumentError for more than one -1 and other sizes below 1; ShapeError if it does not
/// fit.
struct Reshape : Symbolic<Reshape> {
  std::vector<std::int64_t> target_shape;
  LayerConfig config;

  explicit Reshape(std::vector<std::int64_t> target_shape, LayerConfig config = {});
  static std::string_view name() { return "Reshape"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// In training, each element becomes 0 with probability rate, and the others are divided by
/// (1 - rate), so that the mean stays; else x itself.
/// Throws ArgumentError unless 0 <= rate < 1. See Srivastava et al., 2014.
struct Dropout : Symbolic<Dropout> {
  double rate;
  LayerConfig config;

  explicit Dropout(double rate, LayerConfig config = {});
  static std::string_view name() { return "Dropout"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
