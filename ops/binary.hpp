// Functions of two numbers, applied to each pair of elements, with NumPy's broadcasting.
#pragma once

#include "graph/value.hpp"

namespace weft {

// a and b are of one dtype; their shapes are aligned at the last axis, and sizes must be equal
// or 1. Each throws ShapeError where they do not broadcast and TypeError for different dtypes.

Value add(Value a, Value b);
Value sub(Value a, Value b);
Value mul(Value a, Value b);
Value div(Value a, Value b);
Value pow(Value a, Value b);  ///< a^b; the derivative by b counts a as positive (0 where a <= 0)
Value maximum(Value a, Value b);  ///< NaN if either is; equal: the gradient is halved
Value minimum(Value a, Value b);

// Comparisons give 1 or 0 (with NaN: 0, not_equal: 1) in the operands' dtype; derivative 0.
Value equal(Value a, Value b);
Value not_equal(Value a, Value b);
Value less(Value a, Value b);
Value less_equal(Value a, Value b);
Value greater(Value a, Value b);
Value greater_equal(Value a, Value b);

inline Value operator+(Value a, Value b) { return add(a, b); }
inline Value operator-(Value a, Value b) { return sub(a, b); }
inline Value operator*(Value a, Value b) { return mul(a, b); }
inline Value operator/(Value a, Value b) { return div(a, b); }
Value operator-(Value a);

// A number becomes a constant of the other operand's graph and dtype.
Value operator+(Value a, float b);
Value operator-(Value a, float b);
Value operator*(Value a, float b);
Value operator/(Value a, float b);
Value operator+(float a, Value b);
Value operator-(float a, Value b);
Value operator*(float a, Value b);
Value operator/(float a, Value b);
Value pow(Value a, float b);
Value maximum(Value a, float b);
Value minimum(Value a, float b);
Value greater(Value a, float b);
Value less(Value a, float b);
Value equal(Value a, float b);

/// A constant scalar in the graph of `like`, of its dtype.
Value scalar_like(Value like, float number);
/// Zeros of a type, as a broadcast scalar.
Value zeros_like(Value like);

}  // namespace weft
