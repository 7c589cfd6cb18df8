// Convolutions as layers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nn/core.hpp"

namespace weft::nn {

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
  bool trainable = true;
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

}  // namespace weft::nn
