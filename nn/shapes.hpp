// Shapes with and without the axis of the batch, which comes first.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "graph/print.hpp"
#include "graph/shape.hpp"

namespace weft::nn {

inline Shape with_batch(std::int64_t batch, const Shape& row) {
  std::vector<std::int64_t> sizes{batch};
  sizes.insert(sizes.end(), row.begin(), row.end());
  return Shape(sizes);
}

inline Shape without_batch(const Shape& shape) {
  return Shape(std::span<const std::int64_t>(shape.begin() + 1, shape.end()));
}

/// A shape as a user thinks of it: [N,10].
inline std::string with_any_batch(const Shape& shape) {
  if (shape.rank() == 0) return "[]";
  return fmt::format("[N{}{}]", shape.rank() > 1 ? "," : "",
                     fmt::join(shape.begin() + 1, shape.end(), ","));
}

}  // namespace weft::nn
