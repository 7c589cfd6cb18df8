// One table row a function: its name, its value in double precision, its two derivatives as graph,
// and oneDNN's algorithm.
#include "ops/binary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/indexing.hpp"
#include "ops/reduce.hpp"
#include "ops/select.hpp"
#include "ops/unary.hpp"
#include "runtime/elementwise.hpp"
#include "runtime/onednn.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

using dnnl::algorithm;

// Gradients come in the output's shape; the walk in autodiff sums them over broadcast axes.
using Derivative = Value (*)(Value a, Value b, Value y, Value dy);

struct Row {
  std::string_view name;
  double (*value)(double a, double b);
  Derivative da, db;  // null: zero
  bool commutes;
  algorithm primitive;
};

// In the order of the rows.
enum Code {
  add_,
  sub_,
  mul_,
  div_,
  pow_,
  maximum_,
  minimum_,
  equal_,
  not_equal_,
  less_,
  less_equal_,
  greater_,
  greater_equal_,
};

// oneDNN's maximum and minimum drop a NaN, and its comparisons do not agree on one: those are loops
// of ours everywhere.
const Row rows[] = {
    {"add", [](double a, double b) { return a + b; },
     [](Value, Value, Value, Value dy) { return dy; },
     [](Value, Value, Value, Value dy) { return dy; }, true, algorithm::binary_add},
    {"sub", [](double a, double b) { return a - b; },
     [](Value, Value, Value, Value dy) { return dy; },
     [](Value, Value, Value, Value dy) { return -dy; }, false, algorithm::binary_sub},
    {"mul", [](double a, double b) { return a * b; },
     [](Value, Value b, Value, Value dy) { return dy * b; },
     [](Value a, Value, Value, Value dy) { return dy * a; }, true, algorithm::binary_mul},
    {"div", [](double a, double b) { return a / b; },
     [](Value, Value b, Value, Value dy) { return dy / b; },
     [](Value, Value b, Value y, Value dy) { return -(dy * y) / b; }, false, algorithm::binary_div},
    {"pow", [](double a, double b) { return std::pow(a, b); },
     // d a^b / da = b a^(b-1), which is 0 for b = 0 also where a^-1 is infinite
     [](Value a, Value b, Value, Value dy) {
       return dy * b * pow(a + equal(a, 0) * equal(b, 0), b - 1.0f);
     },
     // d a^b / db = a^b log a, where a > 0
     [](Value a, Value, Value y, Value dy) {
       const Value positive = greater(a, 0);
       return dy * y * log(positive * a + (1.0f - positive));
     },
     false, algorithm::undef},
    {"maximum", [](double a, double b) { return std::isnan(a) || a > b ? a : b; },
     [](Value a, Value b, Value, Value dy) { return dy * (greater(a, b) + 0.5f * equal(a, b)); },
     [](Value a, Value b, Value, Value dy) { return dy * (less(a, b) + 0.5f * equal(a, b)); }, true,
     algorithm::undef},
    {"minimum", [](double a, double b) { return std::isnan(a) || a < b ? a : b; },
     [](Value a, Value b, Value, Value dy) { return dy * (less(a, b) + 0.5f * equal(a, b)); },
     [](Value a, Value b, Value, Value dy) { return dy * (greater(a, b) + 0.5f * equal(a, b)); },
     true, algorithm::undef},
    {"equal", [](double a, double b) { return double(a == b); }, nullptr, nullptr, true,
     algorithm::undef},
    {"not_equal", [](double a, double b) { return double(a != b); }, nullptr, nullptr, true,
     algorithm::undef},
    {"less", [](double a, double b) { return double(a < b); }, nullptr, nullptr, false,
     algorithm::undef},
    {"less_equal", [](double a, double b) { return double(a <= b); }, nullptr, nullptr, false,
     algorithm::undef},
    {"greater", [](double a, double b) { return double(a > b); }, nullptr, nullptr, false,
     algorithm::undef},
    {"greater_equal", [](double a, double b) { return double(a >= b); }, nullptr, nullptr, false,
     algorithm::undef},
};

