// Softmax, its logarithm, and cross-entropy with softmax as one op.
#include "ops/softmax.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/control.hpp"
#include "ops/exponential.hpp"
#include "ops/reduce.hpp"
#include "ops/reshape.hpp"
#include "ops/unary.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

/// Throws ShapeError if there is nothing along the axis: a maximum of nothing is not defined.
void expect_elements(std::string_view op, const Type& x, int axis) {
  if (x.shape[axis] == 0) {
    fail<ShapeError>("{}: axis {} of {} has no elements", op, axis, x);
  }
}

/// x minus its maximum, which changes no quotient of exponentials and keeps them finite.
Value shifted(Value x, int axis) { return x - stop_gradient(max(x, {axis}, Keep::axes)); }

// Softmax of one row at a time, in vectors of `lanes`, or of neighbouring columns. The exponentials
// of a row that holds a NaN add up to NaN, and so all its quotients are.
constexpr std::size_t lanes = 16, softmax_tile = 256;

/// y = e^(x - top) for n numbers, a multiple of `lanes`, in place; returns their sum.
[[gnu::always_inline]] inline float exponentials(float* y, std::size_t n, float top) {
  float parts[lanes] = {};
  for (std::size_t i = 0; i < n; i += lanes) {
    for (std::size_t k = 0; k < lanes; ++k) {
      y[i + k] = exponential(y[i + k] - top);
      parts[k] += y[i + k];
    }
  }
  for (std::size_t width = lanes / 2; width > 0; width /= 2) {
    for (std::size_t k = 0; k < width; ++k) parts[k] += parts[k + width];
  }
  return parts[0];
}

/// `rows` rows of n numbers. What is left of a row behind its last whole vector, or all of a short
/// row, is computed in `rest`, which is filled up with numbers whose exponential is 0.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void softmax_rows(
    const float* x, float* y, std::size_t rows, std::size_t n) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::size_t whole = n / lanes * lanes;
  for (std::size_t row = 0; row < rows; ++row, x += n, y += n) {
    float top = -infinity, rest[lanes];
    for (std::size_t i = 0; i < n; ++i) top = x[i] > top ? x[i] : top;
    for (std::size_t k = 0; k < lanes; ++k) rest[k] = -infinity;
    for (std::size_t k = whole; k < n; ++k) rest[k - whole] = x[k];
    if (x != y) std::copy_n(x, whole, y);
    const float total = exponentials(y, whole, top) + exponentials(rest, lanes, top);
    for (std::size_t i = 0; i < whole; ++i) y[i] /= total;
    for (std::size_t k = whole; k < n; ++k) y[k] = rest[k - whole] / total;
  }
}

/// At most softmax_tile columns of n numbers, each `stride` behind the last.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void softmax_columns(
    const float* x, float* y, std::size_t n, std::size_t stride, std::size_t columns) {
  float top[softmax_tile], total[softmax_tile] = {};
  std::fill_n(top, columns, -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < n; ++i) {
    const float* from = x + i * stride;
    for (std::size_t c = 0; c < columns; ++c) top[c] = from[c] > top[c] ? from[c] : top[c];
  }
  for (std::size_t i = 0; i < n; ++i) {
    const float* from = x + i * stride;
    float* to = y + i * stride;
    for (std::size_t c = 0; c < columns; ++c) {
      to[c] = exponential(from[c] - top[c]);
      total[c] += to[c];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    float* to = y + i * stride;
    for (std::size_t c = 0; c < columns; ++c) to[c] /= total[c];
  }
}

struct Softmax {
  int axis = 0;
  static constexpr auto fields = std::tuple{field("axis", &Softmax::axis)};
  static std::string_view name() { return "softmax"; }
  friend bool operator==(const Softmax&, const Softmax&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    expect_elements(name(), in[0], axis);
    return {in[0]};
  }
  // dx = y * (dy - sum(y * dy))
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value y = args.outputs[0], dy = args.cotangents[0];
    return {y * (dy - sum(y * dy, {axis}, Keep::axes))};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value e = exp(shifted(in[0], axis));
    return {e / sum(e, {axis}, Keep::axes)};
  }
  // A loop of our own: in oneDNN's, a NaN stays alone, and the others become 0.
  void lower(Lowering& l) const {
    const Shape shape = l.input(0).shape;
    const auto inner = static_cast<std::size_t>(strides_of(shape)[static_cast<std::size_t>(axis)]);
    const auto n = static_cast<std::size_t>(shape[axis]);
    const std::size_t tiles = (inner + softmax_tile - 1) / softmax_tile;
    const auto outer =
        static_cast<std::size_t>(shape.elements()) / std::max<std::size_t>(n * inner, 1);
    const Operand x = l.read_row_major(0);
    l.step({x}, {l.write_over(0, x)}, [=](auto in, auto out) {
      const float* from = as<float>(in[0]);
      float* to = as<float>(out[0]);
      const std::size_t grain = 1 + 16384 / std::max<std::size_t>(n * inner, 1);
      if (inner == 1) {
        parallel_for(outer, grain, [&](std::size_t first, std::size_t last) {
          softmax_rows(from + first * n, to + first * n, last - first, n);
        });
        return;
      }
      parallel_for(outer * tiles, grain, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
          const std::size_t column = i % tiles * softmax_tile, at = i / tiles * n * inner + column;
          softmax_columns(from + at, to + at, n, inner, std::min(softmax_tile, inner - column));
        }
      });
    });
  }
};

