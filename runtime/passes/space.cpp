#include "runtime/passes/space.hpp"

#include <algorithm>
#include <bit>

namespace weft {

Space::Space(std::size_t steps)
    : leaves_(std::bit_ceil(std::max<std::size_t>(steps, 1))), ranges_(2 * leaves_) {}

/// Calls f(range, is_inside) for the ranges on the way to the wanted steps, and for the largest
/// that lie within them.
template <class Visit>
void Space::visit(std::size_t node, const Steps& own, const Steps& wanted, Visit&& f) {
  if (!own.touches(wanted)) return;
  const bool is_inside = wanted.covers(own);
  f(ranges_[node], is_inside);
  if (is_inside) return;
  const std::size_t middle = own.first + (own.last - own.first) / 2;
  visit(2 * node, {own.first, middle}, wanted, f);
  visit(2 * node + 1, {middle + 1, own.last}, wanted, f);
}

std::size_t Space::take(std::size_t first, std::size_t last, std::size_t bytes) {
  if (bytes == 0) return 0;
  const Steps all{0, leaves_ - 1}, wanted{first, last};
  std::vector<const Bytes*> taken;
  visit(1, all, wanted, [&](Range& range, bool is_inside) {
    const Bytes& there = is_inside ? range.anywhere : range.throughout;
    if (!there.empty()) taken.push_back(&there);
  });
  std::size_t offset = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (const Bytes* there : taken) {
      for (auto at = there->find(Interval(offset, offset + bytes)); at != there->end();
           at = there->find(Interval(offset, offset + bytes))) {
        offset = at->upper();
        moved = true;
      }
    }
  }
  const Interval own(offset, offset + bytes);
  visit(1, all, wanted, [&](Range& range, bool is_inside) {
    range.anywhere.add(own);
    if (is_inside) range.throughout.add(own);
  });
  return offset;
}

}  // namespace weft