template <class F>
void map(const float* a, const float* b, float* out, std::size_t n, F f) {
  for (std::size_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void run_binary(
    const Elementwise& self, const float* const* in, float* out, std::size_t n) {
  const float *a = in[0], *b = in[1];
  switch (self.code) {
    case add_:
      return map(a, b, out, n, [](float x, float y) { return x + y; });
    case sub_:
      return map(a, b, out, n, [](float x, float y) { return x - y; });
    case mul_:
      return map(a, b, out, n, [](float x, float y) { return x * y; });
    case div_:
      return map(a, b, out, n, [](float x, float y) { return x / y; });
    case pow_:
      return map(a, b, out, n, [](float x, float y) { return std::pow(x, y); });
    case maximum_:
      return map(a, b, out, n, [](float x, float y) { return x != x || x > y ? x : y; });
    case minimum_:
      return map(a, b, out, n, [](float x, float y) { return x != x || x < y ? x : y; });
    case equal_:
      return map(a, b, out, n, [](float x, float y) { return x == y ? 1.0f : 0.0f; });
    case not_equal_:
      return map(a, b, out, n, [](float x, float y) { return x != y ? 1.0f : 0.0f; });
    case less_:
      return map(a, b, out, n, [](float x, float y) { return x < y ? 1.0f : 0.0f; });
    case less_equal_:
      return map(a, b, out, n, [](float x, float y) { return x <= y ? 1.0f : 0.0f; });
    case greater_:
      return map(a, b, out, n, [](float x, float y) { return x > y ? 1.0f : 0.0f; });
    case greater_equal_:
      return map(a, b, out, n, [](float x, float y) { return x >= y ? 1.0f : 0.0f; });
    default:
      return;
  }
}

/// The places of an operand's elements, as the result's row-major order reads them.
std::vector<std::int64_t> broadcast_strides(const Shape& operand, const Shape& result) {
  const auto own = strides_of(operand);
  std::vector<std::int64_t> strides(result.rank(), 0);
  for (std::size_t i = 0; i < operand.rank(); ++i) {
    if (operand.begin()[i] != 1) strides[result.rank() - operand.rank() + i] = own[i];
  }
  return strides;
}

/// Which element of a meets which of b.
Box operand_pairs(const Shape& a, const Shape& b, const Shape& result) {
  return {
      {result.begin(), result.end()}, broadcast_strides(a, result), broadcast_strides(b, result)};
}

template <class T>
double widen(T number) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return static_cast<double>(to_float(number));
  } else {
    return static_cast<double>(number);
  }
}

/// As to_tensor (graph/array.hpp) does it: integers truncate toward zero and saturate.
template <class T>
T narrow(double number) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return to_bf16(static_cast<float>(number));
  } else if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(number);
  } else {
    using Limits = std::numeric_limits<T>;
    if (std::isnan(number)) return 0;
    return static_cast<T>(std::clamp(number, static_cast<double>(Limits::lowest()),
                                     static_cast<double>(Limits::max())));
  }
}

constexpr std::size_t block = 256;  // floats

/// A run of n results; an operand with step 0 is one number, which is spread over a block first.
void run_row(const Elementwise& op, const float* a, std::int64_t step_a, const float* b,
             std::int64_t step_b, float* out, std::size_t n) {
  alignas(64) float spread_a[block], spread_b[block];
  const auto spread = [n](const float* x, std::int64_t step, float* to) {
    if (step == 0) std::fill_n(to, std::min(block, n), *x);
  };
  spread(a, step_a, spread_a);
  spread(b, step_b, spread_b);
  for (std::size_t i = 0; i < n; i += block) {
    const float* in[] = {step_a == 0 ? spread_a : a + i, step_b == 0 ? spread_b : b + i};
    op.run(op, in, out + i, std::min(block, n - i));
  }
}

/// Both operands row-major, read along the result's rows.
void lower_broadcast(Lowering& l, const Elementwise& op) {
  Box box = merged(operand_pairs(l.input(0).shape, l.input(1).shape, l.output(0).shape));
  l.step({l.read_row_major(0), l.read_row_major(1)}, {l.write_row_major(0)},
         [box = std::move(box), op](auto in, auto out) {
           const auto length = static_cast<std::size_t>(Rows::length(box));
           const std::int64_t step_a = box.sizes.empty() ? 0 : box.from.back();
           const std::int64_t step_b = box.sizes.empty() ? 0 : box.to.back();
           const std::size_t rows_a_thread = 1 + 32 * 1024 / std::max<std::size_t>(length, 1);
           parallel_for(static_cast<std::size_t>(Rows::count(box)), rows_a_thread,
                        [&](std::size_t first, std::size_t last) {
                          Rows row(box, static_cast<std::int64_t>(first));
                          for (std::size_t r = first; r < last; ++r, row.next()) {
                            run_row(op, as<float>(in[0]) + row.from(), step_a,
                                    as<float>(in[1]) + row.to(), step_b,
                                    as<float>(out[0]) + r * length, length);
                          }
                        });
         });
}