/// n numbers, each `stride` behind the last.
void log_softmax_column(const float* x, float* y, std::size_t n, std::size_t stride) {
  float top = -std::numeric_limits<float>::infinity(), total = 0;
  for (std::size_t k = 0; k < n; ++k) top = std::max(top, x[k * stride]);
  for (std::size_t k = 0; k < n; ++k) total += std::exp(x[k * stride] - top);
  const float log_total = std::log(total);
  for (std::size_t k = 0; k < n; ++k) y[k * stride] = x[k * stride] - top - log_total;
}

struct LogSoftmax {
  int axis = 0;
  static constexpr auto fields = std::tuple{field("axis", &LogSoftmax::axis)};
  static std::string_view name() { return "log_softmax"; }
  friend bool operator==(const LogSoftmax&, const LogSoftmax&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    expect_elements(name(), in[0], axis);
    return {in[0]};
  }
  // dx = dy - softmax(x) * sum(dy), and softmax(x) = exp(y)
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value y = args.outputs[0], dy = args.cotangents[0];
    return {dy - exp(y) * sum(dy, {axis}, Keep::axes)};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value x = shifted(in[0], axis);
    return {x - log(sum(exp(x), {axis}, Keep::axes))};
  }
  // A loop of ours: oneDNN 2.6's logarithm is off by 4e-6.
  void lower(Lowering& l) const {
    const Shape shape = l.input(0).shape;
    const auto inner = static_cast<std::size_t>(strides_of(shape)[static_cast<std::size_t>(axis)]);
    const auto n = static_cast<std::size_t>(shape[axis]);
    const auto columns = static_cast<std::size_t>(shape.elements()) / std::max<std::size_t>(n, 1);
    const Operand x = l.read_row_major(0);
    l.step({x}, {l.write_over(0, x)}, [inner, n, columns](auto in, auto out) {
      parallel_for(columns, 1 + 4096 / std::max<std::size_t>(n, 1), [&](auto first, auto last) {
        for (std::size_t column = first; column < last; ++column) {
          const std::size_t at = column / inner * n * inner + column % inner;
          log_softmax_column(as<float>(in[0]) + at, as<float>(out[0]) + at, n, inner);
        }
      });
    });
  }
};

/// The t for which max(x - t, 0) adds up to 1, of n numbers in descending order: what the largest k
/// give as (their sum - 1) / k, with the most k for which all of them are above it.
template <class T>
T sparsemax_threshold(const T* sorted, std::size_t n) {
  T sum = 0, threshold = 0;
  for (std::size_t k = 0; k < n; ++k) {
    sum += sorted[k];
    const T next = (sum - 1) / static_cast<T>(k + 1);
    if (!(sorted[k] > next)) break;
    threshold = next;
  }
  return threshold;
}

