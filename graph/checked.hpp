// Arithmetic on sizes that throws where it would overflow. All that is computed of sizes, strides
// and paddings that a user or a file gives goes through here, or through Shape, whose number of
// elements and bytes always fits.
#pragma once

#include <cstdint>
#include <string_view>

#include "graph/error.hpp"

namespace weft::checked {

/// The largest height, width, window, stride, dilation or padding of an image: what oneDNN counts
/// them with.
inline constexpr std::int64_t largest_extent = 0x7fffffff;

[[noreturn]] inline void overflow(std::string_view who, std::int64_t a, char sign, std::int64_t b) {
  fail<ShapeError>("{}: the size {} {} {} is larger than any tensor", who, a, sign, b);
}

// `who` is the op or call, for the message.

inline std::int64_t add(std::int64_t a, std::int64_t b, std::string_view who) {
  std::int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) overflow(who, a, '+', b);
  return result;
}
inline std::int64_t sub(std::int64_t a, std::int64_t b, std::string_view who) {
  std::int64_t result = 0;
  if (__builtin_sub_overflow(a, b, &result)) overflow(who, a, '-', b);
  return result;
}
inline std::int64_t mul(std::int64_t a, std::int64_t b, std::string_view who) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) overflow(who, a, '*', b);
  return result;
}

/// a / b rounded up, for a >= 0 and b > 0.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept {
  return a / b + (a % b != 0 ? 1 : 0);
}

/// The size of an image along one axis with its padding, none of them negative.
inline std::int64_t padded(std::int64_t size, std::int64_t before, std::int64_t after,
                           std::string_view who) {
  const std::int64_t whole = add(add(size, before, who), after, who);
  if (whole > largest_extent) {
    fail<ShapeError>("{}: a padded image may be {} high and wide, not {}", who, largest_extent,
                     whole);
  }
  return whole;
}

}  // namespace weft::checked
