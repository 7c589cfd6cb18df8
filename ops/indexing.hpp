// Boxes: the same elements lying in two arrays, which is what slice, pad, concat and transpose
// move.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "graph/shape.hpp"

namespace weft {

/// Pairs places in two arrays: element (i, j, ...) of the box lies at from_first + i * from[0] +
/// ... in one and at to_first + i * to[0] + ... in the other. All counts are in elements.
struct Box {
  std::vector<std::int64_t> sizes, from, to;
  std::int64_t from_first = 0, to_first = 0;
};

/// The box of shape `part` inside a row-major array `whole`, at `begin`, every step[k]-th element
/// of axis k; `from` is the whole, `to` a row-major array that holds nothing but the part.
Box box_inside(const Shape& whole, std::span<const std::int64_t> begin,
               std::span<const std::int64_t> step, const Shape& part);

/// The same pairs, the other way round.
Box reversed(Box box);

/// Walks the rows of a box: the runs along its last axis. A box without axes is one row.
class Rows {
 public:
  explicit Rows(const Box& box, std::int64_t first = 0);

  std::int64_t from() const noexcept { return from_; }
  std::int64_t to() const noexcept { return to_; }
  void next() noexcept;

  /// Rows, and elements in each.
  static std::int64_t count(const Box& box);
  static std::int64_t length(const Box& box) { return box.sizes.empty() ? 1 : box.sizes.back(); }

 private:
  const Box& box_;
  std::size_t axes_;                                   // all but the last
  std::array<std::int64_t, Shape::max_rank> index_{};  // of the row, along these; no allocation
  std::int64_t from_, to_;
};

/// Calls f(place in from, place in to) for each element, in row-major order of the box.
template <class F>
void for_each(const Box& box, F f) {
  const std::int64_t from_step = box.sizes.empty() ? 0 : box.from.back();
  const std::int64_t to_step = box.sizes.empty() ? 0 : box.to.back();
  const std::int64_t length = Rows::length(box);
  Rows row(box);
  for (std::int64_t rest = Rows::count(box); rest > 0; --rest, row.next()) {
    for (std::int64_t i = 0; i < length; ++i) {
      f(static_cast<std::size_t>(row.from() + i * from_step),
        static_cast<std::size_t>(row.to() + i * to_step));
    }
  }
}

/// The same pairs with as few axes as can be, so that contiguous runs are as long as can be.
Box merged(const Box& box);

/// Copies the elements of a merged box, each of element_bytes (1, 2 or 4), cut among threads.
void copy(const Box& box, std::size_t element_bytes, const std::byte* from, std::byte* to);

}  // namespace weft
