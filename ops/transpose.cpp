#include "ops/transpose.hpp"

#include <algorithm>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/indexing.hpp"
#include "runtime/lowering.hpp"

namespace weft {
namespace {

bool is_permutation(const std::vector<int>& axes) {
  std::vector<int> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t k = 0; k < sorted.size(); ++k) {
    if (sorted[k] != static_cast<int>(k)) return false;
  }
  return true;
}

std::vector<int> inverse(const std::vector<int>& permutation) {
  std::vector<int> result(permutation.size());
  for (std::size_t k = 0; k < permutation.size(); ++k) {
    result[static_cast<std::size_t>(permutation[k])] = static_cast<int>(k);
  }
  return result;
}

/// list[axes[0]], list[axes[1]], ...
template <class List>
List picked(const List& list, const std::vector<int>& axes) {
  List result;
  for (const int axis : axes) result.push_back(list[static_cast<std::size_t>(axis)]);
  return result;
}

Shape transposed(const Shape& shape, const std::vector<int>& permutation) {
  const std::vector<std::int64_t> sizes(shape.begin(), shape.end());
  return Shape(std::span<const std::int64_t>(picked(sizes, permutation)));
}

/// How a value that lies like this reads with its axes permuted: `md` stays, `plain` says where its
/// axes are in the result. Nothing if the layout's axes are not those of the shape.
std::optional<Layout> permuted(const Layout& layout, const Type& x, const Type& y,
                               const std::vector<int>& permutation) {
  const onednn::Dims sizes = onednn::dims(layout.plain), strides = onednn::strides(layout.plain);
  if (sizes.size() != x.shape.rank()) return std::nullopt;
  const auto own = strides_of(x.shape), moved = picked(strides_of(y.shape), inverse(permutation));
  std::vector<bool> taken(sizes.size());
  onednn::Dims result;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    std::size_t axis = 0;  // of x; those of size 1 are all alike
    while (axis < taken.size() && (taken[axis] || x.shape.begin()[axis] != sizes[d] ||
                                   (sizes[d] != 1 && own[axis] != strides[d]))) {
      ++axis;
    }
    if (axis == taken.size()) return std::nullopt;
    taken[axis] = true;
    result.push_back(moved[axis]);
  }
  return Layout{layout.md, strided(x.dtype, sizes, result).md};
}

struct Transpose {
  std::vector<int> permutation;
  static constexpr auto fields = std::tuple{field("permutation", &Transpose::permutation)};
  static std::string_view name() { return "transpose"; }
  friend bool operator==(const Transpose&, const Transpose&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    if (permutation.size() != in[0].shape.rank() || !is_permutation(permutation)) {
      fail<ShapeError>("transpose: permutation [{}] must name each of the {} axes of {} once",
                       fmt::join(permutation, ","), in[0].shape.rank(), in[0]);
    }
    return {{in[0].dtype, transposed(in[0].shape, permutation)}};
  }

  // dx = dy with the axes put back
  std::vector<Value> vjp(const VjpArgs& a) const {
    return {transpose(a.cotangents[0], inverse(permutation))};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(transposed(in[0].shape, permutation));
    const Box box{{y.shape.begin(), y.shape.end()},
                  picked(strides_of(in[0].shape), permutation),
                  strides_of(y.shape)};
    for_each(box, [&](std::size_t from, std::size_t to) { y.data[to] = in[0].data[from]; });
    return {y};
  }

  std::optional<Value> simplify(std::span<const Value> in) const {
    if (std::is_sorted(permutation.begin(), permutation.end())) return in[0];
    if (const auto* inner = in[0].op().as<Transpose>()) {
      return transpose(in[0].inputs()[0], picked(inner->permutation, permutation));
    }
    return std::nullopt;
  }

  // What an earlier step made is only seen in another order: who reads it may not mind. Else, one
  // reorder between two strided descriptions of x's axes: as they lie in x, and as in the result.
  void lower(Lowering& l) const {
    const Type& x = l.input(0);
    if (x.shape.rank() < 2) return l.view(0, 0);
    if (l.computed(0)) {
      if (const auto seen = permuted(l.layout(0), x, l.output(0), permutation)) {
        return l.view(0, 0, *seen);
      }
    }
    const onednn::Dims sizes(x.shape.begin(), x.shape.end());
    const onednn::Dims strides = picked(strides_of(l.output(0).shape), inverse(permutation));
    const Operand from = l.read_row_major(0);
    const Operand to = l.write(0, strided(x.dtype, sizes, strides));
    const auto pd = onednn::try_to(l.describe(), [&] {
      return dnnl::reorder::primitive_desc(onednn::engine(), from.layout.md, onednn::engine(),
                                           to.layout.md, Lowering::attr());
    });
    l.step(pd, {{DNNL_ARG_SRC, from}}, {{DNNL_ARG_DST, to}});
  }
};

const Register registered{Transpose{}};

}  // namespace

Value transpose(Value x, const std::vector<int>& permutation) {
  std::vector<int> axes;
  for (const int axis : permutation) axes.push_back(axis_of(x.shape(), axis, "transpose"));
  if (permutation.empty()) {
    for (std::size_t k = x.shape().rank(); k-- > 0;) axes.push_back(static_cast<int>(k));
  }
  return apply(Transpose{axes}, {x});
}

}  // namespace weft
