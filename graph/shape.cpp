#include "graph/shape.hpp"

#include <algorithm>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft {

Shape::Shape(std::initializer_list<std::int64_t> sizes)
    : Shape(std::span(sizes.begin(), sizes.size())) {}

Shape::Shape(std::span<const std::int64_t> sizes) : rank_(sizes.size()) {
  if (sizes.size() > max_rank) {
    fail<ShapeError>("shape: {} axes are too many, at most {} are supported", sizes.size(),
                     max_rank);
  }
  // More than any processor can address. So bytes and strides fit, whatever the type, also where
  // blocks of channels are filled up or many buffers are added. An axis without elements does not
  // hide the others: products of them are strides.
  constexpr std::int64_t limit = (std::int64_t{1} << 48) - 1;
  std::int64_t elements = 1;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0) fail<ShapeError>("shape: axis {} has the negative size {}", i, sizes[i]);
    const std::int64_t size = std::max<std::int64_t>(sizes[i], 1);
    if (elements > limit / size) {
      fail<ShapeError>("shape: [{}] has more elements than a tensor can hold",
                       fmt::join(sizes.begin(), sizes.end(), ","));
    }
    elements *= size;
    sizes_[i] = sizes[i];
  }
}

std::int64_t Shape::operator[](int axis) const {
  return sizes_[static_cast<std::size_t>(axis_of(*this, axis, "shape"))];
}

std::int64_t Shape::elements() const noexcept {
  std::int64_t product = 1;
  for (const std::int64_t size : *this) product *= size;
  return product;
}

Shape Shape::with(int axis, std::int64_t size) const {
  std::array<std::int64_t, max_rank> sizes = sizes_;
  sizes[static_cast<std::size_t>(axis_of(*this, axis, "shape"))] = size;
  return Shape(std::span<const std::int64_t>(sizes.data(), rank_));
}

Shape broadcast(const Shape& a, const Shape& b, std::string_view what) {
  const std::size_t rank = std::max(a.rank(), b.rank());
  std::array<std::int64_t, Shape::max_rank> sizes{};
  for (std::size_t i = 0; i < rank; ++i) {  // i counts from the last axis
    const std::int64_t x = i < a.rank() ? *(a.end() - 1 - i) : 1;
    const std::int64_t y = i < b.rank() ? *(b.end() - 1 - i) : 1;
    if (x != y && x != 1 && y != 1) {
      fail<ShapeError>(
          "{}: shapes {} and {} do not broadcast: axis {} from the end has sizes {} and {}, which "
          "must be equal or 1",
          what, a, b, i + 1, x, y);
    }
    sizes[rank - 1 - i] = x == 1 ? y : x;
  }
  return Shape(std::span<const std::int64_t>(sizes.data(), rank));
}

int axis_of(const Shape& shape, int axis, std::string_view what) {
  const int rank = static_cast<int>(shape.rank());
  if (axis < -rank || axis >= rank) {
    fail<ShapeError>("{}: axis {} is outside a shape of rank {}: {}", what, axis, rank, shape);
  }
  return axis < 0 ? axis + rank : axis;
}

std::vector<int> axes_of(const Shape& shape, std::span<const int> axes, std::string_view what) {
  std::vector<int> result;
  if (axes.empty()) {
    for (std::size_t i = 0; i < shape.rank(); ++i) result.push_back(static_cast<int>(i));
    return result;
  }
  for (const int axis : axes) result.push_back(axis_of(shape, axis, what));
  std::sort(result.begin(), result.end());
  if (const auto twice = std::adjacent_find(result.begin(), result.end()); twice != result.end()) {
    fail<ShapeError>("{}: axis {} is named twice for shape {}", what, *twice, shape);
  }
  return result;
}

std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.rank(), 1);
  for (std::size_t i = shape.rank(); i-- > 1;) strides[i - 1] = strides[i] * shape.begin()[i];
  return strides;
}

}  // namespace weft
