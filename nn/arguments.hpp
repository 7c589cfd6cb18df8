// What layers check of their arguments and inputs, and how they hand them to ops. Not for users.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "graph/print.hpp"
#include "nn/core.hpp"
#include "ops/conv2d.hpp"

namespace weft::nn {

inline void expect_positive(std::string_view layer, std::string_view what, std::int64_t number) {
  if (number < 1) fail<ArgumentError>("{}: {} must be at least 1, not {}", layer, what, number);
}
inline void expect_positive(std::string_view layer, std::string_view what, Size2D size) {
  if (size.height < 1 || size.width < 1) {
    fail<ArgumentError>("{}: {} must be at least 1, not {}x{}", layer, what, size.height,
                        size.width);
  }
}

inline void expect_padding(std::string_view layer, const std::string& padding) {
  if (padding == "same" || padding == "valid") return;
  fail<ArgumentError>("{}: padding must be \"valid\" or \"same\", not \"{}\"", layer, padding);
}

inline void expect_image(std::string_view layer, Value x) {
  if (x.shape().rank() == 4) return;
  fail<ShapeError>("{}: the input must be f32[N,H,W,C], not {}", layer, x.type());
}

inline std::array<std::int64_t, 2> pair(Size2D size) { return {size.height, size.width}; }

inline Padding2D padding_for(const std::string& padding, Value x, Size2D kernel, Size2D stride,
                             Size2D dilation) {
  if (padding == "valid") return {};
  return same_padding({x.shape()[1], x.shape()[2]}, pair(kernel), pair(stride), pair(dilation));
}

}  // namespace weft::nn
