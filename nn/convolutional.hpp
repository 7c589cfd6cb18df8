// Convolutions as layers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nn/core.hpp"

namespace weft::nn {

// What all of them do with their last arguments: the bias is added, then comes the activation;
// activity_regularizer sees what the layer returns. With data_format "channels_first", inputs and
// outputs are f32[N,C,H,W] (f32[N,C,T]) instead of f32[N,H,W,C] (f32[N,T,C]); weights stay as they
// are.

struct Conv2DConfig {
  Size2D strides = 1;
  std::string padding = "valid";  ///< or "same": zeros around, such that out = ceil(in / stride)
  std::string data_format = "channels_last";  ///< or "channels_first"
  Size2D dilation_rate = 1;
  std::int64_t groups = 1;
  Activation activation = "linear";
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer{};
  Regularizer bias_regularizer{};
  Regularizer activity_regularizer{};
  Constraint kernel_constraint{};
  Constraint bias_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// activation(conv2d(x, kernel) + bias).
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',filters]
///   weights  kernel f32[KH,KW,C/groups,filters], bias f32[filters]
///   throws   ArgumentError for sizes below 1, an unknown padding or data_format, and a stride
///            together with a dilation; ShapeError if x is not of rank 4, groups does not divide C
///            and filters, or the kernel is larger than the input
struct Conv2D : Symbolic<Conv2D> {
  std::int64_t filters;
  Size2D kernel_size;
  Conv2DConfig config;

  Conv2D(std::int64_t filters, Size2D kernel_size, Conv2DConfig config = {});
  static std::string_view name() { return "Conv2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct Conv1DConfig {
  std::int64_t strides = 1;
  /// Or "same"; or "causal": zeros before the first step alone, so that no output sees a later
  /// input.
  std::string padding = "valid";
  std::string data_format = "channels_last";
  std::int64_t dilation_rate = 1;
  std::int64_t groups = 1;
  Activation activation = "linear";
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer{};
  Regularizer bias_regularizer{};
  Regularizer activity_regularizer{};
  Constraint kernel_constraint{};
  Constraint bias_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// Conv2D along one axis.
///   x        f32[N,T,C]
///   returns  f32[N,T',filters]
///   weights  kernel f32[K,C/groups,filters], bias f32[filters]
///   throws   as Conv2D
struct Conv1D : Symbolic<Conv1D> {
  std::int64_t filters;
  std::int64_t kernel_size;
  Conv1DConfig config;

  Conv1D(std::int64_t filters, std::int64_t kernel_size, Conv1DConfig config = {});
  static std::string_view name() { return "Conv1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct DepthwiseConv2DConfig {
  Size2D strides = 1;
  std::string padding = "valid";
  std::int64_t depth_multiplier = 1;  ///< outputs for each channel
  std::string data_format = "channels_last";
  Size2D dilation_rate = 1;
  Activation activation = "linear";
  bool use_bias = true;
  Initializer depthwise_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer depthwise_regularizer{};
  Regularizer bias_regularizer{};
  Regularizer activity_regularizer{};
  Constraint depthwise_constraint{};
  Constraint bias_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// Each channel convolved by itself, with depth_multiplier kernels of its own; the outputs of a
/// channel are neighbours.
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',C*depth_multiplier]
///   weights  kernel f32[KH,KW,C,depth_multiplier], bias f32[C*depth_multiplier]
///   throws   as Conv2D, but strides and dilation_rate may go together
struct DepthwiseConv2D : Symbolic<DepthwiseConv2D> {
  Size2D kernel_size;
  DepthwiseConv2DConfig config;

  explicit DepthwiseConv2D(Size2D kernel_size, DepthwiseConv2DConfig config = {});
  static std::string_view name() { return "DepthwiseConv2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct SeparableConv2DConfig {
  Size2D strides = 1;
  std::string padding = "valid";
  std::string data_format = "channels_last";
  Size2D dilation_rate = 1;
  std::int64_t depth_multiplier = 1;
  Activation activation = "linear";
  bool use_bias = true;
  Initializer depthwise_initializer = "glorot_uniform";
  Initializer pointwise_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer depthwise_regularizer{};
  Regularizer pointwise_regularizer{};
  Regularizer bias_regularizer{};
  Regularizer activity_regularizer{};
  Constraint depthwise_constraint{};
  Constraint pointwise_constraint{};
  Constraint bias_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// A depthwise convolution, then one of 1x1 that mixes channels.
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',filters]
///   weights  depthwise_kernel f32[KH,KW,C,depth_multiplier],
///            pointwise_kernel f32[1,1,C*depth_multiplier,filters], bias f32[filters]
///   throws   as DepthwiseConv2D
struct SeparableConv2D : Symbolic<SeparableConv2D> {
  std::int64_t filters;
  Size2D kernel_size;
  SeparableConv2DConfig config;

  SeparableConv2D(std::int64_t filters, Size2D kernel_size, SeparableConv2DConfig config = {});
  static std::string_view name() { return "SeparableConv2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct Conv2DTransposeConfig {
  Size2D strides = 1;
  std::string padding = "valid";
  std::optional<Size2D> output_padding{};  ///< less than strides; none: the sizes given below
  std::string data_format = "channels_last";
  Size2D dilation_rate = 1;
  Activation activation = "linear";
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer{};
  Regularizer bias_regularizer{};
  Regularizer activity_regularizer{};
  Constraint kernel_constraint{};
  Constraint bias_constraint{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// The transposed convolution: what a convolution of these arguments does to a gradient.
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',filters]. With K = (KH - 1) dilation + 1 and stride s: H' = H s for
///            "same", (H - 1) s + max(K, s) for "valid"; with an output_padding p,
///            (H - 1) s + K mod 2 + p for "same" and (H - 1) s + K + p for "valid"
///   weights  kernel f32[KH,KW,filters,C], bias f32[filters]
///   throws   as Conv2D, and ArgumentError for an output_padding that is negative or not less than
///            strides
struct Conv2DTranspose : Symbolic<Conv2DTranspose> {
  std::int64_t filters;
  Size2D kernel_size;
  Conv2DTransposeConfig config;

  Conv2DTranspose(std::int64_t filters, Size2D kernel_size, Conv2DTransposeConfig config = {});
  static std::string_view name() { return "Conv2DTranspose"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
