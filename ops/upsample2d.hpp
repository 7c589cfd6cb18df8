// Larger images of the same pixels, with the adjoint.
#pragma once

#include <array>
#include <cstdint>

#include "graph/value.hpp"

namespace weft {

/// Each pixel repeated: size[0] times downwards, size[1] times to the right.
///   x        f32[N,H,W,C]
///   size     at least 1
///   returns  f32[N,H*size[0],W*size[1],C]
///   throws   ShapeError if x is not of rank 4 or a size is below 1
Value upsample2d(Value x, std::array<std::int64_t, 2> size);

/// The adjoint of upsample2d: the sum of the pixels of each window, where windows tile the image.
///   x        f32[N,H,W,C]
///   returns  f32[N,H/size[0],W/size[1],C]
///   throws   ShapeError as above, and if windows do not tile the image
Value sum_pool2d(Value x, std::array<std::int64_t, 2> size);

}  // namespace weft