struct Binary {
  Code code = add_;

  const Row& row() const { return rows[code]; }
  std::string_view name() const { return row().name; }
  friend bool operator==(const Binary&, const Binary&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    if (in[0].dtype != in[1].dtype) {
      fail<TypeError>("{}: operands must be of one dtype, {} and {} were given; see cast", name(),
                      in[0], in[1]);
    }
    return {{in[0].dtype, broadcast(in[0].shape, in[1].shape, name())}};
  }

  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value a = args.inputs[0], b = args.inputs[1];
    const Value y = args.outputs[0], dy = args.cotangents[0];
    std::vector<Value> result(2);
    if (row().da != nullptr && args.wants(0)) result[0] = row().da(a, b, y, dy);
    if (row().db != nullptr && args.wants(1)) result[1] = row().db(a, b, y, dy);
    return result;
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(broadcast(in[0].shape, in[1].shape, name()));
    auto to = y.data.begin();
    for_each(operand_pairs(in[0].shape, in[1].shape, y.shape), [&](std::size_t a, std::size_t b) {
      *to++ = row().value(in[0].data[a], in[1].data[b]);
    });
    return {y};
  }

  std::optional<Value> simplify(std::span<const Value> in) const {
    const Type type = infer(std::vector<Type>{in[0].type(), in[1].type()})[0];
    const auto is = [&](std::size_t i, double number) {
      return constant_scalar(in[i]) == number && in[1 - i].type() == type;
    };
    if ((code == add_ || code == sub_) && is(1, 0)) return in[0];
    if ((code == mul_ || code == div_ || code == pow_) && is(1, 1)) return in[0];
    if (code == add_ && is(0, 0)) return in[1];
    if (code == mul_ && is(0, 1)) return in[1];
    if (code == pow_ && is(1, 2) && type.dtype == DType::f32) return square(in[0]);
    // The op broadcasts by itself.
    for (std::size_t i = 0; i < 2; ++i) {
      const bool widened = in[i].op().name() == "broadcast_to" && in[1 - i].type() == type;
      if (!widened) continue;
      std::vector<Value> operands(in.begin(), in.end());
      operands[i] = in[i].inputs()[0];
      return weft::apply(*this, operands);
    }
    return std::nullopt;
  }

  Elementwise elementwise() const { return {run_binary, code}; }
  bool adds() const { return code == add_; }
  bool multiplies() const { return code == mul_; }
  bool rides_on(std::size_t input) const {
    return row().primitive != algorithm::undef && (input == 0 || row().commutes);
  }
  void ride(Epilogue& epilogue, std::size_t) const { epilogue.binary(row().primitive); }

  void lower(Lowering& l) const {
    const Type& type = l.output(0);
    if (type.dtype != DType::f32) return lower_other(l);
    const auto whole = [&](std::size_t i) { return l.input(i).shape == type.shape; };
    const auto alike = [&](std::size_t i) { return whole(i) || l.input(i).shape.elements() == 1; };
    if (alike(0) && alike(1)) return lower_elementwise(l, *this);
    // One operand is broadcast over a tensor that lies in blocks: oneDNN knows how.
    const std::size_t full = whole(0) ? 0 : 1;
    if (whole(full) && (full == 0 || row().commutes) && row().primitive != algorithm::undef) {
      const Layout layout = l.layout(full);
      const auto other = broadcast_like(layout, type.shape, l.input(1 - full));
      if (!layout.is_plain() && other) {
        const auto pd = onednn::try_to(l.describe(), [&] {
          return onednn::forward<dnnl::binary>(l.attr(), row().primitive, layout.md, other->md,
                                               layout.md);
        });
        if (onednn::is_fast(pd)) {
          const Operand a = l.read(full, layout), b = l.read(1 - full, *other);
          l.step(pd, {{DNNL_ARG_SRC_0, a}, {DNNL_ARG_SRC_1, b}},
                 {{DNNL_ARG_DST, l.write_over(0, a)}});
          return;
        }
      }
    }
    lower_broadcast(l, elementwise());
  }

  /// Integers and bf16, rarely and few: as the definition says, and without allocating.
  void lower_other(Lowering& l) const {
    const Box box = operand_pairs(l.input(0).shape, l.input(1).shape, l.output(0).shape);
    const Operand a = l.read_row_major(0), b = l.read_row_major(1), y = l.write_row_major(0);
    if (l.input(0) == l.output(0)) l.allow_over(y, a);  // element by element, each read first
    const auto step = [&]<class T>(T) {
      l.step({a, b}, {y},
             [box, value = row().value](auto in, auto out) {
               T* to = as<T>(out[0]);
               for_each(box, [&](std::size_t a, std::size_t b) {
                 *to++ = narrow<T>(value(widen(as<T>(in[0])[a]), widen(as<T>(in[1])[b])));
               });
             });
    };
    switch (l.output(0).dtype) {
      case DType::f32:
        return step(float{});
      case DType::bf16:
        return step(Bf16{});
      case DType::s32:
        return step(std::int32_t{});
      case DType::s8:
        return step(std::int8_t{});
      case DType::u8:
        return step(std::uint8_t{});
    }
  }
};

