// Array: a tensor of doubles, for the reference evaluation that defines what ops mean.
#pragma once

#include <utility>
#include <vector>

#include "graph/tensor.hpp"

namespace weft {

/// Row-major doubles. Integers of every DType are held exactly.
struct Array {
  Shape shape;
  std::vector<double> data;

  Array() = default;
  explicit Array(const Shape& s) : shape(s), data(static_cast<std::size_t>(s.elements())) {}
  Array(const Shape& s, std::vector<double> values) : shape(s), data(std::move(values)) {}
};

Array to_array(const Tensor& tensor);

/// Rounds to the dtype: f32 and bf16 to nearest; integers truncate toward zero and saturate.
Tensor to_tensor(const Array& array, DType dtype);

float to_float(Bf16 value) noexcept;
Bf16 to_bf16(float value) noexcept;  ///< nearest, ties to even

}  // namespace weft
