// Numbers of mean 0 and variance 1, sample by sample: what layer and group normalisation share.
#pragma once

#include <vector>

#include "graph/value.hpp"

namespace weft {

/// (x - mean) / sqrt(variance + epsilon), with mean and biased variance along axes, and apart for
/// each place along the others.
///   x        f32[...]
///   axes     at least one; -1 is the last
///   returns  x's type
///   throws   ShapeError for axes that are not there or named twice, and where there is nothing to
///            take a mean of; ArgumentError for no axes, and unless epsilon >= 0
///   costs    x read from memory once and the result written once, where what is taken together
///            fits a cache, and twice as much for its gradient; but as many passes as there are ops
///            where axes and others alternate more than twice, as {1, 3} of five do
Value standardize(Value x, const std::vector<int>& axes, float epsilon);

}  // namespace weft
