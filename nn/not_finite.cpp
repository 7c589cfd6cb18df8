#include "nn/not_finite.hpp"

#include <bit>
#include <span>

namespace weft::nn {
namespace {

/// By their bits, all of them: a loop that the compiler turns into vectors.
bool all_finite(std::span<const float> numbers) {
  constexpr std::uint32_t exponent = 0x7f800000;
  std::uint32_t lost = 0;
  for (const float number : numbers) {
    lost |= (std::bit_cast<std::uint32_t>(number) & exponent) == exponent ? 1u : 0u;
  }
  return lost == 0;
}

}  // namespace

std::int64_t rows_not_finite(const Tensor& tensor) {
  if (tensor.dtype() != DType::f32 || tensor.elements() == 0) return 0;
  const auto numbers = tensor.data<float>();
  if (all_finite(numbers)) return 0;
  const std::int64_t rows = tensor.shape().rank() == 0 ? 1 : tensor.shape()[0];
  const std::size_t width = numbers.size() / static_cast<std::size_t>(rows);
  std::int64_t count = 0;
  for (std::size_t first = 0; first < numbers.size(); first += width) {
    if (!all_finite(numbers.subspan(first, width))) ++count;
  }
  return count;
}

}  // namespace weft::nn
