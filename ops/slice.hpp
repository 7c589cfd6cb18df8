// A part of a tensor, and its adjoint: a tensor as a part of a larger one.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "graph/op.hpp"
#include "graph/value.hpp"

namespace weft {

/// As the end of a slice: behind the last element.
inline constexpr std::int64_t to_end = std::numeric_limits<std::int64_t>::max();

/// The elements begin[k], begin[k] + step[k], ... before end[k] of each axis k.
///   x           any dtype and shape
///   begin, end  one per axis of x; negative: counted from the end of the axis; end may be to_end
///   step        one per axis, at least 1; by default 1 everywhere
///   returns     x's dtype; size ceil((end - begin) / step) along each axis
///   throws      ShapeError if there are not as many entries as axes, a step is below 1, or not
///               0 <= begin <= end <= size
Value slice(Value x, const std::vector<std::int64_t>& begin, const std::vector<std::int64_t>& end,
            const std::vector<std::int64_t>& step = {});

/// x with before[k] and after[k] more elements at the two ends of each axis k.
///   x        any dtype and shape
///   value    of the new elements, in x's dtype
///   throws   ShapeError if there are not as many entries as axes or one is negative
Value pad(Value x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after,
          float value = 0);

/// What a pad adds, per axis.
struct ZeroPadding {
  std::vector<std::int64_t> before, after;
};
/// Of an op that is a pad with zeros at the ends alone; nothing if it is another.
std::optional<ZeroPadding> zero_padding(const Op& op);

}  // namespace weft
