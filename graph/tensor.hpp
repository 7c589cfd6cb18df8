// Tensor: numbers in memory, always row-major; copies share the memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "graph/shape.hpp"

namespace weft {

/// A row-major array in 64-byte-aligned memory. Copying a Tensor shares its memory; clone() copies
/// the numbers. A default-constructed Tensor is an f32 scalar without memory: `if (tensor)` is
/// false.
class Tensor {
 public:
  Tensor() = default;
  /// Memory for a tensor of this type, all zero bytes.
  ///   what    it is for, for the message: "variable \"dense/kernel\""
  ///   throws  MemoryError if there is not so much
  explicit Tensor(const Type& type, std::string_view what = "tensor");
  /// A tensor of the given numbers in row-major order. Throws ShapeError if their count is wrong.
  template <class T>
  static Tensor of(const Shape& shape, std::span<const T> values);
  template <class T>
  static Tensor of(const Shape& shape, std::initializer_list<T> values) {
    return of<T>(shape, std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor of(const Shape& shape, const std::vector<T>& values) {
    return of<T>(shape, std::span<const T>(values));
  }
  /// A scalar.
  template <class T>
  static Tensor scalar(T value) {
    return of<T>(Shape{}, {value});
  }
  static Tensor full(const Shape& shape, float value);

  explicit operator bool() const noexcept { return memory_ != nullptr; }
  const Type& type() const noexcept { return type_; }
  const Shape& shape() const noexcept { return type_.shape; }
  DType dtype() const noexcept { return type_.dtype; }
  std::int64_t elements() const noexcept { return type_.shape.elements(); }

  std::byte* bytes() noexcept { return memory_.get(); }
  const std::byte* bytes() const noexcept { return memory_.get(); }

  /// The elements. Throws TypeError if they are not of C++ type T.
  template <class T>
  std::span<T> data();
  template <class T>
  std::span<const T> data() const;
  /// The only element. Throws ShapeError if there are more or none.
  template <class T>
  T item() const;

  /// A tensor with the same numbers in its own memory.
  Tensor clone() const;
  /// The same memory seen as another shape. Throws ShapeError if the counts differ.
  Tensor reshaped(const Shape& shape) const;

 private:
  void check(DType wanted) const;
  void check_count(std::size_t count) const;

  Type type_;
  std::shared_ptr<std::byte> memory_;
};

/// Every element of a tensor as a float, whatever its dtype.
std::vector<float> to_floats(const Tensor& tensor);

template <class T>
Tensor Tensor::of(const Shape& shape, std::span<const T> values) {
  Tensor result(Type{dtype_of<T>, shape});
  result.check_count(values.size());
  std::copy(values.begin(), values.end(), result.data<T>().begin());
  return result;
}

template <class T>
std::span<T> Tensor::data() {
  check(dtype_of<T>);
  return {reinterpret_cast<T*>(memory_.get()), static_cast<std::size_t>(memory_ ? elements() : 0)};
}

template <class T>
std::span<const T> Tensor::data() const {
  check(dtype_of<T>);
  return {reinterpret_cast<const T*>(memory_.get()),
          static_cast<std::size_t>(memory_ ? elements() : 0)};
}

template <class T>
T Tensor::item() const {
  check_count(1);
  return data<T>()[0];
}

}  // namespace weft
