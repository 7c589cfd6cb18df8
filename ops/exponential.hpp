// e^x for loops that the compiler turns into vectors. Included by .cpp files only.
#pragma once

#include <bit>
#include <cstdint>

namespace weft {

/// e^x, to about one unit in the last place; infinity above 88.7, 0 below -104. A NaN stays NaN.
/// Without a branch or a call, so that loops over it become vector code.
[[gnu::always_inline]] inline float exponential(float x) {
  constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shifted = x * log2_e + shift, n = shifted - shift;
  const float r = (x - n * ln2_high) - n * ln2_low;  // |r| <= ln 2 / 2
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  // Times 2^n in two steps, since 2^n alone may be no f32.
  const std::uint32_t power =
      std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(shift);
  const auto half = static_cast<std::int32_t>(power) >> 1;
  const auto rest = static_cast<std::int32_t>(power) - half;
  return p * std::bit_cast<float>(static_cast<std::uint32_t>(half + 127) << 23) *
         std::bit_cast<float>(static_cast<std::uint32_t>(rest + 127) << 23);
}

}  // namespace weft
