// Reductions over neighbouring axes (the builders chain them for axes that are not neighbours), and
// broadcast_to.
#include "ops/reduce.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/indexing.hpp"
#include "ops/reshape.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

/// A row-major tensor seen as [outer, reduced, inner].
struct Extent {
  std::size_t outer = 1, reduced = 1, inner = 1;
};

Extent extent_of(const Shape& shape, int first, int last) {
  Extent e;
  for (int i = 0; i < static_cast<int>(shape.rank()); ++i) {
    auto& size = i < first ? e.outer : i > last ? e.inner : e.reduced;
    size *= static_cast<std::size_t>(shape[i]);
  }
  return e;
}

Shape without(const Shape& shape, int first, int last, bool keep) {
  std::vector<std::int64_t> sizes;
  for (int i = 0; i < static_cast<int>(shape.rank()); ++i) {
    if (i < first || i > last) {
      sizes.push_back(shape[i]);
    } else if (keep) {
      sizes.push_back(1);
    }
  }
  return Shape(sizes);
}

// Rows summed one after another before their sum joins the others': keeps the rounding error of a
// long sum near that of a short one.
constexpr std::size_t run_length = 128;
// Columns that one thread handles at a time, and elements that are worth a thread.
constexpr std::size_t strip = 512, grain = 32 * 1024;

/// out[c] = sum over rows of in[row * stride + c], for c < columns <= strip.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void sum_rows(
    const float* in, std::size_t rows, std::size_t stride, std::size_t columns, float* out) {
  std::fill_n(out, columns, 0.0f);
  float part[strip];
  for (std::size_t first = 0; first < rows; first += run_length) {
    std::fill_n(part, columns, 0.0f);
    const std::size_t last = std::min(rows, first + run_length);
    for (std::size_t r = first; r < last; ++r) {
      const float* row = in + r * stride;
      for (std::size_t c = 0; c < columns; ++c) part[c] += row[c];
    }
    for (std::size_t c = 0; c < columns; ++c) out[c] += part[c];
  }
}

/// The sum of n neighbours, in 16 interleaved parts.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] float sum_run(const float* in,
                                                                                    std::size_t n) {
  constexpr std::size_t lanes = 16;
  float all[lanes] = {};
  for (std::size_t first = 0; first < n; first += lanes * run_length) {
    float part[lanes] = {};
    const std::size_t last = std::min(n, first + lanes * run_length);
    std::size_t i = first;
    for (; i + lanes <= last; i += lanes) {
      for (std::size_t k = 0; k < lanes; ++k) part[k] += in[i + k];
    }
    for (std::size_t k = 0; i < last; ++i, ++k) part[k] += in[i];
    for (std::size_t k = 0; k < lanes; ++k) all[k] += part[k];
  }
  for (std::size_t width = lanes / 2; width > 0; width /= 2) {
    for (std::size_t k = 0; k < width; ++k) all[k] += all[k + width];
  }
  return all[0];
}

void sum_all(const Extent& e, const float* in, float* out) {
  if (e.inner == 1) {
    parallel_for(e.outer, 1 + grain / std::max<std::size_t>(e.reduced, 1),
                 [&](auto first, auto last) {
                   for (std::size_t o = first; o < last; ++o)
                     out[o] = sum_run(in + o * e.reduced, e.reduced);
                 });
    return;
  }
  const std::size_t strips = (e.inner + strip - 1) / strip;
  parallel_for(e.outer * strips,
               1 + grain / std::max<std::size_t>(e.reduced * std::min(e.inner, strip), 1),
               [&](std::size_t first, std::size_t last) {
                 for (std::size_t i = first; i < last; ++i) {
                   const std::size_t o = i / strips, c = i % strips * strip;
                   sum_rows(in + o * e.reduced * e.inner + c, e.reduced, e.inner,
                            std::min(strip, e.inner - c), out + o * e.inner + c);
                 }
               });
}

/// Extremes: out = better(out, in), and a NaN wins.
template <class Better>
void extreme_all(const Extent& e, const float* in, float* out, float worst, Better better) {
  parallel_for(e.outer, 1 + grain / std::max<std::size_t>(e.reduced * e.inner, 1),
               [&](std::size_t first, std::size_t last) {
                 for (std::size_t o = first; o < last; ++o) {
                   float* to = out + o * e.inner;
                   std::fill_n(to, e.inner, worst);
                   for (std::size_t r = 0; r < e.reduced; ++r) {
                     const float* from = in + (o * e.reduced + r) * e.inner;
                     for (std::size_t c = 0; c < e.inner; ++c) {
                       to[c] = from[c] != from[c] || better(from[c], to[c]) ? from[c] : to[c];
                     }
                   }
                 }
               });
}

