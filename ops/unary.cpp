// One table row a function: its name, its value and derivative in double precision, its derivative
// as graph, and what runs it. `unary_grad` is the adjoint of all of them.
#include "ops/unary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/exponential.hpp"
#include "ops/reduce.hpp"
#include "ops/select.hpp"
#include "runtime/elementwise.hpp"
#include "runtime/onednn.hpp"

namespace weft {
namespace {

using dnnl::algorithm;

/// What a derivative is written in. In the output where that is as cheap: then the input can go,
/// and a function fused into a convolution can still be differentiated.
enum class Reads { x, y };

struct Row {
  std::string name;
  double (*value)(double x, double a, double b);
  Reads reads;
  Value (*derivative)(Value v, float a, float b);  // of x or y, as `reads` says; empty: zero
  algorithm forward = algorithm::undef;            // oneDNN's, with a and b below
  algorithm backward = algorithm::undef;
  float a = 0, b = 0;  // oneDNN's parameters where the op has none
  bool loop = false;   // has a loop of ours, below
  std::string grad_name = name + "_grad";
};

double sigmoid_of(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
constexpr double sqrt_2_over_pi = 0.79788456080286535588;
constexpr double gelu_cubic =
    0.044715;  // of Hendrycks and Gimpel, "Gaussian error linear units", 2016

// In the order of the rows.
enum Code {
  neg_,
  abs_,
  square_,
  sqrt_,
  exp_,
  log_,
  relu_,
  leaky_relu_,
  elu_,
  sigmoid_,
  tanh_,
  softplus_,
  swish_,
  gelu_,
  gelu_tanh_,
  clip_,
  reciprocal_,
  erf_,
  sin_,
  cos_,
  sign_,
  floor_,
  round_,
};

const Row rows[] = {
    {"neg", [](double x, double, double) { return -x; }, Reads::y,
     [](Value y, float, float) { return scalar_like(y, -1); }, algorithm::undef, algorithm::undef,
     0, 0, true},
    {"abs", [](double x, double, double) { return std::abs(x); }, Reads::x,
     [](Value x, float, float) { return sign(x); }, algorithm::undef, algorithm::undef, 0, 0, true},
    {"square", [](double x, double, double) { return x * x; }, Reads::x,
     [](Value x, float, float) { return 2.0f * x; }, algorithm::undef, algorithm::undef, 0, 0,
     true},
    {"sqrt", [](double x, double, double) { return std::sqrt(x); }, Reads::y,
     [](Value y, float, float) { return 0.5f / y; }, algorithm::undef, algorithm::undef, 0, 0,
     true},
    // oneDNN's exponential makes infinity of a NaN.
    {"exp", [](double x, double, double) { return std::exp(x); }, Reads::y,
     [](Value y, float, float) { return y; }, algorithm::undef, algorithm::undef, 0, 0, true},
    // oneDNN 2.6's own logarithm is off by 4e-6, and near 1 by several times its value.
    {"log", [](double x, double, double) { return std::log(x); }, Reads::x,
     [](Value x, float, float) { return reciprocal(x); }, algorithm::undef, algorithm::eltwise_log,
     0, 0, true},
    {"relu", [](double x, double, double) { return x <= 0 ? 0.0 : x; }, Reads::y,
     [](Value y, float, float) { return greater(y, 0); }, algorithm::eltwise_relu, algorithm::undef,
     0, 0, true},
    {"leaky_relu", [](double x, double a, double) { return x > 0 ? x : a * x; }, Reads::x,
     [](Value x, float a, float) {
       const Value positive = greater(x, 0);
       return positive + a * (1.0f - positive);
     },
     algorithm::eltwise_relu, algorithm::eltwise_relu, 0, 0, true},
    {"elu", [](double x, double a, double) { return x > 0 ? x : a * std::expm1(x); }, Reads::x,
     [](Value x, float a, float) {
       return select(greater(x, 0), scalar_like(x, 1), a * exp(minimum(x, 0)));
     },
     algorithm::eltwise_elu, algorithm::undef},
    {"sigmoid", [](double x, double, double) { return sigmoid_of(x); }, Reads::y,
     [](Value y, float, float) { return y * (1.0f - y); }, algorithm::eltwise_logistic,
     algorithm::eltwise_logistic_use_dst_for_bwd},
    {"tanh", [](double x, double, double) { return std::tanh(x); }, Reads::y,
     [](Value y, float, float) { return 1.0f - square(y); }, algorithm::eltwise_tanh,
     algorithm::eltwise_tanh_use_dst_for_bwd},
    // Likewise: oneDNN's softplus(-20) is a thousand times too large.
    {"softplus",
     [](double x, double, double) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); },
     Reads::x, [](Value x, float, float) { return sigmoid(x); }, algorithm::undef,
     algorithm::eltwise_soft_relu, 1, 0, true},
    {"swish", [](double x, double, double) { return x * sigmoid_of(x); }, Reads::x,
     [](Value x, float, float) {
       const Value s = sigmoid(x);
       return s * (1.0f + x * (1.0f - s));
     },
     algorithm::eltwise_swish, algorithm::eltwise_swish, 1},
    {"gelu",
     [](double x, double, double) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); },
     Reads::x,
     [](Value x, float, float) {
       const Value distribution =
           0.5f * (1.0f + erf(x * static_cast<float>(std::numbers::sqrt2 / 2)));
       const Value density = exp(-0.5f * square(x)) * static_cast<float>(sqrt_2_over_pi / 2);
       return distribution + x * density;
     },
     algorithm::eltwise_gelu_erf, algorithm::eltwise_gelu_erf},
    {"gelu_tanh",
     [](double x, double, double) {
       return 0.5 * x * (1 + std::tanh(sqrt_2_over_pi * (x + gelu_cubic * x * x * x)));
     },
     Reads::x,
     [](Value x, float, float) {
       const auto scale = static_cast<float>(sqrt_2_over_pi),
                  cubic = static_cast<float>(gelu_cubic);
       const Value t = tanh(scale * (x + cubic * x * square(x)));
       const Value inner = scale * (1.0f + 3 * cubic * square(x));
       return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - square(t)) * inner;
     },
     algorithm::eltwise_gelu_tanh, algorithm::eltwise_gelu_tanh},
    // oneDNN's makes its upper end of a NaN.
    {"clip", [](double x, double a, double b) { return std::min(std::max(x, a), b); }, Reads::x,
     [](Value x, float a, float b) { return greater(x, a) * less(x, b); }, algorithm::undef,
     algorithm::undef, 0, 0, true},
    {"reciprocal", [](double x, double, double) { return 1 / x; }, Reads::y,
     [](Value y, float, float) { return -square(y); }, algorithm::undef, algorithm::undef, 0, 0,
     true},
    {"erf", [](double x, double, double) { return std::erf(x); }, Reads::x,
     [](Value x, float, float) {
       return exp(-square(x)) * static_cast<float>(2 * std::numbers::inv_sqrtpi);
     },
     algorithm::undef, algorithm::undef, 0, 0, true},
    {"sin", [](double x, double, double) { return std::sin(x); }, Reads::x,
     [](Value x, float, float) { return cos(x); }, algorithm::undef, algorithm::undef, 0, 0, true},
    {"cos", [](double x, double, double) { return std::cos(x); }, Reads::x,
     [](Value x, float, float) { return -sin(x); }, algorithm::undef, algorithm::undef, 0, 0, true},
    {"sign", [](double x, double, double) { return std::isnan(x) ? x : (x > 0) - (x < 0) + 0.0; },
     Reads::x, [](Value, float, float) { return Value{}; }, algorithm::undef, algorithm::undef, 0,
     0, true},
    {"floor", [](double x, double, double) { return std::floor(x); }, Reads::x,
     [](Value, float, float) { return Value{}; }, algorithm::undef, algorithm::undef, 0, 0, true},
    {"round", [](double x, double, double) { return std::nearbyint(x); }, Reads::x,
     [](Value, float, float) { return Value{}; }, algorithm::undef, algorithm::undef, 0, 0, true},
};

