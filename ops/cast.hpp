// The same numbers in another element type.
#pragma once

#include "graph/value.hpp"

namespace weft {

/// x as another dtype. To an integer, numbers lose their fraction, those out of range become the
/// nearest one that can be held, and NaN becomes 0; to f32 or bf16, they are rounded to nearest.
///   x        any dtype and shape
///   returns  x's shape
/// Between floating dtypes the gradient passes through; from or to integers it is zero.
Value cast(Value x, DType dtype);

}  // namespace weft