const Register registered{
    Binary{add_},        Binary{sub_},     Binary{mul_},          Binary{div_},       Binary{pow_},
    Binary{maximum_},    Binary{minimum_}, Binary{equal_},        Binary{not_equal_}, Binary{less_},
    Binary{less_equal_}, Binary{greater_}, Binary{greater_equal_}};

Value binary(Code code, Value a, Value b) { return apply(Binary{code}, {a, b}); }

}  // namespace

Value add(Value a, Value b) { return binary(add_, a, b); }
Value sub(Value a, Value b) { return binary(sub_, a, b); }
Value mul(Value a, Value b) { return binary(mul_, a, b); }
Value div(Value a, Value b) { return binary(div_, a, b); }
Value pow(Value a, Value b) { return binary(pow_, a, b); }
Value maximum(Value a, Value b) { return binary(maximum_, a, b); }
Value minimum(Value a, Value b) { return binary(minimum_, a, b); }
Value equal(Value a, Value b) { return binary(equal_, a, b); }
Value not_equal(Value a, Value b) { return binary(not_equal_, a, b); }
Value less(Value a, Value b) { return binary(less_, a, b); }
Value less_equal(Value a, Value b) { return binary(less_equal_, a, b); }
Value greater(Value a, Value b) { return binary(greater_, a, b); }
Value greater_equal(Value a, Value b) { return binary(greater_equal_, a, b); }

Value operator-(Value a) { return neg(a); }

Value operator+(Value a, float b) { return a + scalar_like(a, b); }
Value operator-(Value a, float b) { return a - scalar_like(a, b); }
Value operator*(Value a, float b) { return a * scalar_like(a, b); }
Value operator/(Value a, float b) { return a / scalar_like(a, b); }
Value operator+(float a, Value b) { return scalar_like(b, a) + b; }
Value operator-(float a, Value b) { return scalar_like(b, a) - b; }
Value operator*(float a, Value b) { return scalar_like(b, a) * b; }
Value operator/(float a, Value b) { return scalar_like(b, a) / b; }
Value pow(Value a, float b) { return pow(a, scalar_like(a, b)); }
Value maximum(Value a, float b) { return maximum(a, scalar_like(a, b)); }
Value minimum(Value a, float b) { return minimum(a, scalar_like(a, b)); }
Value greater(Value a, float b) { return greater(a, scalar_like(a, b)); }
Value less(Value a, float b) { return less(a, scalar_like(a, b)); }
Value equal(Value a, float b) { return equal(a, scalar_like(a, b)); }

Value scalar_like(Value like, float number) {
  return Graph::of(like).constant(to_tensor(Array({}, {number}), like.dtype()));
}

Value zeros_like(Value like) { return broadcast_to(scalar_like(like, 0), like.shape()); }

}  // namespace weft
