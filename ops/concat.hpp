// Tensors joined along an axis, and cut along one.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/value.hpp"

namespace weft {

/// The parts behind one another along an axis.
///   parts    at least one; of one dtype and of equal sizes but along the axis
///   axis     -1 is the last
///   throws   ShapeError for no parts, an axis outside the rank, or sizes that differ elsewhere;
///            TypeError for different dtypes
Value concat(const std::vector<Value>& parts, int axis);

/// x cut along an axis into parts of the given sizes: what concat joins again.
///   throws   ShapeError if the sizes do not add up to x's, one is negative, or there is no such
///            axis
std::vector<Value> split(Value x, const std::vector<std::int64_t>& sizes, int axis);

}  // namespace weft
