#include "ops/concat.hpp"

#include <algorithm>
#include <numeric>

#include "graph/checked.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/indexing.hpp"
#include "ops/slice.hpp"
#include "runtime/lowering.hpp"

namespace weft {
namespace {

struct Concat {
  int axis = 0;
  static constexpr auto fields = std::tuple{field("axis", &Concat::axis)};
  static std::string_view name() { return "concat"; }
  friend bool operator==(const Concat&, const Concat&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    if (in.empty()) fail<ShapeError>("concat: there must be at least one part");
    axis_of(in[0].shape, axis, name());
    std::int64_t size = 0;
    for (const Type& part : in) {
      if (part.dtype != in[0].dtype) {
        fail<TypeError>("concat: parts must be of one dtype, {} and {} were given; see cast", in[0],
                        part);
      }
      if (part.shape.rank() != in[0].shape.rank() ||
          part.shape.with(axis, in[0].shape[axis]) != in[0].shape) {
        fail<ShapeError>("concat: parts must have equal sizes but along axis {}, {} and {} differ",
                         axis, in[0], part);
      }
      size = checked::add(size, part.shape[axis], name());
    }
    return {{in[0].dtype, in[0].shape.with(axis, size)}};
  }

  // The cotangent of each part is its part of dy.
  std::vector<Value> vjp(const VjpArgs& a) const {
    std::vector<std::int64_t> sizes;
    for (const Value& part : a.inputs) sizes.push_back(part.shape()[axis]);
    return split(a.cotangents[0], sizes, axis);
  }

  /// For each part, where its elements go in the result.
  std::vector<Box> boxes(const std::vector<Shape>& parts) const {
    std::int64_t size = 0;
    for (const Shape& part : parts) size += part[axis];
    const Shape whole = parts[0].with(axis, size);
    const std::vector<std::int64_t> step(whole.rank(), 1);
    std::vector<std::int64_t> begin(whole.rank(), 0);
    std::vector<Box> result;
    for (const Shape& part : parts) {
      result.push_back(reversed(box_inside(whole, begin, step, part)));
      begin[static_cast<std::size_t>(axis)] += part[axis];
    }
    return result;
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    std::vector<Shape> parts;
    std::int64_t size = 0;
    for (const Array& part : in) {
      parts.push_back(part.shape);
      size += part.shape[axis];
    }
    Array y(parts[0].with(axis, size));
    const std::vector<Box> boxes = this->boxes(parts);
    for (std::size_t i = 0; i < in.size(); ++i) {
      for_each(boxes[i], [&](std::size_t from, std::size_t to) { y.data[to] = in[i].data[from]; });
    }
    return {y};
  }

  std::optional<Value> simplify(std::span<const Value> in) const {
    if (in.size() == 1) return in[0];
    return std::nullopt;
  }

  void lower(Lowering& l) const {
    std::vector<Shape> parts;
    std::vector<Operand> reads;
    for (std::size_t i = 0; i < l.input_count(); ++i) {
      parts.push_back(l.input(i).shape);
      reads.push_back(l.read_row_major(i));
    }
    std::vector<Box> boxes = this->boxes(parts);
    for (Box& box : boxes) box = merged(box);
    l.step(std::move(reads), {l.write_row_major(0)},
           [boxes, bytes = size_of(l.output(0).dtype)](auto reads, auto writes) {
             for (std::size_t i = 0; i < boxes.size(); ++i) {
               copy(boxes[i], bytes, reads[i], writes[0]);
             }
           });
  }
};

const Register registered{Concat{}};

}  // namespace

Value concat(const std::vector<Value>& parts, int axis) {
  if (parts.empty()) fail<ShapeError>("concat: there must be at least one part");
  return weft::apply(Concat{axis_of(parts[0].shape(), axis, "concat")}, parts);
}

std::vector<Value> split(Value x, const std::vector<std::int64_t>& sizes, int axis) {
  const Shape& shape = x.shape();
  const auto k = static_cast<std::size_t>(axis_of(shape, axis, "split"));
  const auto total = [&] {
    return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0},
                           [](auto a, auto b) { return checked::add(a, b, "split"); });
  };
  if (std::any_of(sizes.begin(), sizes.end(), [](auto size) { return size < 0; }) ||
      total() != shape[axis]) {
    fail<ShapeError>(
        "split: sizes [{}] must not be negative and must add up to the {} elements of "
        "axis {} of {}",
        fmt::join(sizes, ","), shape[axis], k, x.type());
  }
  std::vector<std::int64_t> begin(shape.rank(), 0), end(shape.begin(), shape.end());
  std::vector<Value> parts;
  for (const std::int64_t size : sizes) {
    end[k] = begin[k] + size;
    parts.push_back(slice(x, begin, end));
    begin[k] = end[k];
  }
  return parts;
}

}  // namespace weft
