// The axes of a tensor in another order.
#pragma once

#include <vector>

#include "graph/value.hpp"

namespace weft {

/// x with its axes in another order.
///   x            any dtype and shape
///   permutation  axis k of the result is axis permutation[k] of x; -1 is the last one; by default
///                the axes are reversed, as in NumPy
///   returns      x's dtype; transpose(f32[2,3,4], {0, 2, 1}) is f32[2,4,3]
///   throws       ShapeError if permutation does not name each axis once
Value transpose(Value x, const std::vector<int>& permutation = {});

}  // namespace weft
