// Two-dimensional convolution, channels last, with its two gradients: three partial gradients of
// one trilinear form, so that the family is closed under differentiation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "graph/op.hpp"
#include "graph/value.hpp"

namespace weft {

/// How many zeros (for max pooling: minus infinities) stand before and behind each spatial axis.
struct Padding2D {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
  friend bool operator==(const Padding2D&, const Padding2D&) = default;
  std::array<std::int64_t, 4> list() const { return {top, bottom, left, right}; }
};

/// Keras' padding="same": the output has ceil(size / stride) positions; where the total is odd, the
/// extra zero goes behind.
///   sizes, kernel, stride, dilation   of height and width
Padding2D same_padding(std::array<std::int64_t, 2> sizes, std::array<std::int64_t, 2> kernel,
                       std::array<std::int64_t, 2> stride,
                       std::array<std::int64_t, 2> dilation = {1, 1});

struct Conv2dOptions {
  std::array<std::int64_t, 2> stride{1, 1};    ///< of height and width
  Padding2D padding{};                         ///< explicit; see same_padding
  std::array<std::int64_t, 2> dilation{1, 1};  ///< distance between kernel elements
  std::int64_t groups = 1;
  friend bool operator==(const Conv2dOptions&, const Conv2dOptions&) = default;
};

/// 2-D convolution (cross-correlation) of x with kernel.
///   x        f32[N,H,W,C]
///   kernel   f32[KH,KW,C/groups,O]; output channels of one group are neighbours
///   returns  f32[N,H',W',O],  H' = (H + top + bottom - dilation*(KH-1) - 1) / stride + 1
///   throws   ShapeError if ranks or channels do not fit, groups does not divide C and O, or H' or
///            W' would be < 1
///   see      Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016
Value conv2d(Value x, Value kernel, const Conv2dOptions& options = {});

/// The gradient of conv2d with respect to x, for the cotangent dy of its output: what is also
/// called transposed convolution of dy with kernel.
///   x_shape  [N,H,W,C]: dy's shape does not say it all when stride > 1
Value conv2d_input_grad(Value dy, Value kernel, const Shape& x_shape,
                        const Conv2dOptions& options = {});

/// The gradient of conv2d with respect to kernel.
///   kernel_size  KH and KW
Value conv2d_kernel_grad(Value x, Value dy, std::array<std::int64_t, 2> kernel_size,
                         const Conv2dOptions& options = {});

/// The options of an op that is a conv2d; nothing if it is another.
std::optional<Conv2dOptions> conv2d_options(const Op& op);

}  // namespace weft
