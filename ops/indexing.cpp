#include "ops/indexing.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/parallel.hpp"

namespace weft {
namespace {

constexpr std::size_t grain = 16384;  // elements; fewer are copied sooner than a thread wakes up

template <class T>
void copy_strided(const std::byte* from, std::int64_t from_step, std::byte* to,
                  std::int64_t to_step, std::int64_t count) {
  const auto* source = reinterpret_cast<const T*>(from);
  auto* target = reinterpret_cast<T*>(to);
  for (std::int64_t i = 0; i < count; ++i) target[i * to_step] = source[i * from_step];
}

void copy_row(std::size_t element_bytes, const std::byte* from, std::int64_t from_step,
              std::byte* to, std::int64_t to_step, std::int64_t count) {
  if (from_step == 1 && to_step == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * element_bytes);
  } else if (element_bytes == 4) {
    copy_strided<std::uint32_t>(from, from_step, to, to_step, count);
  } else if (element_bytes == 2) {
    copy_strided<std::uint16_t>(from, from_step, to, to_step, count);
  } else {
    copy_strided<std::uint8_t>(from, from_step, to, to_step, count);
  }
}

}  // namespace

Box box_inside(const Shape& whole, std::span<const std::int64_t> begin,
               std::span<const std::int64_t> step, const Shape& part) {
  Box box{{part.begin(), part.end()}, strides_of(whole), strides_of(part), 0, 0};
  for (std::size_t k = 0; k < whole.rank(); ++k) {
    box.from_first += begin[k] * box.from[k];
    // A single element has no next one: a step of any size is fine.
    if (box.sizes[k] > 1) box.from[k] *= step[k];
  }
  return box;
}

Box reversed(Box box) {
  std::swap(box.from, box.to);
  std::swap(box.from_first, box.to_first);
  return box;
}

Rows::Rows(const Box& box, std::int64_t first)
    : box_(box),
      axes_(box.sizes.empty() ? 0 : box.sizes.size() - 1),
      from_(box.from_first),
      to_(box.to_first) {
  for (std::size_t k = axes_; k-- > 0;) {
    if (box.sizes[k] == 0) continue;
    index_[k] = first % box.sizes[k];
    first /= box.sizes[k];
    from_ += index_[k] * box.from[k];
    to_ += index_[k] * box.to[k];
  }
}

void Rows::next() noexcept {
  for (std::size_t k = axes_; k-- > 0;) {
    from_ += box_.from[k];
    to_ += box_.to[k];
    if (++index_[k] < box_.sizes[k]) return;
    from_ -= box_.sizes[k] * box_.from[k];
    to_ -= box_.sizes[k] * box_.to[k];
    index_[k] = 0;
  }
}

std::int64_t Rows::count(const Box& box) {
  std::int64_t product = 1;
  for (std::size_t k = 0; k + 1 < box.sizes.size(); ++k) product *= box.sizes[k];
  return product;
}

Box merged(const Box& box) {
  Box result{{}, {}, {}, box.from_first, box.to_first};
  for (std::size_t k = 0; k < box.sizes.size(); ++k) {
    const std::int64_t size = box.sizes[k], from = box.from[k], to = box.to[k];
    if (size == 1) continue;
    if (!result.sizes.empty() && result.from.back() == size * from &&
        result.to.back() == size * to) {
      result.sizes.back() *= size;
      result.from.back() = from;
      result.to.back() = to;
    } else {
      result.sizes.push_back(size);
      result.from.push_back(from);
      result.to.push_back(to);
    }
  }
  if (result.sizes.empty()) {
    result.sizes = result.from = result.to = {1};
  }
  return result;
}

void copy(const Box& box, std::size_t element_bytes, const std::byte* from, std::byte* to) {
  const std::int64_t length = Rows::length(box), from_step = box.from.back(),
                     to_step = box.to.back();
  const auto bytes = static_cast<std::int64_t>(element_bytes);
  // Cut by elements, not by rows: one long row is shared among threads too.
  const auto elements = static_cast<std::size_t>(Rows::count(box) * length);
  parallel_for(elements, grain, [&](std::size_t first, std::size_t last) {
    auto rest = static_cast<std::int64_t>(last - first);
    std::int64_t column = static_cast<std::int64_t>(first) % length;
    for (Rows row(box, static_cast<std::int64_t>(first) / length); rest > 0; row.next()) {
      const std::int64_t count = std::min(length - column, rest);
      copy_row(element_bytes, from + (row.from() + column * from_step) * bytes, from_step,
               to + (row.to() + column * to_step) * bytes, to_step, count);
      rest -= count;
      column = 0;
    }
  });
}

}  // namespace weft
