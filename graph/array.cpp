#include "graph/array.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace weft {
namespace {

/// Calls f with a value of the C++ type of a DType.
template <class F>
void visit(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(Bf16{});
    case DType::s32:
      return f(std::int32_t{});
    case DType::s8:
      return f(std::int8_t{});
    case DType::u8:
      return f(std::uint8_t{});
  }
}

template <class T>
T rounded(double value) {
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(value);
  } else if constexpr (std::is_same_v<T, Bf16>) {
    return to_bf16(static_cast<float>(value));
  } else {
    if (std::isnan(value)) return 0;
    if (value <= std::numeric_limits<T>::lowest()) return std::numeric_limits<T>::lowest();
    if (value >= std::numeric_limits<T>::max()) return std::numeric_limits<T>::max();
    return static_cast<T>(value);
  }
}

}  // namespace

float to_float(Bf16 value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

Bf16 to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return Bf16{static_cast<std::uint16_t>((bits >> 16) | 0x40)};
  return Bf16{static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

Array to_array(const Tensor& tensor) {
  Array result(tensor.shape());
  visit(tensor.dtype(), [&]<class T>(T) {
    const auto values = tensor.data<T>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_same_v<T, Bf16>) {
        result.data[i] = to_float(values[i]);
      } else {
        result.data[i] = static_cast<double>(values[i]);
      }
    }
  });
  return result;
}

Tensor to_tensor(const Array& array, DType dtype) {
  Tensor result(Type{dtype, array.shape});
  visit(dtype, [&]<class T>(T) {
    const auto values = result.data<T>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = rounded<T>(array.data[i]);
  });
  return result;
}

}  // namespace weft