/// n numbers, each `stride` behind the last.
template <class T>
void sparsemax_column(const T* x, T* y, std::size_t n, std::size_t stride, std::vector<T>& sorted) {
  sorted.resize(n);
  for (std::size_t k = 0; k < n; ++k) sorted[k] = x[k * stride];
  // Relative to the largest, which changes nothing, so that a 1 is not lost beside large numbers.
  const T top = n == 0 ? 0 : *std::max_element(sorted.begin(), sorted.end());
  for (T& number : sorted) number -= top;
  if (std::ranges::any_of(sorted, [](T number) { return std::isnan(number); })) {
    for (std::size_t k = 0; k < n; ++k) y[k * stride] = std::numeric_limits<T>::quiet_NaN();
    return;
  }
  std::sort(sorted.begin(), sorted.end(), std::greater<T>());
  const T threshold = sparsemax_threshold(sorted.data(), n);
  for (std::size_t k = 0; k < n; ++k) {
    const T above = x[k * stride] - top - threshold;
    y[k * stride] = std::max<T>(above, 0);
  }
}

struct Sparsemax {
  int axis = 0;
  static constexpr auto fields = std::tuple{field("axis", &Sparsemax::axis)};
  static std::string_view name() { return "sparsemax"; }
  friend bool operator==(const Sparsemax&, const Sparsemax&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    expect_elements(name(), in[0], axis);
    return {in[0]};
  }
  // Where y > 0, dx = dy minus the mean of dy over all such places; elsewhere 0.
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value dy = args.cotangents[0], support = greater(args.outputs[0], 0);
    const Value mean = sum(support * dy, {axis}, Keep::axes) / sum(support, {axis}, Keep::axes);
    return {support * (dy - mean)};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(in[0].shape);
    std::vector<double> sorted;
    for_columns(in[0].shape, [&](std::size_t at, std::size_t n, std::size_t stride) {
      sparsemax_column(in[0].data.data() + at, y.data.data() + at, n, stride, sorted);
    });
    return {y};
  }
  void lower(Lowering& l) const {
    const Operand x = l.read_row_major(0);
    l.step({x}, {l.write_over(0, x)}, [op = *this, shape = l.input(0).shape](auto in, auto out) {
      std::vector<float> sorted;
      op.for_columns(shape, [&](std::size_t at, std::size_t n, std::size_t stride) {
        sparsemax_column(as<float>(in[0]) + at, as<float>(out[0]) + at, n, stride, sorted);
      });
    });
  }

  /// Calls f(first element, count, stride) for each column along the axis.
  template <class F>
  void for_columns(const Shape& shape, F f) const {
    const auto inner = static_cast<std::size_t>(strides_of(shape)[static_cast<std::size_t>(axis)]);
    const auto n = static_cast<std::size_t>(shape[axis]);
    const auto columns = static_cast<std::size_t>(shape.elements()) / std::max<std::size_t>(n, 1);
    for (std::size_t column = 0; column < columns; ++column) {
      f(column / inner * n * inner + column % inner, n, inner);
    }
  }
};

/// Calls f(row) for each row of the last axis, cut among threads.
template <class F>
void for_rows(const Type& type, F f) {
  const std::int64_t width = type.shape[-1];
  const auto rows = static_cast<std::size_t>(width == 0 ? 0 : type.shape.elements() / width);
  parallel_for(rows, 1 + 4096 / static_cast<std::size_t>(std::max<std::int64_t>(width, 1)),
               [&](std::size_t first, std::size_t last) {
                 for (std::size_t row = first; row < last; ++row) f(row);
               });
}

struct Largest {
  float value = 0, log_sum = 0;  // of the logits, and of their exponentials after the shift
};

Largest largest_of(const float* x, std::size_t n) {
  const float top = *std::max_element(x, x + n);
  float total = 0;
  for (std::size_t k = 0; k < n; ++k) total += std::exp(x[k] - top);
  return {top, std::log(total)};
}

void expect_pair(std::string_view name, const Type& logits, const Type& targets) {
  if (logits.shape.rank() == 0 || logits.shape[-1] == 0) {
    fail<ShapeError>("{}: logits need at least one class along their last axis: {}", name, logits);
  }
  if (logits != targets) {
    fail<ShapeError>("{}: logits and targets differ: {} and {}; targets hold one number per class",
                     name, logits, targets);
  }
}

