// Elements picked by index, with the adjoint; indices as one-hot vectors.
#pragma once

#include <cstdint>

#include "graph/value.hpp"

namespace weft {

// Indices are s32 and have no gradient. Running an op with one that is outside its range throws
// ArgumentError, which names the index and the range.

/// Slices of x along an axis, picked by index, as numpy.take does.
///   x        any dtype
///   indices  s32 of any shape, each at least 0 and less than x.shape[axis]
///   axis     -1 is the last
///   returns  x's dtype; x's shape with the shape of indices in the place of the axis
///   throws   ShapeError if there is no such axis, TypeError if indices are not s32
Value gather(Value x, Value indices, int axis = 0);

/// The adjoint of gather: zeros of a shape, to which updates are added where gather would have
/// read.
///   updates  f32 or bf16 (summed in f32), of the shape that gather returns
///   indices  s32; where one occurs several times, the sum is taken in the order of the indices
///   shape    of the result
///   throws   ShapeError if updates are not of the shape that gather returns, TypeError for dtypes
Value scatter_add(Value updates, Value indices, const Shape& shape, int axis = 0);

/// 1 at the place that each index names, else 0.
///   indices  s32[...], each at least 0 and less than classes
///   returns  f32[...,classes]
///   throws   ArgumentError if classes is below 1, TypeError if indices are not s32
Value one_hot(Value indices, std::int64_t classes);

}  // namespace weft
