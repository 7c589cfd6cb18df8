#include "ops/gather.hpp"

#include <algorithm>
#include <cstring>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/cast.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

constexpr std::size_t grain_bytes = 65536;  // a thread should have at least this much to move

std::size_t grain_of(std::size_t row_bytes) {
  return grain_bytes / std::max<std::size_t>(row_bytes, 1) + 1;
}

void expect_indices(std::string_view op, const Type& indices) {
  if (indices.dtype != DType::s32) {
    fail<TypeError>("{}: indices must be s32, {} was given; see cast", op, indices);
  }
}

/// Throws for the first index outside [0, size).
template <class Index>
void check_indices(std::string_view what, std::span<const Index> indices, std::int64_t size) {
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const auto index = static_cast<std::int64_t>(indices[i]);
    if (index < 0 || index >= size) {
      fail<ArgumentError>("{}: index {} (element {} of the indices) is outside [0, {})", what,
                          index, i, size);
    }
  }
}
void check_indices(std::string_view what, const Array& indices, std::int64_t size) {
  check_indices(what, std::span<const double>(indices.data), size);
}

/// x.shape with one axis replaced by the shape of the indices.
Shape taken(const Shape& x, const Shape& indices, int axis) {
  std::vector<std::int64_t> sizes(x.begin(), x.begin() + axis);
  sizes.insert(sizes.end(), indices.begin(), indices.end());
  sizes.insert(sizes.end(), x.begin() + axis + 1, x.end());
  return Shape(std::span<const std::int64_t>(sizes));
}

/// An array as gather sees it, [outer, size, inner], and what it takes of it, [outer, count,
/// inner].
struct Extents {
  std::int64_t outer = 1, size = 0, inner = 1, count = 0;

  Extents(const Shape& x, int axis, const Shape& indices)
      : size(x[axis]), count(indices.elements()) {
    for (int k = 0; k < axis; ++k) outer *= x[k];
    for (int k = axis + 1; k < static_cast<int>(x.rank()); ++k) inner *= x[k];
  }

  /// Calls f(place in x, place in what is taken) for each element taken.
  template <class F>
  void for_each(const Array& indices, F f) const {
    for (std::int64_t o = 0; o < outer; ++o) {
      for (std::int64_t i = 0; i < count; ++i) {
        const auto index = static_cast<std::int64_t>(indices.data[static_cast<std::size_t>(i)]);
        for (std::int64_t k = 0; k < inner; ++k) {
          f(static_cast<std::size_t>((o * size + index) * inner + k),
            static_cast<std::size_t>((o * count + i) * inner + k));
        }
      }
    }
  }
};

struct Gather {
  int axis = 0;
  static constexpr auto fields = std::tuple{field("axis", &Gather::axis)};
  static std::string_view name() { return "gather"; }
  friend bool operator==(const Gather&, const Gather&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_indices(name(), in[1]);
    axis_of(in[0].shape, axis, name());
    return {{in[0].dtype, taken(in[0].shape, in[1].shape, axis)}};
  }

  // dx[index] = sum of the dy taken from there
  std::vector<Value> vjp(const VjpArgs& a) const {
    return {scatter_add(a.cotangents[0], a.inputs[1], a.inputs[0].shape(), axis), {}};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    const Extents extents(in[0].shape, axis, in[1].shape);
    check_indices(name(), in[1], extents.size);
    Array y(taken(in[0].shape, in[1].shape, axis));
    extents.for_each(in[1], [&](std::size_t at, std::size_t i) { y.data[i] = in[0].data[at]; });
    return {y};
  }

  void lower(Lowering& l) const {
    const Extents extents(l.input(0).shape, axis, l.input(1).shape);
    const std::size_t row = static_cast<std::size_t>(extents.inner) * size_of(l.input(0).dtype);
    l.step({l.read_row_major(0), l.read_row_major(1)}, {l.write_row_major(0)},
           [extents, row, what = l.describe()](auto reads, auto writes) {
             const auto count = static_cast<std::size_t>(extents.count);
             const auto size = static_cast<std::size_t>(extents.size);
             const std::span indices(as<std::int32_t>(reads[1]), count);
             check_indices<std::int32_t>(what, indices, extents.size);
             for (std::size_t o = 0; o < static_cast<std::size_t>(extents.outer); ++o) {
               const std::byte* from = reads[0] + o * size * row;
               std::byte* to = writes[0] + o * count * row;
               parallel_for(count, grain_of(row), [=](std::size_t first, std::size_t last) {
                 for (std::size_t i = first; i < last; ++i) {
                   const std::byte* source = from + static_cast<std::size_t>(indices[i]) * row;
                   // A fixed size becomes one move instead of a call.
                   if (row == 4) {
                     std::memcpy(to + i * 4, source, 4);
                   } else {
                     std::memcpy(to + i * row, source, row);
                   }
                 }
               });
             }
           });
  }
};

