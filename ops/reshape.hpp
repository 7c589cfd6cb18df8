// The same elements under another shape.
#pragma once

#include "graph/value.hpp"

namespace weft {

/// x with another shape, elements in row-major order; costs nothing at run time.
///   throws   ShapeError if the element counts differ
Value reshape(Value x, const Shape& shape);

/// All axes but the first made one: [N, ...] becomes [N, product]. Throws ShapeError for a scalar.
Value flatten(Value x);

}  // namespace weft
