// Reductions along axes, and broadcast_to, the adjoint of sum.
#pragma once

#include <vector>

#include "graph/value.hpp"

namespace weft {

/// What becomes of a reduced axis: gone, or kept with size 1.
enum class Keep : bool { none, axes };

/// Sum, mean, maximum, minimum of x along axes (all of them if none is named; -1 is the last).
///   x        f32[...]
///   returns  f32, x's shape without the axes, or with size 1 there for Keep::axes
///   throws   ShapeError if an axis is outside the rank or named twice; for max and min, if nothing
///            is reduced over (an axis of size 0)
/// At equal maxima (minima) the gradient goes to them in equal parts. NaN beats every number.
Value sum(Value x, const std::vector<int>& axes = {}, Keep keep = Keep::none);
Value mean(Value x, const std::vector<int>& axes = {}, Keep keep = Keep::none);
Value max(Value x, const std::vector<int>& axes = {}, Keep keep = Keep::none);
Value min(Value x, const std::vector<int>& axes = {}, Keep keep = Keep::none);

/// Index of the largest element along an axis, the first among equals (or NaN); has no gradient.
///   returns  s32, x's shape without the axis
Value argmax(Value x, int axis = -1);

/// x repeated along axes of size 1, and along new leading axes.
///   throws   ShapeError if a size of x is neither 1 nor that of shape
Value broadcast_to(Value x, const Shape& shape);

/// The adjoint of broadcast_to: sums x over the axes in which `shape` is smaller.
Value sum_to(Value x, const Shape& shape);

}  // namespace weft