struct ScatterAdd {
  Shape shape;
  int axis = 0;
  static constexpr auto fields =
      std::tuple{field("shape", &ScatterAdd::shape), field("axis", &ScatterAdd::axis)};
  static std::string_view name() { return "scatter_add"; }
  friend bool operator==(const ScatterAdd&, const ScatterAdd&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_indices(name(), in[1]);
    axis_of(shape, axis, name());
    if (in[0].dtype != DType::f32) {
      fail<TypeError>("scatter_add: updates must be f32 or bf16, {} was given; see cast", in[0]);
    }
    if (const Shape expected = taken(shape, in[1].shape, axis); in[0].shape != expected) {
      fail<ShapeError>(
          "scatter_add: updates {} must be of shape {}, which is {} with axis {} replaced by the "
          "shape of the indices {}",
          in[0], expected, shape, axis, in[1]);
    }
    return {{DType::f32, shape}};
  }

  // dupdates = dy at the places they were added to
  std::vector<Value> vjp(const VjpArgs& a) const {
    return {gather(a.cotangents[0], a.inputs[1], axis), {}};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    const Extents extents(shape, axis, in[1].shape);
    check_indices(name(), in[1], extents.size);
    Array y(shape);
    extents.for_each(in[1], [&](std::size_t at, std::size_t i) { y.data[at] += in[0].data[i]; });
    return {y};
  }

  // Each thread owns a range of the result's rows and looks through all indices for them, so no two
  // write to one place, and sums do not depend on the number of threads.
  void lower(Lowering& l) const {
    const Extents extents(shape, axis, l.input(1).shape);
    l.step({l.read_row_major(0), l.read_row_major(1)}, {l.write_row_major(0)},
           [extents, what = l.describe()](auto reads, auto writes) {
             const std::span indices(as<std::int32_t>(reads[1]),
                                     static_cast<std::size_t>(extents.count));
             check_indices<std::int32_t>(what, indices, extents.size);
             const float* updates = as<float>(reads[0]);
             float* result = as<float>(writes[0]);
             const auto inner = static_cast<std::size_t>(extents.inner);
             const auto rows = static_cast<std::size_t>(extents.outer * extents.size);
             parallel_for(rows, grain_of(inner * 4), [=](std::size_t first, std::size_t last) {
               std::fill(result + first * inner, result + last * inner, 0.0f);
               add_rows(extents, indices, updates, static_cast<std::int64_t>(first),
                        static_cast<std::int64_t>(last), result);
             });
           });
  }

  /// What of the updates goes to rows first to last of the result, a row being outer and index.
  static void add_rows(const Extents& e, std::span<const std::int32_t> indices,
                       const float* updates, std::int64_t first, std::int64_t last, float* result) {
    for (std::int64_t o = first / e.size; o * e.size < last; ++o) {
      for (std::int64_t i = 0; i < e.count; ++i) {
        const std::int64_t row = o * e.size + indices[static_cast<std::size_t>(i)];
        if (row < first || row >= last) continue;
        const float* from = updates + (o * e.count + i) * e.inner;
        float* to = result + row * e.inner;
        for (std::int64_t k = 0; k < e.inner; ++k) to[k] += from[k];
      }
    }
  }
};

struct OneHot {
  std::int64_t classes = 1;
  static constexpr auto fields = std::tuple{field("classes", &OneHot::classes)};
  static std::string_view name() { return "one_hot"; }
  friend bool operator==(const OneHot&, const OneHot&) = default;

  Shape result(const Shape& indices) const {
    std::vector<std::int64_t> sizes(indices.begin(), indices.end());
    sizes.push_back(classes);
    return Shape(std::span<const std::int64_t>(sizes));
  }

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_indices(name(), in[0]);
    return {{DType::f32, result(in[0].shape)}};
  }

  // Indices are no numbers to differentiate by.
  std::vector<Value> vjp(const VjpArgs&) const { return {Value{}}; }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    check_indices(name(), in[0], classes);
    Array y(result(in[0].shape));
    for (std::size_t i = 0; i < in[0].data.size(); ++i) {
      y.data[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(in[0].data[i])] = 1;
    }
    return {y};
  }

  void lower(Lowering& l) const {
    const auto count = static_cast<std::size_t>(l.input(0).shape.elements());
    l.step({l.read_row_major(0)}, {l.write_row_major(0)},
           [count, classes = classes, what = l.describe()](auto reads, auto writes) {
             const std::span indices(as<std::int32_t>(reads[0]), count);
             check_indices<std::int32_t>(what, indices, classes);
             float* result = as<float>(writes[0]);
             const auto row = static_cast<std::size_t>(classes);
             parallel_for(count, grain_of(row * 4), [=](std::size_t first, std::size_t last) {
               std::fill(result + first * row, result + last * row, 0.0f);
               for (std::size_t i = first; i < last; ++i) {
                 result[i * row + static_cast<std::size_t>(indices[i])] = 1;
               }
             });
           });
  }
};

const Register registered{Gather{}, ScatterAdd{}, OneHot{}};

}  // namespace

Value gather(Value x, Value indices, int axis) {
  return apply(Gather{axis_of(x.shape(), axis, "gather")}, {x, indices});
}

Value scatter_add(Value updates, Value indices, const Shape& shape, int axis) {
  const ScatterAdd op{shape, axis_of(shape, axis, "scatter_add")};
  if (updates.dtype() != DType::bf16) return apply(op, {updates, indices});
  return cast(apply(op, {cast(updates, DType::f32), indices}), DType::bf16);
}

Value one_hot(Value indices, std::int64_t classes) {
  if (classes < 1) {
    fail<ArgumentError>("one_hot: classes is {}, but there must be at least 1", classes);
  }
  return apply(OneHot{classes}, {indices});
}

}  // namespace weft