enum class Kind { sum, max, min };

struct Reduce {
  Kind kind = Kind::sum;
  int first = 0, last = 0;  // the axes reduced over, counted from the front
  bool keep = false;
  static constexpr auto fields = std::tuple{
      field("first", &Reduce::first), field("last", &Reduce::last), field("keep", &Reduce::keep)};
  std::string_view name() const {
    return kind == Kind::sum ? "sum" : kind == Kind::max ? "max" : "min";
  }
  friend bool operator==(const Reduce&, const Reduce&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    const Extent e = extent_of(in[0].shape, first, last);
    if (kind != Kind::sum && e.reduced == 0) {
      fail<ShapeError>("{}: nothing to choose from: axes {} to {} of {} are empty", name(), first,
                       last, in[0]);
    }
    return {{in[0].dtype, without(in[0].shape, first, last, keep)}};
  }

  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value x = args.inputs[0];
    const Shape kept = without(x.shape(), first, last, true);
    const Value dy = reshape(args.cotangents[0], kept);
    if (kind == Kind::sum) return {broadcast_to(dy, x.shape())};
    // Equal extremes share.
    const Value chosen = equal(x, reshape(args.outputs[0], kept));
    return {dy * chosen / apply(Reduce{Kind::sum, first, last, true}, {chosen})};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    const Extent e = extent_of(in[0].shape, first, last);
    Array y(without(in[0].shape, first, last, keep));
    for (std::size_t o = 0; o < e.outer; ++o) {
      for (std::size_t c = 0; c < e.inner; ++c) {
        double result = kind == Kind::sum ? 0 : in[0].data[o * e.reduced * e.inner + c];
        for (std::size_t r = 0; r < e.reduced; ++r) {
          const double x = in[0].data[(o * e.reduced + r) * e.inner + c];
          if (kind == Kind::sum) result += x;
          if (kind == Kind::max && (x > result || std::isnan(x))) result = x;
          if (kind == Kind::min && (x < result || std::isnan(x))) result = x;
        }
        y.data[o * e.inner + c] = result;
      }
    }
    return {y};
  }

  std::optional<Value> simplify(std::span<const Value> in) const {
    if (extent_of(in[0].shape(), first, last).reduced != 1) return std::nullopt;
    return reshape(in[0], without(in[0].shape(), first, last, keep));
  }

  std::optional<std::size_t> channel_sum(std::size_t, const Type& type) const {
    const bool all_but_last = first == 0 && last + 2 == static_cast<int>(type.shape.rank());
    return kind == Kind::sum && !keep && all_but_last ? std::optional<std::size_t>(0)
                                                      : std::nullopt;
  }

  void lower(Lowering& l) const {
    const Extent e = extent_of(l.input(0).shape, first, last);
    l.step({l.read_row_major(0)}, {l.write_row_major(0)}, [e, kind = kind](auto in, auto out) {
      const float* x = as<float>(in[0]);
      float* y = as<float>(out[0]);
      constexpr float infinity = std::numeric_limits<float>::infinity();
      switch (kind) {
        case Kind::sum:
          return sum_all(e, x, y);
        case Kind::max:
          return extreme_all(e, x, y, -infinity, [](float a, float b) { return a > b; });
        case Kind::min:
          return extreme_all(e, x, y, infinity, [](float a, float b) { return a < b; });
      }
    });
  }
};

struct Argmax {
  int axis = 0;
  static constexpr Traits traits{.differentiable = false};
  static constexpr auto fields = std::tuple{field("axis", &Argmax::axis)};
  static std::string_view name() { return "argmax"; }
  friend bool operator==(const Argmax&, const Argmax&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    if (in[0].shape[axis] == 0) {
      fail<ShapeError>("argmax: nothing to choose from: axis {} of {} is empty", axis, in[0]);
    }
    return {{DType::s32, without(in[0].shape, axis, axis, false)}};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(without(in[0].shape, axis, axis, false));
    find(extent_of(in[0].shape, axis, axis), in[0].data.data(), y.data.data());
    return {y};
  }
  void lower(Lowering& l) const {
    const Extent e = extent_of(l.input(0).shape, axis, axis);
    l.step({l.read_row_major(0)}, {l.write_row_major(0)},
           [e](auto in, auto out) { find(e, as<float>(in[0]), as<std::int32_t>(out[0])); });
  }

