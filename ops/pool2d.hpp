// Max and average pooling, channels last, with their adjoints.
#pragma once

#include <array>

#include "graph/value.hpp"
#include "ops/conv2d.hpp"

namespace weft {

struct Pool2dOptions {
  std::array<std::int64_t, 2> window{2, 2};  ///< of height and width
  std::array<std::int64_t, 2> stride{2, 2};
  Padding2D padding{};  ///< less than the window on each side, so that no window is all padding
  friend bool operator==(const Pool2dOptions&, const Pool2dOptions&) = default;
};

/// Largest element (or NaN) of each window; padding is minus infinity. The gradient goes to the first
/// maximum of a window in row-major order.
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',C],  H' = (H + top + bottom - window) / stride + 1
///   throws   ShapeError if x is not of rank 4, a window is larger than the padded input or 2^31, or
///            padding is as wide as the window
Value max_pool2d(Value x, const Pool2dOptions& options = {});

/// The adjoint of max_pool2d in x: dy where the index (the second output) points, summed, and zero
/// elsewhere.
///   index, dy  of one shape
///   x_shape    of the image that was pooled
///   throws     ShapeError if they do not belong together
Value max_pool2d_grad(Value index, Value dy, const Shape& x_shape,
                      const Pool2dOptions& options = {});

/// Mean of each window, over the elements that are not padding (as in Keras).
Value average_pool2d(Value x, const Pool2dOptions& options = {});

/// The options of an op that is a max_pool2d_grad; nothing if it is another.
std::optional<Pool2dOptions> max_pool2d_grad_options(const Op& op);

}  // namespace weft
