// Standardization as one op, and its gradient as another: each goes over what belongs together
// while it lies in a cache, instead of over all of memory once for each of half a dozen ops.
#include "ops/standardize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/reduce.hpp"
#include "ops/reshape.hpp"
#include "ops/unary.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

/// What the ops below see of any tensor, f32[samples,rows,sets,run]: a set of numbers that are
/// taken together are the runs of all rows of a sample.
struct Extent {
  std::size_t samples, rows, sets, run;

  explicit Extent(const Shape& x)
      : samples(static_cast<std::size_t>(x[0])),
        rows(static_cast<std::size_t>(x[1])),
        sets(static_cast<std::size_t>(x[2])),
        run(static_cast<std::size_t>(x[3])) {
    if (sets > 1) return;
    run *= rows;
    rows = 1;
  }
  std::size_t stride() const { return sets * run; }  // from row to row
  std::size_t sample() const { return rows * stride(); }
  double count() const { return static_cast<double>(rows * run); }
};

// Sums are made in f32 of at most so many terms, and these sums added in double.
constexpr std::size_t most_terms = 128;
constexpr std::size_t strip = 512;
constexpr std::size_t grain = 16 * 1024;  // elements that are worth a thread

using Floats = float __attribute__((vector_size(64)));
constexpr std::size_t lanes = sizeof(Floats) / sizeof(float);

// Through references: how vectors are returned by value depends on the instruction set that the
// caller was built for.
template <class V>
[[gnu::always_inline]] inline void load(V& v, const float* from) {
  std::memcpy(&v, from, sizeof v);
}

/// The sum of n neighbours, where term(v, place) makes v, a number or several, of what is there.
template <class Term>
[[gnu::always_inline]] inline float sum_of_run(std::size_t first, std::size_t n, Term term) {
  Floats parts[4] = {}, v;
  std::size_t at = first;
  const std::size_t last = first + n;
  for (; at + 4 * lanes <= last; at += 4 * lanes) {
    for (std::size_t k = 0; k < 4; ++k) {
      term(v, at + k * lanes);
      parts[k] += v;
    }
  }
  for (; at + lanes <= last; at += lanes) {
    term(v, at);
    parts[0] += v;
  }
  const Floats all = (parts[0] + parts[1]) + (parts[2] + parts[3]);
  float sum = 0;
  for (std::size_t k = 0; k < lanes; ++k) sum += all[k];
  for (; at < last; ++at) {
    float one;
    term(one, at);
    sum += one;
  }
  return sum;
}

/// The sum over one set.
template <class Term>
[[gnu::always_inline]] inline double sum_of_set(const Extent& e, Term term) {
  constexpr std::size_t most = most_terms * lanes;
  double total = 0;
  for (std::size_t row = 0; row < e.rows; ++row) {
    for (std::size_t done = 0; done < e.run; done += most) {
      total += sum_of_run(row * e.stride() + done, std::min(most, e.run - done), term);
    }
  }
  return total;
}

/// Of sets side by side: the sum of term(place, column) over the rows of each column.
template <class Term>
[[gnu::always_inline]] inline void sum_columns(const Extent& e, std::size_t columns, double* sums,
                                               Term term) {
  float parts[strip];
  std::fill_n(sums, columns, 0.0);
  for (std::size_t row = 0; row < e.rows;) {
    std::fill_n(parts, columns, 0.0f);
    const std::size_t last = std::min(e.rows, row + most_terms);
    for (; row < last; ++row) {
      const std::size_t at = row * e.stride();
      for (std::size_t c = 0; c < columns; ++c) parts[c] += term(at + c, c);
    }
    for (std::size_t c = 0; c < columns; ++c) sums[c] += parts[c];
  }
}

