// One of two, element by element.
#pragma once

#include "graph/value.hpp"

namespace weft {

/// a where the condition is not zero (NaN is not), else b; all three broadcast as in NumPy.
///   condition  a's dtype (what comparisons give), s32 or u8; has no gradient
///   a, b       of one dtype
///   returns    a's dtype
///   throws     ShapeError if the shapes do not broadcast, TypeError for other dtypes
Value select(Value condition, Value a, Value b);

}  // namespace weft