// The loops. Built for three instruction sets; the loader takes the best that the machine has.
template <class F>
void map(const float* x, float* out, std::size_t n, F f) {
  for (std::size_t i = 0; i < n; ++i) out[i] = f(x[i]);
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void run_unary(
    const Elementwise& self, const float* const* in, float* out, std::size_t n) {
  const float* x = in[0];
  const float a = self.a, b = self.b;
  switch (self.code) {
    case neg_:
      return map(x, out, n, [](float v) { return -v; });
    case abs_:
      return map(x, out, n, [](float v) { return std::abs(v); });
    case square_:
      return map(x, out, n, [](float v) { return v * v; });
    case sqrt_:
      return map(x, out, n, [](float v) { return std::sqrt(v); });
    case exp_:
      return map(x, out, n, [](float v) { return exponential(v); });
    case log_:
      return map(x, out, n, [](float v) { return std::log(v); });
    case softplus_:
      return map(x, out, n,
                 [](float v) { return (v > 0 ? v : 0.0f) + std::log1p(std::exp(-std::abs(v))); });
    // Written so that a NaN stays one.
    case relu_:
      return map(x, out, n, [](float v) { return v <= 0 ? 0.0f : v; });
    case leaky_relu_:
      return map(x, out, n, [a](float v) { return v > 0 ? v : a * v; });
    case clip_:
      return map(x, out, n, [a, b](float v) {
        const float low = v < a ? a : v;
        return low > b ? b : low;
      });
    case reciprocal_:
      return map(x, out, n, [](float v) { return 1.0f / v; });
    case erf_:
      return map(x, out, n, [](float v) { return std::erf(v); });
    case sin_:
      return map(x, out, n, [](float v) { return std::sin(v); });
    case cos_:
      return map(x, out, n, [](float v) { return std::cos(v); });
    case sign_:
      return map(x, out, n, [](float v) { return v > 0 ? 1.0f : v < 0 ? -1.0f : v; });
    case floor_:
      return map(x, out, n, [](float v) { return std::floor(v); });
    case round_:
      return map(x, out, n, [](float v) { return std::nearbyint(v); });
    default:
      return;
  }
}

template <class F>
void map_grad(const float* v, const float* dy, float* out, std::size_t n, F f) {
  for (std::size_t i = 0; i < n; ++i) out[i] = f(v[i], dy[i]);
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void run_unary_grad(
    const Elementwise& self, const float* const* in, float* out, std::size_t n) {
  const float *v = in[0], *dy = in[1];
  const float a = self.a, b = self.b;
  switch (self.code) {
    case neg_:
      return map_grad(v, dy, out, n, [](float, float d) { return -d; });
    case abs_:
      return map_grad(v, dy, out, n, [](float x, float d) {
        return x > 0 ? d : x < 0 ? -d : x * d;
      });
    case square_:
      return map_grad(v, dy, out, n, [](float x, float d) { return 2 * x * d; });
    case sqrt_:
      return map_grad(v, dy, out, n, [](float y, float d) { return 0.5f / y * d; });
    case exp_:
      return map_grad(v, dy, out, n, [](float y, float d) { return y * d; });
    case relu_:
      return map_grad(v, dy, out, n, [](float y, float d) { return y > 0 ? d : 0; });
    case leaky_relu_:
      return map_grad(v, dy, out, n, [a](float x, float d) { return x > 0 ? d : a * d; });
    case elu_:
      return map_grad(v, dy, out, n, [a](float x, float d) {
        return d * (x > 0 ? 1.0f : a * exponential(x > 0 ? 0.0f : x));
      });
    case clip_:
      return map_grad(v, dy, out, n, [a, b](float x, float d) { return x > a && x < b ? d : 0; });
    case reciprocal_:
      return map_grad(v, dy, out, n, [](float y, float d) { return -y * y * d; });
    default:
      return;
  }
}

Array evaluate_map(const Array& x, auto f) {
  Array y(x.shape);
  std::ranges::transform(x.data, y.data.begin(), f);
  return y;
}

/// Which of a family, with its parameters.
struct Member {
  Code code = neg_;
  std::vector<float> parameters;

  const Row& row() const { return rows[code]; }
  float a() const { return parameters.empty() ? row().a : parameters[0]; }
  float b() const { return parameters.size() < 2 ? row().b : parameters[1]; }
  friend bool operator==(const Member&, const Member&) = default;
};

std::optional<Value> relu_grad_before_pool(Value y, Value dy);

struct UnaryGrad : Member {  // (x or y, dy) -> dx
  static constexpr auto fields = std::tuple{field("with", &UnaryGrad::parameters)};
  std::string_view name() const { return row().grad_name; }
  friend bool operator==(const UnaryGrad&, const UnaryGrad&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_f32(name(), in);
    if (in[0] != in[1]) fail<ShapeError>("{}: types differ: {} and {}", name(), in[0], in[1]);
    return {in[1]};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value slope = row().derivative(in[0], a(), b());
    // Where the slope is 0 or 1 it says where the gradient passes, also one that is not finite.
    if (code == relu_ || code == clip_) return {select(slope, in[1], zeros_like(in[1]))};
    return {in[1] * slope};
  }
  std::optional<Value> simplify(std::span<const Value> in) const {
    if (code == relu_) return relu_grad_before_pool(in[0], in[1]);
    return std::nullopt;
  }
  Elementwise elementwise() const {
    static constexpr Code loops[] = {neg_,  abs_,        square_, sqrt_, exp_,
                                     relu_, leaky_relu_, elu_,    clip_, reciprocal_};
    if (std::ranges::count(loops, code) == 0) return {};
    return {run_unary_grad, code, a(), b()};
  }
  void lower(Lowering& l) const {
    if (elementwise()) return lower_elementwise(l, *this);
    const Layout layout = l.layout(0);
    const auto pd = onednn::try_to(l.describe(), [&] {
      return onednn::eltwise_grad(l.attr(), row().backward, layout.md, a(), b());
    });
    const Operand v = l.read(0, layout), dy = l.read(1, layout);
    const int data = row().reads == Reads::y ? DNNL_ARG_DST : DNNL_ARG_SRC;
    l.step(pd, {{data, v}, {DNNL_ARG_DIFF_DST, dy}}, {{DNNL_ARG_DIFF_SRC, l.write_over(0, dy)}});
  }
};

/// relu_grad(relu(x), max_pool2d_grad(index of max_pool2d(x), dp)) is
/// max_pool2d_grad(index, relu_grad(relu(pooled x), dp)), exactly: where a gradient arrives, the
/// pooled element is the element. The other half of this rule is in pool2d.cpp.
std::optional<Value> relu_grad_before_pool(Value y, Value dy) {
  if (dy.op().name() != "max_pool2d_grad" || y.op().name() != "relu") return std::nullopt;
  const Value index = dy.inputs()[0], dp = dy.inputs()[1];
  if (index.op().name() != "max_pool2d" || index.inputs()[0] != y.inputs()[0]) return std::nullopt;
  const Value pooled = Graph::of(index).value(index.node(), 0);
  return apply(dy.op(), {index, apply(UnaryGrad{{relu_, {}}}, {relu(pooled), dp})});
}

struct Unary : Member {
  static constexpr auto fields = std::tuple{field("with", &Unary::parameters)};
  std::string_view name() const { return row().name; }
  friend bool operator==(const Unary&, const Unary&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    return {in[0]};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value v = row().reads == Reads::y ? args.outputs[0] : args.inputs[0];
    if (code == sign_ || code == floor_ || code == round_) return {Value{}};
    // Functions that have neither a loop nor a primitive of their own for it.
    if (code == erf_ || code == sin_ || code == cos_) {
      return {args.cotangents[0] * row().derivative(v, a(), b())};
    }
    return {apply(UnaryGrad{*this}, {v, args.cotangents[0]})};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    return {evaluate_map(in[0], [this](double x) { return row().value(x, a(), b()); })};
  }
  Elementwise elementwise() const {
    if (!row().loop) return {};
    return {run_unary, code, a(), b()};
  }
  bool rides_on(std::size_t) const { return row().forward != algorithm::undef; }
  void ride(Epilogue& epilogue, std::size_t) const {
    const bool is_relu = code == relu_ || (code == leaky_relu_ && a() == 0);
    if (!is_relu || epilogue.is_limited()) return epilogue.eltwise(row().forward, a(), b());
    // oneDNN's relu makes 0 of a NaN, but not if it has a slope. With the least slope, twice, what
    // is below 0 becomes -0: two products with 2^-126 leave nothing of it, unless it is below -2^102;
    // then less than 2^-123 is left, and -infinity stays.
    for (int i = 0; i < 2; ++i) {
      epilogue.eltwise(algorithm::eltwise_relu, std::numeric_limits<float>::min(), 0);
    }
  }
  void lower(Lowering& l) const {
    if (elementwise()) return lower_elementwise(l, *this);
    const Layout layout = l.layout(0);
    const auto pd = onednn::try_to(l.describe(), [&] {
      return onednn::eltwise(l.attr(), row().forward, layout.md, a(), b());
    });
    const Operand x = l.read(0, layout);
    l.step(pd, {{DNNL_ARG_SRC, x}}, {{DNNL_ARG_DST, l.write_over(0, x)}});
  }
};

Value unary(Code code, Value x, std::vector<float> parameters = {}) {
  return apply(Unary{{code, std::move(parameters)}}, {x});
}

const Register registered{
    Unary{{neg_, {}}},
    Unary{{abs_, {}}},
    Unary{{square_, {}}},
    Unary{{sqrt_, {}}},
    Unary{{exp_, {}}},
    Unary{{log_, {}}},
    Unary{{relu_, {}}},
    Unary{{leaky_relu_, {0.2f}}},
    Unary{{elu_, {1}}},
    Unary{{sigmoid_, {}}},
    Unary{{tanh_, {}}},
    Unary{{softplus_, {}}},
    Unary{{swish_, {}}},
    Unary{{gelu_, {}}},
    Unary{{gelu_tanh_, {}}},
    Unary{{clip_, {0, 6}}},
    Unary{{reciprocal_, {}}},
    Unary{{erf_, {}}},
    Unary{{sin_, {}}},
    Unary{{cos_, {}}},
    Unary{{sign_, {}}},
    Unary{{floor_, {}}},
    Unary{{round_, {}}},

    UnaryGrad{{neg_, {}}},
    UnaryGrad{{abs_, {}}},
    UnaryGrad{{square_, {}}},
    UnaryGrad{{sqrt_, {}}},
    UnaryGrad{{exp_, {}}},
    UnaryGrad{{log_, {}}},
    UnaryGrad{{relu_, {}}},
    UnaryGrad{{leaky_relu_, {0.2f}}},
    UnaryGrad{{elu_, {1}}},
    UnaryGrad{{sigmoid_, {}}},
    UnaryGrad{{tanh_, {}}},
    UnaryGrad{{softplus_, {}}},
    UnaryGrad{{swish_, {}}},
    UnaryGrad{{gelu_, {}}},
    UnaryGrad{{gelu_tanh_, {}}},
    UnaryGrad{{clip_, {0, 6}}},
    UnaryGrad{{reciprocal_, {}}},
};

}  // namespace

Value neg(Value x) { return unary(neg_, x); }
Value abs(Value x) { return unary(abs_, x); }
Value square(Value x) { return unary(square_, x); }
Value sqrt(Value x) { return unary(sqrt_, x); }
Value exp(Value x) { return unary(exp_, x); }
Value log(Value x) { return unary(log_, x); }
Value relu(Value x) { return unary(relu_, x); }
Value leaky_relu(Value x, float slope) { return unary(leaky_relu_, x, {slope}); }
Value elu(Value x, float alpha) { return unary(elu_, x, {alpha}); }
Value sigmoid(Value x) { return unary(sigmoid_, x); }
Value tanh(Value x) { return unary(tanh_, x); }
Value softplus(Value x) { return unary(softplus_, x); }
Value swish(Value x) { return unary(swish_, x); }
Value gelu(Value x) { return unary(gelu_, x); }
Value gelu_tanh(Value x) { return unary(gelu_tanh_, x); }
Value clip(Value x, float low, float high) {
  if (!(low <= high)) fail<ArgumentError>("clip: low {} is above high {}", low, high);
  return unary(clip_, x, {low, high});
}
Value reciprocal(Value x) { return unary(reciprocal_, x); }
Value erf(Value x) { return unary(erf_, x); }
Value sin(Value x) { return unary(sin_, x); }
Value cos(Value x) { return unary(cos_, x); }
Value sign(Value x) { return unary(sign_, x); }
Value floor(Value x) { return unary(floor_, x); }
Value round(Value x) { return unary(round_, x); }

}  // namespace weft