  template <class Number, class Index>
  static void find(const Extent& e, const Number* x, Index* y) {
    for (std::size_t o = 0; o < e.outer; ++o) {
      for (std::size_t c = 0; c < e.inner; ++c) {
        const Number* column = x + o * e.reduced * e.inner + c;
        std::size_t best = 0;
        for (std::size_t r = 1; r < e.reduced; ++r) {
          const Number next = column[r * e.inner], top = column[best * e.inner];
          // The first NaN is larger than all.
          if (next > top || (next != next && top == top)) best = r;
        }
        y[o * e.inner + c] = static_cast<Index>(best);
      }
    }
  }
};

void copy_floats(const Elementwise&, const float* const* in, float* out, std::size_t n) {
  std::copy_n(in[0], n, out);
}

struct BroadcastTo {
  Shape shape;
  static constexpr auto fields = std::tuple{field("shape", &BroadcastTo::shape)};
  static std::string_view name() { return "broadcast_to"; }
  friend bool operator==(const BroadcastTo&, const BroadcastTo&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    if (broadcast(in[0].shape, shape, name()) != shape) {
      fail<ShapeError>("broadcast_to: {} does not broadcast to {}", in[0], shape);
    }
    return {{in[0].dtype, shape}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {sum_to(args.cotangents[0], args.inputs[0].shape())};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(shape);
    for_each(box(in[0].shape),
             [&](std::size_t from, std::size_t to) { y.data[to] = in[0].data[from]; });
    return {y};
  }
  std::optional<Value> simplify(std::span<const Value> in) const {
    if (in[0].shape() == shape) return in[0];
    return std::nullopt;
  }
  /// One element, repeated, can be part of a loop that reads it; other widths cannot.
  Elementwise elementwise() const { return {copy_floats}; }
  void lower(Lowering& l) const {
    l.step({l.read_row_major(0)}, {l.write_row_major(0)},
           [box = merged(box(l.input(0).shape)), bytes = size_of(l.output(0).dtype)](
               auto in, auto out) { copy(box, bytes, in[0], out[0]); });
  }

  Box box(const Shape& from) const {
    std::vector<std::int64_t> places(shape.rank(), 0);
    const auto own = strides_of(from);
    for (std::size_t i = 0; i < from.rank(); ++i) {
      if (from.begin()[i] != 1) places[shape.rank() - from.rank() + i] = own[i];
    }
    return {{shape.begin(), shape.end()}, places, strides_of(shape)};
  }
};

const Register registered{Reduce{Kind::sum}, Reduce{Kind::max}, Reduce{Kind::min}, Argmax{},
                          BroadcastTo{}};

/// One op per run of neighbouring axes, the last run first, so that earlier axes keep their
/// numbers.
Value reduce(Kind kind, Value x, std::span<const int> axes, Keep keep) {
  const auto sorted = axes_of(x.shape(), axes, Reduce{kind}.name());
  for (std::size_t end = sorted.size(); end > 0;) {
    std::size_t begin = end - 1;
    while (begin > 0 && sorted[begin - 1] == sorted[begin] - 1) --begin;
    x = apply(Reduce{kind, sorted[begin], sorted[end - 1], keep == Keep::axes}, {x});
    end = begin;
  }
  return x;
}

}  // namespace

Value sum(Value x, const std::vector<int>& axes, Keep keep) {
  return reduce(Kind::sum, x, axes, keep);
}
Value max(Value x, const std::vector<int>& axes, Keep keep) {
  return reduce(Kind::max, x, axes, keep);
}
Value min(Value x, const std::vector<int>& axes, Keep keep) {
  return reduce(Kind::min, x, axes, keep);
}
Value mean(Value x, const std::vector<int>& axes, Keep keep) {
  const Value total = sum(x, axes, keep);
  const auto count = x.shape().elements() / std::max<std::int64_t>(total.shape().elements(), 1);
  return total * (1.0f / static_cast<float>(count));
}

Value argmax(Value x, int axis) { return apply(Argmax{axis_of(x.shape(), axis, "argmax")}, {x}); }

Value broadcast_to(Value x, const Shape& shape) {
  return x.shape() == shape ? x : apply(BroadcastTo{shape}, {x});
}

Value sum_to(Value x, const Shape& shape) {
  if (broadcast(shape, x.shape(), "sum_to") != x.shape()) {
    fail<ShapeError>("sum_to: {} is not what {} broadcasts to", x.type(), shape);
  }
  const std::size_t missing = x.shape().rank() - shape.rank();
  std::vector<int> axes;
  for (std::size_t i = 0; i < x.shape().rank(); ++i) {
    const bool gone = i < missing;
    if (gone || shape.begin()[i - missing] != x.shape().begin()[i])
      axes.push_back(static_cast<int>(i));
  }
  if (axes.empty()) return x;
  return reshape(sum(x, axes), shape);
}

}  // namespace weft