/// Makes one number of the sums of a set's columns, and gives it to all of them.
template <class F>
[[gnu::always_inline]] inline void per_set(std::size_t run, std::size_t columns, const double* sums,
                                           float* numbers, F f) {
  for (std::size_t first = 0; first < columns; first += run) {
    double sum = 0;
    for (std::size_t c = first; c < first + run; ++c) sum += sums[c];
    std::fill_n(numbers + first, run, static_cast<float>(f(sum)));
  }
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void standardize_set(
    const Extent& e, float epsilon, const float* x, float* y, float* scale) {
  const double sum = sum_of_set(e, [x](auto& v, std::size_t at) { load(v, x + at); });
  const auto mean = static_cast<float>(sum / e.count());
  const double squares = sum_of_set(e, [x, mean](auto& v, std::size_t at) {
    load(v, x + at);
    v -= mean;
    v *= v;
  });
  const auto factor = static_cast<float>(1 / std::sqrt(squares / e.count() + epsilon));
  *scale = factor;
  for (std::size_t row = 0; row < e.rows; ++row) {
    const std::size_t first = row * e.stride();
    for (std::size_t at = first; at < first + e.run; ++at) y[at] = (x[at] - mean) * factor;
  }
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void standardize_columns(
    const Extent& e, std::size_t columns, float epsilon, const float* x, float* y, float* scale) {
  double sums[strip];
  float mean[strip], factor[strip];
  sum_columns(e, columns, sums, [&](std::size_t at, std::size_t) { return x[at]; });
  per_set(e.run, columns, sums, mean, [&](double sum) { return sum / e.count(); });
  sum_columns(e, columns, sums,
              [&](std::size_t at, std::size_t c) { return (x[at] - mean[c]) * (x[at] - mean[c]); });
  per_set(e.run, columns, sums, factor,
          [&](double squares) { return 1 / std::sqrt(squares / e.count() + epsilon); });
  for (std::size_t c = 0; c < columns; c += e.run) scale[c / e.run] = factor[c];
  for (std::size_t row = 0; row < e.rows; ++row) {
    const std::size_t first = row * e.stride();
    for (std::size_t c = 0; c < columns; ++c) y[first + c] = (x[first + c] - mean[c]) * factor[c];
  }
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void gradient_set(
    const Extent& e, const float* y, const float* scale, const float* dy, float* dx) {
  const double sum = sum_of_set(e, [dy](auto& v, std::size_t at) { load(v, dy + at); });
  const double products = sum_of_set(e, [y, dy](auto& v, std::size_t at) {
    std::remove_reference_t<decltype(v)> other;
    load(v, dy + at);
    load(other, y + at);
    v *= other;
  });
  const auto mean = static_cast<float>(sum / e.count()),
             slope = static_cast<float>(products / e.count());
  const float factor = *scale;
  for (std::size_t row = 0; row < e.rows; ++row) {
    const std::size_t first = row * e.stride();
    for (std::size_t at = first; at < first + e.run; ++at) {
      dx[at] = factor * (dy[at] - mean - y[at] * slope);
    }
  }
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void gradient_columns(
    const Extent& e, std::size_t columns, const float* y, const float* scale, const float* dy,
    float* dx) {
  double sums[strip];
  float mean[strip], slope[strip], factor[strip];
  const auto average = [&](double sum) { return sum / e.count(); };
  sum_columns(e, columns, sums, [&](std::size_t at, std::size_t) { return dy[at]; });
  per_set(e.run, columns, sums, mean, average);
  sum_columns(e, columns, sums, [&](std::size_t at, std::size_t) { return dy[at] * y[at]; });
  per_set(e.run, columns, sums, slope, average);
  for (std::size_t c = 0; c < columns; ++c) factor[c] = scale[c / e.run];
  for (std::size_t row = 0; row < e.rows; ++row) {
    const std::size_t first = row * e.stride();
    for (std::size_t c = 0; c < columns; ++c) {
      const std::size_t at = first + c;
      dx[at] = factor[c] * (dy[at] - mean[c] - y[at] * slope[c]);
    }
  }
}

/// Calls of_set(place of the first number, set) for each set, or where their runs are short,
/// of_columns(place, first set, columns) for as many side by side as a strip holds; cut among
/// threads.
template <class OfSet, class OfColumns>
void for_sets(const Extent& e, OfSet of_set, OfColumns of_columns) {
  const bool alone = e.sets == 1 || e.run > strip / 2;
  const std::size_t at_once = alone ? 1 : std::min(strip / e.run, e.sets);
  const std::size_t parts = (e.sets + at_once - 1) / at_once;
  parallel_for(e.samples * parts, 1 + grain / (e.rows * e.run * at_once),
               [&](std::size_t first, std::size_t last) {
                 for (std::size_t i = first; i < last; ++i) {
                   const std::size_t sample = i / parts, set = i % parts * at_once;
                   const std::size_t at = sample * e.sample() + set * e.run;
                   if (alone) {
                     of_set(at, sample * e.sets + set);
                   } else {
                     of_columns(at, sample * e.sets + set, std::min(at_once, e.sets - set) * e.run);
                   }
                 }
               });
}

const std::vector<int> set_axes{1, 3};

struct StandardizeGrad {  // (y, scale, dy) -> dx
  static std::string_view name() { return "standardize_grad"; }
  friend bool operator==(const StandardizeGrad&, const StandardizeGrad&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 3);
    expect_f32(name(), in);
    if (in[0] != in[2] || in[0].shape.rank() != 4) {
      fail<ShapeError>("{}: y and dy must be equal, of rank 4, not {} and {}", name(), in[0],
                       in[2]);
    }
    return {in[2]};
  }
  // dx = scale (dy - mean(dy) - y mean(y dy))
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value y = in[0], dy = in[2];
    return {in[1] * (dy - mean(dy, set_axes, Keep::axes) - y * mean(y * dy, set_axes, Keep::axes))};
  }
  void lower(Lowering& l) const {
    const Operand dy = l.read_row_major(2);
    l.step({l.read_row_major(0), l.read_row_major(1), dy}, {l.write_over(0, dy)},
           [e = Extent(l.input(0).shape)](auto in, auto out) {
             const float *y = as<float>(in[0]), *scale = as<float>(in[1]), *dy = as<float>(in[2]);
             float* dx = as<float>(out[0]);
             for_sets(
                 e,
                 [&](std::size_t at, std::size_t set) {
                   gradient_set(e, y + at, scale + set, dy + at, dx + at);
                 },
                 [&](std::size_t at, std::size_t set, std::size_t columns) {
                   gradient_columns(e, columns, y + at, scale + set, dy + at, dx + at);
                 });
           });
  }
};

struct Standardize {  // x -> y, scale, which is 1 / sqrt(variance + epsilon)
  float epsilon = 0;
  static constexpr auto fields = std::tuple{field("epsilon", &Standardize::epsilon)};
  static std::string_view name() { return "standardize"; }
  friend bool operator==(const Standardize&, const Standardize&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    if (in[0].shape.rank() != 4 || in[0].shape.elements() == 0) {
      fail<ShapeError>("{}: x must be of rank 4, and not empty: {}", name(), in[0]);
    }
    return {in[0], {DType::f32, in[0].shape.with(1, 1).with(3, 1)}};
  }
  // dx = standardize_grad(dy) - y scale^2 / count * dscale
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value y = args.outputs[0], scale = args.outputs[1], dy = args.cotangents[0],
                dscale = args.cotangents[1];
    Value dx;
    if (dy) dx = apply(StandardizeGrad{}, {y, scale, dy});
    if (dscale) {
      const auto count = static_cast<float>(y.shape()[1] * y.shape()[3]);
      const Value more = y * (square(scale) * dscale * (-1 / count));
      dx = dx ? dx + more : more;
    }
    return {dx};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value centered = in[0] - mean(in[0], set_axes, Keep::axes);
    const Value scale = reciprocal(sqrt(mean(square(centered), set_axes, Keep::axes) + epsilon));
    return {centered * scale, scale};
  }
  void lower(Lowering& l) const {
    const Operand x = l.read_row_major(0);
    l.step({x}, {l.write_over(0, x), l.write_row_major(1)},
           [e = Extent(l.input(0).shape), epsilon = epsilon](auto in, auto out) {
             const float* x = as<float>(in[0]);
             float *y = as<float>(out[0]), *scale = as<float>(out[1]);
             for_sets(
                 e,
                 [&](std::size_t at, std::size_t set) {
                   standardize_set(e, epsilon, x + at, y + at, scale + set);
                 },
                 [&](std::size_t at, std::size_t set, std::size_t columns) {
                   standardize_columns(e, columns, epsilon, x + at, y + at, scale + set);
                 });
           });
  }
};

const Register registered{Standardize{}, StandardizeGrad{}};

/// The shape of x as [samples, rows, sets, run], with axes that are neighbours and of one kind
/// joined; nothing if they alternate more often.
std::optional<Shape> as_sets(const Shape& x, const std::vector<int>& axes) {
  std::vector<std::int64_t> sizes{1, 1, 1, 1};
  std::size_t part = 0;
  for (int axis = 0; axis < static_cast<int>(x.rank()); ++axis) {
    const bool taken_together = std::ranges::count(axes, axis) > 0;
    if (taken_together != (part % 2 == 1)) ++part;
    if (part > 3) return std::nullopt;
    sizes[part] *= x[axis];
  }
  return Shape(sizes);
}

}  // namespace

Value standardize(Value x, const std::vector<int>& axes, float epsilon) {
  if (axes.empty()) fail<ArgumentError>("standardize: it needs at least one axis");
  if (!(epsilon >= 0)) {
    fail<ArgumentError>("standardize: epsilon must be at least 0, not {}", epsilon);
  }
  const std::vector<int> sorted = axes_of(x.shape(), axes, "standardize");
  if (x.shape().elements() == 0) fail<ShapeError>("standardize: x is empty: {}", x.type());
  const std::optional<Shape> sets = as_sets(x.shape(), sorted);
  if (sets) return reshape(apply(Standardize{epsilon}, {reshape(x, *sets)}), x.shape());
  const Value centered = x - mean(x, sorted, Keep::axes);
  return centered * reciprocal(sqrt(mean(square(centered), sorted, Keep::axes) + epsilon));
}

}  // namespace weft