struct CrossEntropyGrad {  // (logits, targets, dloss) -> dlogits
  static std::string_view name() { return "softmax_cross_entropy_grad"; }
  friend bool operator==(const CrossEntropyGrad&, const CrossEntropyGrad&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 3);
    expect_f32(name(), in);
    expect_pair(name(), in[0], in[1]);
    return {in[0]};
  }
  // dlogits = (softmax(logits) * sum(targets) - targets) * dloss
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value weight = reshape(in[2], in[0].shape().with(-1, 1));
    return {(softmax(in[0], -1) * sum(in[1], {-1}, Keep::axes) - in[1]) * weight};
  }
  void lower(Lowering& l) const {
    const Type type = l.input(0);
    const Operand logits = l.read_row_major(0);
    l.step({logits, l.read_row_major(1), l.read_row_major(2)}, {l.write_over(0, logits)},
           [type, n = static_cast<std::size_t>(type.shape[-1])](auto in, auto out) {
             for_rows(type, [&](std::size_t row) {
               const float *x = as<float>(in[0]) + row * n, *t = as<float>(in[1]) + row * n;
               float* dx = as<float>(out[0]) + row * n;
               const float dy = as<float>(in[2])[row];
               const Largest top = largest_of(x, n);
               float weight = 0;
               for (std::size_t k = 0; k < n; ++k) weight += t[k];
               for (std::size_t k = 0; k < n; ++k) {
                 dx[k] = (std::exp(x[k] - top.value - top.log_sum) * weight - t[k]) * dy;
               }
             });
           });
  }
};

struct CrossEntropy {  // (logits, targets) -> loss
  static std::string_view name() { return "softmax_cross_entropy"; }
  friend bool operator==(const CrossEntropy&, const CrossEntropy&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_f32(name(), in);
    expect_pair(name(), in[0], in[1]);
    expect_elements(name(), in[0], -1);
    return {{DType::f32, Shape(std::span(in[0].shape.begin(), in[0].shape.rank() - 1))}};
  }
  // dtargets = -log_softmax(logits) * dloss
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value logits = args.inputs[0], targets = args.inputs[1], dloss = args.cotangents[0];
    std::vector<Value> result(2);
    if (args.wants(0)) result[0] = apply(CrossEntropyGrad{}, {logits, targets, dloss});
    if (args.wants(1)) {
      result[1] = -log_softmax(logits) * reshape(dloss, logits.shape().with(-1, 1));
    }
    return result;
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    return {-sum(in[1] * log_softmax(in[0]), {-1})};
  }
  void lower(Lowering& l) const {
    const Type type = l.input(0);
    l.step({l.read_row_major(0), l.read_row_major(1)}, {l.write_row_major(0)},
           [type, n = static_cast<std::size_t>(type.shape[-1])](auto in, auto out) {
             for_rows(type, [&](std::size_t row) {
               const float *x = as<float>(in[0]) + row * n, *t = as<float>(in[1]) + row * n;
               const Largest top = largest_of(x, n);
               float loss = 0;
               for (std::size_t k = 0; k < n; ++k) {
                 // A class without weight adds nothing, also where its logit is -infinity.
                 if (t[k] != 0) loss -= t[k] * (x[k] - top.value - top.log_sum);
               }
               const bool lost = top.log_sum != top.log_sum;  // also without any target
               as<float>(out[0])[row] = lost ? top.log_sum : loss;
             });
           });
  }
};

const Register registered{Softmax{}, LogSoftmax{}, Sparsemax{}, CrossEntropy{}, CrossEntropyGrad{}};

}  // namespace

Value softmax(Value x, int axis) {
  return apply(Softmax{axis_of(x.shape(), axis, "softmax")}, {x});
}
Value log_softmax(Value x, int axis) {
  return apply(LogSoftmax{axis_of(x.shape(), axis, "log_softmax")}, {x});
}
Value sparsemax(Value x, int axis) {
  return apply(Sparsemax{axis_of(x.shape(), axis, "sparsemax")}, {x});
}
Value softmax_cross_entropy(Value logits, Value targets) {
  return apply(CrossEntropy{}, {logits, targets});
}

}  // namespace weft
