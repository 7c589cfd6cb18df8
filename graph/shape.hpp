// Shape and Type: what is known of a tensor before any number is.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "graph/dtype.hpp"

namespace weft {

/// Sizes of a tensor's axes, outermost first; no axes is a scalar. At most 8 axes, held inline.
class Shape {
 public:
  static constexpr std::size_t max_rank = 8;

  constexpr Shape() = default;
  /// Throws ShapeError for more than max_rank axes, a negative size, or 2^48 elements or more.
  Shape(std::initializer_list<std::int64_t> sizes);
  explicit Shape(std::span<const std::int64_t> sizes);

  constexpr std::size_t rank() const noexcept { return rank_; }
  /// Size of an axis; -1 is the last one. Throws ShapeError if there is no such axis.
  std::int64_t operator[](int axis) const;
  /// Number of elements; 1 for a scalar.
  std::int64_t elements() const noexcept;

  constexpr const std::int64_t* begin() const noexcept { return sizes_.data(); }
  constexpr const std::int64_t* end() const noexcept { return sizes_.data() + rank_; }

  /// The same shape with one axis of another size.
  Shape with(int axis, std::int64_t size) const;

  friend constexpr bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, max_rank> sizes_{};
  std::size_t rank_ = 0;
};

struct Type {
  DType dtype = DType::f32;
  Shape shape;

  /// Bytes of a row-major tensor of this type.
  std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  }
  friend constexpr bool operator==(const Type&, const Type&) = default;
};

/// The shape that NumPy's broadcasting gives two operands.
///   what    whose call it is, for the message: "add"
///   throws  ShapeError where two sizes differ and neither is 1
Shape broadcast(const Shape& a, const Shape& b, std::string_view what);

/// An axis counted from the front: -1 becomes rank - 1. Throws ShapeError outside [-rank, rank).
int axis_of(const Shape& shape, int axis, std::string_view what);

/// All of the axes counted from the front, sorted; an empty list means every axis.
/// Throws ShapeError if one is outside the rank or named twice.
std::vector<int> axes_of(const Shape& shape, std::span<const int> axes, std::string_view what);

/// Row-major strides, in elements.
std::vector<std::int64_t> strides_of(const Shape& shape);

}  // namespace weft
