// The table of what a program can go on with. Every builder in ops/ is here; numbers are drawn so
// that kernels meet their edges: channels that do not fill a block, padding as wide as the kernel
// and wider, strides above the kernel, groups, axes of size 1, empty batches.
#include <algorithm>

#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

using Values = std::vector<Value>;
using Numbers = std::vector<std::int64_t>;
using Texts = std::vector<std::string>;

bool is_f32(const Known& k) { return k.type.dtype == DType::f32; }
bool is_image(const Known& k) { return is_f32(k) && k.type.shape.rank() == 4; }
auto of_rank(std::size_t least, std::size_t most = Shape::max_rank) {
  return [=](const Known& k) {
    return is_f32(k) && k.type.shape.rank() >= least && k.type.shape.rank() <= most;
  };
}

std::string list(const Numbers& numbers) { return fmt::format("{{{}}}", fmt::join(numbers, ", ")); }
Numbers part(const Numbers& numbers, std::size_t first, std::size_t count) {
  const auto from = numbers.begin() + static_cast<std::ptrdiff_t>(first);
  return Numbers(from, from + static_cast<std::ptrdiff_t>(count));
}
std::vector<int> ints(const Numbers& numbers) { return {numbers.begin(), numbers.end()}; }

/// An axis of a value that a batch leaves whole.
int free_axis(Generator& g, const Known& k) {
  const auto rank = static_cast<std::int64_t>(k.type.shape.rank());
  return static_cast<int>(g.random.between(k.has_rows ? 1 : 0, rank - 1));
}

// ---- functions of one value

Kind unary(std::string name, Value (*f)(Value), double weight = 0.3) {
  return {
      name,
      [](Generator& g, Call& call) {
        const auto x = g.pick(is_f32);
        if (x) call.inputs = {*x};
        return x.has_value();
      },
      [f](const Values& in, const Numbers&, const Slice&) { return Values{f(in[0])}; },
      [name](const Texts& in, const Numbers&) { return Texts{fmt::format("{}({})", name, in[0])}; },
      Kind::Rows::keep,
      weight};
}

void add_unary(std::vector<Kind>& kinds) {
  kinds.push_back(unary("relu", relu, 2));
  kinds.push_back(unary("tanh", tanh, 1));
  kinds.push_back(unary("sigmoid", sigmoid, 1));
  for (const auto& [name, f] :
       std::vector<std::pair<std::string, Value (*)(Value)>>{{"neg", neg},
                                                             {"abs", abs},
                                                             {"square", square},
                                                             {"sqrt", sqrt},
                                                             {"exp", exp},
                                                             {"log", log},
                                                             {"softplus", softplus},
                                                             {"swish", swish},
                                                             {"gelu", gelu},
                                                             {"gelu_tanh", gelu_tanh},
                                                             {"reciprocal", reciprocal},
                                                             {"erf", erf},
                                                             {"sin", sin},
                                                             {"cos", cos},
                                                             {"sign", sign},
                                                             {"floor", floor},
                                                             {"round", round},
                                                             {"stop_gradient", stop_gradient}}) {
    kinds.push_back(unary(name, f));
  }
  kinds.push_back(unary("leaky_relu", [](Value x) { return leaky_relu(x); }));
  kinds.push_back(unary("elu", [](Value x) { return elu(x); }));
  Kind clipped = unary("clip", [](Value x) { return clip(x, -0.75f, 6); });
  clipped.text = [](const Texts& in, const Numbers&) {
    return Texts{fmt::format("clip({}, -0.75f, 6)", in[0])};
  };
  kinds.push_back(clipped);
}

// ---- functions of two

/// x with another value that broadcasts against it: one at hand, or a new source.
bool propose_pair(Generator& g, Call& call, bool positive) {
  const auto x = g.pick(is_f32);
  if (!x) return false;
  const Known full = g[*x];
  const Shape& shape = full.type.shape;
  std::optional<ValueId> other;
  if (g.random.chance(0.5)) {
    other = g.pick([&](const Known& k) {
      if (!is_f32(k)) return false;
      // Rows meet rows, or a value that is the same for all of them.
      if (full.has_rows && k.has_rows) return k.type == full.type;
      if (k.has_rows) return false;
      return k.type == full.type && !full.has_rows;
    });
  }
  if (!other) {
    std::vector<std::int64_t> sizes(shape.begin(), shape.end());
    const std::int64_t how = g.random.between(0, 4);
    if (how == 0) sizes.clear();                             // a scalar
    if (how == 1 && !sizes.empty()) sizes = {sizes.back()};  // one per channel
    if (how == 2)
      for (auto& size : sizes) size = g.random.chance(0.5) ? 1 : size;
    const bool full_rows = full.has_rows && how >= 3;  // of the same shape
    if (full.has_rows && !full_rows && sizes.size() == shape.rank() && !sizes.empty()) sizes[0] = 1;
    other = g.source({DType::f32, Shape(std::span<const std::int64_t>(sizes))}, full_rows,
                     positive ? Range::positive : Range::any);
  }
  call.inputs = {*x, *other};
  if (!positive && g.random.chance(0.3)) std::swap(call.inputs[0], call.inputs[1]);
  return true;
}

Kind binary(std::string name, Value (*f)(Value, Value), double weight, bool positive = false) {
  return {name,
          [positive](Generator& g, Call& call) { return propose_pair(g, call, positive); },
          [f](const Values& in, const Numbers&, const Slice&) { return Values{f(in[0], in[1])}; },
          [name](const Texts& in, const Numbers&) {
            return Texts{fmt::format("{}({}, {})", name, in[0], in[1])};
          },
          Kind::Rows::keep,
          weight};
}

void add_binary(std::vector<Kind>& kinds) {
  using F = Value (*)(Value, Value);
  kinds.push_back(binary("add", add, 2.5));
  kinds.push_back(binary("mul", mul, 1.5));
  kinds.push_back(binary("sub", sub, 0.8));
  kinds.push_back(binary("div", weft::div, 0.8, true));
  kinds.push_back(binary("pow", static_cast<F>(pow), 0.2));
  kinds.push_back(binary("maximum", static_cast<F>(maximum), 0.4));
  kinds.push_back(binary("minimum", static_cast<F>(minimum), 0.4));
  for (const auto& [name, f] :
       std::vector<std::pair<std::string, F>>{{"equal", static_cast<F>(equal)},
                                              {"not_equal", not_equal},
                                              {"less", static_cast<F>(less)},
                                              {"less_equal", less_equal},
                                              {"greater", static_cast<F>(greater)},
                                              {"greater_equal", greater_equal}}) {
    kinds.push_back(binary(name, f, 0.1));
  }
  kinds.push_back({"scale and shift",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(is_f32);
                     if (!x) return false;
                     call.inputs = {*x};
                     call.numbers = {g.random.between(-3, 3), g.random.between(-3, 3)};
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     return Values{in[0] * (0.5f * static_cast<float>(n.at(0))) +
                                   0.25f * static_cast<float>(n.at(1))};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{
                         fmt::format("{} * (0.5f * {}) + 0.25f * {}", in[0], n.at(0), n.at(1))};
                   },
                   Kind::Rows::keep, 0.6});
  // As a recurrent net or a sum of many branches makes it.
  kinds.push_back({"many additions",
                   [](Generator& g, Call& call) {
                     if (!propose_pair(g, call, false)) return false;
                     call.numbers = {g.random.between(2, 40)};
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     Value y = in[0];
                     for (std::int64_t i = 0; i < n.at(0); ++i) {
                       y = y + in[1] * (1.0f / static_cast<float>(i + 2));
                     }
                     return Values{y};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{
                         fmt::format("[&] {{ Value y = {}; for (int i = 0; i < {}; ++i) y = "
                                     "y + {} * (1.0f / static_cast<float>(i + 2)); return y; }}()",
                                     in[0], n.at(0), in[1])};
                   },
                   Kind::Rows::keep, 0.15});
  kinds.push_back({"select",
                   [](Generator& g, Call& call) {
                     if (!propose_pair(g, call, false)) return false;
                     call.inputs.push_back(call.inputs[0]);
                     return true;
                   },
                   [](const Values& in, const Numbers&, const Slice&) {
                     return Values{select(greater(in[2], 0), in[0], in[1])};
                   },
                   [](const Texts& in, const Numbers&) {
                     return Texts{
                         fmt::format("select(greater({}, 0), {}, {})", in[2], in[0], in[1])};
                   },
                   Kind::Rows::keep, 0.3});
}

// ---- products

void add_matmul(std::vector<Kind>& kinds) {
  kinds.push_back(
      {"dense",
       [](Generator& g, Call& call) {
         const auto x = g.pick(of_rank(2, 2));
         if (!x) return false;
         const std::int64_t in = g[*x].type.shape[1];
         const auto kernel = g.source({DType::f32, {in, g.channels()}}, false);
         call.inputs = {*x, kernel};
         return true;
       },
       [](const Values& in, const Numbers&, const Slice&) { return Values{matmul(in[0], in[1])}; },
       [](const Texts& in, const Numbers&) {
         return Texts{fmt::format("matmul({}, {})", in[0], in[1])};
       },
       Kind::Rows::keep, 2});
  kinds.push_back(
      {"matmul",
       [](Generator& g, Call& call) {
         const auto a = g.pick(of_rank(2, 4));
         if (!a) return false;
         const Known k = g[*a];
         const std::size_t rank = k.type.shape.rank();
         const bool ta = g.random.chance(0.4) && !(k.has_rows && rank == 2);
         const bool tb = g.random.chance(0.4);
         const std::int64_t inner = k.type.shape[ta ? -2 : -1], out = g.channels();
         std::vector<std::int64_t> sizes{tb ? out : inner, tb ? inner : out};
         if (rank == 4 && g.random.chance(0.5)) sizes.insert(sizes.begin(), k.type.shape[1]);
         if (rank > 2 && k.has_rows && ta && rank == 2) return false;
         const auto b = g.source({DType::f32, Shape(std::span<const std::int64_t>(sizes))}, false);
         call.inputs = {*a, b};
         call.numbers = {ta, tb};
         return true;
       },
       [](const Values& in, const Numbers& n, const Slice&) {
         return Values{matmul(in[0], in[1], {n.at(0) != 0, n.at(1) != 0})};
       },
       [](const Texts& in, const Numbers& n) {
         return Texts{
             fmt::format("matmul({}, {}, {{{}, {}}})", in[0], in[1], n.at(0) != 0, n.at(1) != 0)};
       },
       Kind::Rows::keep, 0.8});
}

Conv2dOptions conv_options(const Numbers& n) {
  return {{n.at(0), n.at(1)}, {n.at(2), n.at(3), n.at(4), n.at(5)}, {n.at(6), n.at(7)}, n.at(8)};
}
std::string conv_text(const Numbers& n) {
  return fmt::format("{{{{{}, {}}}, {{{}, {}, {}, {}}}, {{{}, {}}}, {}}}", n.at(0), n.at(1),
                     n.at(2), n.at(3), n.at(4), n.at(5), n.at(6), n.at(7), n.at(8));
}

/// stride, padding, dilation, groups; then height, width of the kernel, outputs.
Numbers conv_numbers(Generator& g, std::int64_t inputs) {
  Random& r = g.random;
  const auto kernel = [&] { return r.of(std::vector<std::int64_t>{1, 1, 2, 3, 3, 3, 5}); };
  const std::int64_t kh = kernel(), kw = r.chance(0.7) ? kh : kernel();
  std::int64_t groups = 1, outputs = g.channels();
  if (inputs > 0 && r.chance(0.4)) {  // every channel by itself, or some together
    std::vector<std::int64_t> divisors;
    for (std::int64_t d = 1; d <= inputs; ++d) {
      if (inputs % d == 0) divisors.push_back(d);
    }
    groups = r.chance(0.5) ? inputs : r.of(divisors);
    outputs = groups * r.between(1, 3);
  }
  const auto stride = [&] { return r.chance(0.7) ? 1 : r.between(2, 4); };
  const auto dilation = [&] { return r.chance(0.85) ? 1 : r.between(2, 3); };
  const auto pad = [&](std::int64_t size) {
    return r.chance(0.5) ? 0 : r.chance(0.8) ? (size - 1) / 2 : r.between(0, size + 1);
  };
  Numbers n{stride(),   1, pad(kh), pad(kh), pad(kw), pad(kw),
            dilation(), 1, groups,  kh,      kw,      outputs};
  n.at(1) = r.chance(0.7) ? n.at(0) : stride();
  n.at(7) = r.chance(0.7) ? n.at(6) : dilation();
  return n;
}

void add_conv(std::vector<Kind>& kinds) {
  kinds.push_back({"conv2d",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(is_image);
                     if (!x) return false;
                     const Shape shape = g[*x].type.shape;
                     call.numbers = conv_numbers(g, shape[3]);
                     const Numbers& n = call.numbers;
                     // So that the reference stays quick.
                     if (shape.elements() * n.at(9) * n.at(10) * n.at(11) / n.at(8) > 300'000)
                       return false;
                     const auto kernel = g.source(
                         {DType::f32, {n.at(9), n.at(10), shape[3] / n.at(8), n.at(11)}}, false);
                     call.inputs = {*x, kernel};
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     return Values{conv2d(in[0], in[1], conv_options(n))};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{fmt::format("conv2d({}, {}, {})", in[0], in[1], conv_text(n))};
                   },
                   Kind::Rows::keep, 5});
  kinds.push_back(
      {"conv2d_input_grad",
       [](Generator& g, Call& call) {
         const auto dy = g.pick(is_image);
         if (!dy) return false;
         const Shape shape = g[*dy].type.shape;
         call.numbers = conv_numbers(g, shape[3]);
         Numbers& n = call.numbers;
         const std::int64_t per_group = g.random.between(1, 4);
         if (shape[3] % n.at(8) != 0) return false;
         const auto size = [&](std::int64_t out, int axis) {
           const std::int64_t reach = n.at(static_cast<std::size_t>(6 + axis)) *
                                          (n.at(static_cast<std::size_t>(9 + axis)) - 1) +
                                      1;
           return (out - 1) * n.at(static_cast<std::size_t>(axis)) + reach -
                  n.at(static_cast<std::size_t>(2 + 2 * axis)) -
                  n.at(static_cast<std::size_t>(3 + 2 * axis)) +
                  g.random.between(0, n.at(static_cast<std::size_t>(axis)) - 1);
         };
         n.push_back(size(shape[1], 0));
         n.push_back(size(shape[2], 1));
         n.push_back(per_group * n.at(8));
         if (n.at(12) < 1 || n.at(13) < 1) return false;
         if (shape.elements() * n.at(9) * n.at(10) * per_group > 300'000) return false;
         const auto kernel =
             g.source({DType::f32, {n.at(9), n.at(10), per_group, shape[3]}}, false);
         call.inputs = {*dy, kernel};
         return true;
       },
       [](const Values& in, const Numbers& n, const Slice&) {
         return Values{conv2d_input_grad(
             in[0], in[1], {in[0].shape()[0], n.at(12), n.at(13), n.at(14)}, conv_options(n))};
       },
       [](const Texts& in, const Numbers& n) {
         return Texts{fmt::format("conv2d_input_grad({}, {}, {{{}.shape()[0], {}, {}, {}}}, {})",
                                  in[0], in[1], in[0], n.at(12), n.at(13), n.at(14), conv_text(n))};
       },
       Kind::Rows::keep, 0.8});
}

void add_pool(std::vector<Kind>& kinds) {
  const auto propose = [](Generator& g, Call& call) {
    const auto x = g.pick(is_image);
    if (!x) return false;
    Random& r = g.random;
    const std::int64_t kh = r.between(1, 3), kw = r.chance(0.7) ? kh : r.between(1, 3);
    const auto pad = [&](std::int64_t size) { return r.chance(0.6) ? 0 : r.between(0, size - 1); };
    call.inputs = {*x};
    call.numbers = {kh, kw, r.between(1, 3), r.between(1, 3), pad(kh), pad(kh), pad(kw), pad(kw)};
    if (r.chance(0.4)) call.numbers = {2, 2, 2, 2, 0, 0, 0, 0};
    return true;
  };
  using F = Value (*)(Value, const Pool2dOptions&);
  for (const auto& [name, f] : std::vector<std::pair<std::string, F>>{
           {"max_pool2d", max_pool2d}, {"average_pool2d", average_pool2d}}) {
    kinds.push_back({name, propose,
                     [f = f](const Values& in, const Numbers& n, const Slice&) {
                       return Values{f(in[0], {{n.at(0), n.at(1)},
                                               {n.at(2), n.at(3)},
                                               {n.at(4), n.at(5), n.at(6), n.at(7)}})};
                     },
                     [name = name](const Texts& in, const Numbers& n) {
                       return Texts{fmt::format(
                           "{}({}, {{{{{}, {}}}, {{{}, {}}}, {{{}, {}, {}, {}}}}})", name, in[0],
                           n.at(0), n.at(1), n.at(2), n.at(3), n.at(4), n.at(5), n.at(6), n.at(7))};
                     },
                     Kind::Rows::keep, 1.2});
  }
  using G = Value (*)(Value, std::array<std::int64_t, 2>);
  for (const auto& [name, f] : std::vector<std::pair<std::string, G>>{{"upsample2d", upsample2d},
                                                                      {"sum_pool2d", sum_pool2d}}) {
    kinds.push_back({name,
                     [](Generator& g, Call& call) {
                       const auto x = g.pick(is_image);
                       if (!x) return false;
                       call.inputs = {*x};
                       call.numbers = {g.random.between(1, 3), g.random.between(1, 3)};
                       return true;
                     },
                     [f = f](const Values& in, const Numbers& n, const Slice&) {
                       return Values{f(in[0], {n.at(0), n.at(1)})};
                     },
                     [name = name](const Texts& in, const Numbers& n) {
                       return Texts{
                           fmt::format("{}({}, {{{}, {}}})", name, in[0], n.at(0), n.at(1))};
                     },
                     Kind::Rows::keep, 0.3});
  }
}

// ---- along axes

void add_reduce(std::vector<Kind>& kinds) {
  using F = Value (*)(Value, const std::vector<int>&, Keep);
  const auto propose = [](Generator& g, Call& call) {
    const auto x = g.pick(of_rank(1));
    if (!x) return false;
    const Known k = g[*x];
    call.inputs = {*x};
    call.numbers = {g.random.between(0, 1)};
    for (int axis = k.has_rows ? 1 : 0; axis < static_cast<int>(k.type.shape.rank()); ++axis) {
      if (g.random.chance(0.5)) call.numbers.push_back(axis);
    }
    return call.numbers.size() > 1;
  };
  for (const auto& [name, f] : std::vector<std::pair<std::string, F>>{
           {"sum", sum}, {"mean", mean}, {"max", max}, {"min", min}}) {
    kinds.push_back({name, propose,
                     [f = f](const Values& in, const Numbers& n, const Slice&) {
                       return Values{f(in[0], ints(part(n, 1, n.size() - 1)),
                                       n.at(0) != 0 ? Keep::axes : Keep::none)};
                     },
                     [name = name](const Texts& in, const Numbers& n) {
                       return Texts{fmt::format("{}({}, {}, Keep::{})", name, in[0],
                                                list(part(n, 1, n.size() - 1)),
                                                n.at(0) != 0 ? "axes" : "none")};
                     },
                     Kind::Rows::keep, 0.4});
  }
  const auto along = [&](std::string name, Value (*f)(Value, int), double weight) {
    kinds.push_back({name,
                     [](Generator& g, Call& call) {
                       const auto x = g.pick(of_rank(2));
                       if (!x) return false;
                       call.inputs = {*x};
                       call.numbers = {g.random.chance(0.6) ? -1 : free_axis(g, g[*x])};
                       return true;
                     },
                     [f](const Values& in, const Numbers& n, const Slice&) {
                       return Values{f(in[0], static_cast<int>(n.at(0)))};
                     },
                     [name](const Texts& in, const Numbers& n) {
                       return Texts{fmt::format("{}({}, {})", name, in[0], n.at(0))};
                     },
                     Kind::Rows::keep, weight});
  };
  along("softmax", softmax, 0.6);
  along("log_softmax", log_softmax, 0.4);
  along("sparsemax", sparsemax, 0.2);
  along("argmax", argmax, 0.2);
  kinds.push_back({"softmax_cross_entropy",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(2));
                     if (!x) return false;
                     const Known k = g[*x];
                     call.inputs = {*x, g.source(k.type, k.has_rows, Range::positive)};
                     return true;
                   },
                   [](const Values& in, const Numbers&, const Slice&) {
                     return Values{softmax_cross_entropy(in[0], in[1])};
                   },
                   [](const Texts& in, const Numbers&) {
                     return Texts{fmt::format("softmax_cross_entropy({}, {})", in[0], in[1])};
                   },
                   Kind::Rows::keep, 0.3});
  kinds.push_back({"standardize",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(2));
                     if (!x) return false;
                     const Known k = g[*x];
                     call.inputs = {*x};
                     for (int axis = 1; axis < static_cast<int>(k.type.shape.rank()); ++axis) {
                       if (g.random.chance(0.6)) call.numbers.push_back(axis);
                     }
                     return !call.numbers.empty();
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     return Values{standardize(in[0], ints(n), 1e-1f)};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{fmt::format("standardize({}, {}, 1e-1f)", in[0], list(n))};
                   },
                   Kind::Rows::keep, 0.4});
  kinds.push_back({"batch_norm",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(2));
                     if (!x) return false;
                     const Type channels{DType::f32, {g[*x].type.shape[-1]}};
                     call.inputs = {*x, g.source(channels, false),
                                    g.source(channels, false, Range::positive),
                                    g.source(channels, false), g.source(channels, false)};
                     return true;
                   },
                   [](const Values& in, const Numbers&, const Slice&) {
                     return Values{batch_norm(in[0], in[1], in[2], in[3], in[4])};
                   },
                   [](const Texts& in, const Numbers&) {
                     return Texts{fmt::format("batch_norm({})", fmt::join(in, ", "))};
                   },
                   Kind::Rows::keep, 0.8});
  kinds.push_back({"batch_norm of the batch",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(2));
                     if (!x || (g.with_batch() && !g[*x].has_rows)) return false;
                     const Type channels{DType::f32, {g[*x].type.shape[-1]}};
                     call.inputs = {*x, g.source(channels, false), g.source(channels, false)};
                     return true;
                   },
                   [](const Values& in, const Numbers&, const Slice& slice) {
                     const Moments m = batch_moments(in[0], slice.share());
                     return Values{batch_norm(in[0], m.mean, m.variance, in[1], in[2], 0.1f)};
                   },
                   [](const Texts& in, const Numbers&) {
                     return Texts{fmt::format(
                         "[&] {{ const Moments m = batch_moments({}, slice.share()); "
                         "return batch_norm({}, m.mean, m.variance, {}, {}, 0.1f); }}()",
                         in[0], in[0], in[1], in[2])};
                   },
                   Kind::Rows::keep, 0.8});
}

// ---- elements in other places

void add_moves(std::vector<Kind>& kinds) {
  kinds.push_back(
      {"flatten",
       [](Generator& g, Call& call) {
         const auto x = g.pick(of_rank(2));
         if (!x) return false;
         call.inputs = {*x};
         return g[*x].type.shape.elements() > 0;
       },
       [](const Values& in, const Numbers&, const Slice&) { return Values{flatten(in[0])}; },
       [](const Texts& in, const Numbers&) { return Texts{fmt::format("flatten({})", in[0])}; },
       Kind::Rows::keep, 1});
  kinds.push_back({"reshape",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(2, 4));
                     if (!x) return false;
                     const Shape s = g[*x].type.shape;
                     std::int64_t rest = 1;
                     for (std::size_t i = 1; i < s.rank(); ++i) rest *= s.begin()[i];
                     call.inputs = {*x};
                     while (rest > 1 && call.numbers.size() < 2) {
                       std::vector<std::int64_t> divisors;
                       for (std::int64_t d = 1; d <= rest && d <= 32; ++d) {
                         if (rest % d == 0) divisors.push_back(d);
                       }
                       call.numbers.push_back(g.random.of(divisors));
                       rest /= call.numbers.back();
                     }
                     call.numbers.push_back(rest);
                     return rest > 0;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     Numbers sizes{in[0].shape()[0]};
                     sizes.insert(sizes.end(), n.begin(), n.end());
                     return Values{reshape(in[0], Shape(std::span<const std::int64_t>(sizes)))};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{fmt::format("reshape({}, {{{}.shape()[0], {}}})", in[0], in[0],
                                              fmt::join(n, ", "))};
                   },
                   Kind::Rows::keep, 0.6});
  kinds.push_back(
      {"transpose",
       [](Generator& g, Call& call) {
         const auto x = g.pick(of_rank(2, 4));
         if (!x) return false;
         const Known k = g[*x];
         call.inputs = {*x};
         for (std::size_t i = 0; i < k.type.shape.rank(); ++i) {
           call.numbers.push_back(static_cast<std::int64_t>(i));
         }
         for (std::size_t i = call.numbers.size() - 1; i > (k.has_rows ? 1u : 0u); --i) {
           const auto j = g.random.between(k.has_rows ? 1 : 0, static_cast<std::int64_t>(i));
           std::swap(call.numbers[i], call.numbers[static_cast<std::size_t>(j)]);
         }
         return true;
       },
       [](const Values& in, const Numbers& n, const Slice&) {
         return Values{transpose(in[0], ints(n))};
       },
       [](const Texts& in, const Numbers& n) {
         return Texts{fmt::format("transpose({}, {})", in[0], list(n))};
       },
       Kind::Rows::keep, 0.6});
  // Per axis: begin, elements left out at the end, step.
  kinds.push_back(
      {"slice",
       [](Generator& g, Call& call) {
         const auto x = g.pick(of_rank(1, 4));
         if (!x) return false;
         const Known k = g[*x];
         call.inputs = {*x};
         for (std::size_t i = 0; i < k.type.shape.rank(); ++i) {
           const bool fixed = i == 0 && k.has_rows;
           const std::int64_t size = k.type.shape.begin()[i];
           const std::int64_t begin = fixed || size < 2 ? 0 : g.random.between(0, size / 2);
           call.numbers.push_back(begin);
           call.numbers.push_back(fixed || size < 2 ? 0 : g.random.between(0, (size - begin) / 2));
           call.numbers.push_back(fixed ? 1 : g.random.between(1, 3));
         }
         return true;
       },
       [](const Values& in, const Numbers& n, const Slice&) {
         Numbers begin, end, step;
         for (std::size_t i = 0; i < in[0].shape().rank(); ++i) {
           begin.push_back(n.at(3 * i));
           end.push_back(in[0].shape().begin()[i] - n.at(3 * i + 1));
           step.push_back(n.at(3 * i + 2));
         }
         return Values{slice(in[0], begin, end, step)};
       },
       [](const Texts& in, const Numbers& n) {
         Texts end;
         Numbers begin, step;
         for (std::size_t i = 0; 3 * i < n.size(); ++i) {
           begin.push_back(n.at(3 * i));
           end.push_back(fmt::format("{}.shape()[{}] - {}", in[0], i, n.at(3 * i + 1)));
           step.push_back(n.at(3 * i + 2));
         }
         return Texts{fmt::format("slice({}, {}, {{{}}}, {})", in[0], list(begin),
                                  fmt::join(end, ", "), list(step))};
       },
       Kind::Rows::keep, 0.5});
  kinds.push_back({"pad",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(1, 4));
                     if (!x) return false;
                     const Known k = g[*x];
                     call.inputs = {*x};
                     call.numbers = {g.random.chance(0.7) ? 0 : 1};
                     const bool image = k.type.shape.rank() == 4 && g.random.chance(0.7);
                     for (std::size_t i = 0; i < k.type.shape.rank(); ++i) {
                       const bool fixed = (i == 0 && k.has_rows) || (image && (i == 0 || i == 3));
                       call.numbers.push_back(fixed ? 0 : g.random.between(0, 2));
                       call.numbers.push_back(fixed ? 0 : g.random.between(0, 2));
                     }
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     Numbers before, after;
                     for (std::size_t i = 0; i < in[0].shape().rank(); ++i) {
                       before.push_back(n.at(1 + 2 * i));
                       after.push_back(n.at(2 + 2 * i));
                     }
                     return Values{pad(in[0], before, after, static_cast<float>(n.at(0)))};
                   },
                   [](const Texts& in, const Numbers& n) {
                     Numbers before, after;
                     for (std::size_t i = 0; 1 + 2 * i < n.size(); ++i) {
                       before.push_back(n.at(1 + 2 * i));
                       after.push_back(n.at(2 + 2 * i));
                     }
                     return Texts{fmt::format("pad({}, {}, {}, {})", in[0], list(before),
                                              list(after), n.at(0))};
                   },
                   Kind::Rows::keep, 0.7});
  kinds.push_back({"concat",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(1, 4));
                     if (!x || (g[*x].has_rows && g[*x].type.shape.rank() < 2)) return false;
                     const Known k = g[*x];
                     call.numbers = {g.random.chance(0.7) && k.type.shape.rank() > 1
                                         ? static_cast<std::int64_t>(k.type.shape.rank()) - 1
                                         : free_axis(g, k)};
                     const int axis = static_cast<int>(call.numbers[0]);
                     call.inputs = {*x};
                     const auto other = g.pick([&](const Known& o) {
                       return is_f32(o) && o.has_rows == k.has_rows &&
                              o.type.shape.rank() == k.type.shape.rank() &&
                              o.type.shape.with(axis, 1) == k.type.shape.with(axis, 1);
                     });
                     call.inputs.push_back(*other);  // x itself, if nothing else
                     if (g.random.chance(0.3)) {
                       call.inputs.push_back(
                           g.source({DType::f32, k.type.shape.with(axis, g.size())}, k.has_rows));
                     }
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     return Values{concat(in, static_cast<int>(n.at(0)))};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{fmt::format("concat({{{}}}, {})", fmt::join(in, ", "), n.at(0))};
                   },
                   Kind::Rows::keep, 0.8});
  kinds.push_back({"split",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(2, 4));
                     if (!x) return false;
                     const int axis = free_axis(g, g[*x]);
                     const std::int64_t size = g[*x].type.shape[axis];
                     if (size < 2) return false;
                     const std::int64_t first = g.random.between(1, size - 1);
                     call.inputs = {*x};
                     call.numbers = {axis, first, size - first};
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     return split(in[0], {n.at(1), n.at(2)}, static_cast<int>(n.at(0)));
                   },
                   [](const Texts& in, const Numbers& n) {
                     const auto at = [&](int i) {
                       return fmt::format("split({}, {{{}, {}}}, {})[{}]", in[0], n.at(1), n.at(2),
                                          n.at(0), i);
                     };
                     return Texts{at(0), at(1)};
                   },
                   Kind::Rows::keep, 0.4});
  kinds.push_back(
      {"broadcast_to",
       [](Generator& g, Call& call) {
         const auto x = g.pick(
             [](const Known& k) { return is_f32(k) && !k.has_rows && k.type.shape.rank() <= 3; });
         if (!x) return false;
         call.inputs = {*x};
         for (const std::int64_t size : g[*x].type.shape) {
           call.numbers.push_back(size == 1 ? g.size() : size);
         }
         return true;
       },
       [](const Values& in, const Numbers& n, const Slice& slice) {
         Numbers sizes{slice.rows};
         sizes.insert(sizes.end(), n.begin(), n.end());
         return Values{broadcast_to(in[0], Shape(std::span<const std::int64_t>(sizes)))};
       },
       [](const Texts& in, const Numbers& n) {
         return Texts{fmt::format("broadcast_to({}, {{slice.rows{}{}}})", in[0],
                                  n.empty() ? "" : ", ", fmt::join(n, ", "))};
       },
       Kind::Rows::make, 0.4});
  kinds.push_back({"sum_to",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick(of_rank(2, 4));
                     if (!x || g[*x].has_rows) return false;
                     call.inputs = {*x};
                     call.numbers = {g[*x].type.shape[-1]};
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     return Values{sum_to(in[0], {n.at(0)})};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{fmt::format("sum_to({}, {{{}}})", in[0], n.at(0))};
                   },
                   Kind::Rows::keep, 0.2});
}

// ---- by index, and in other types

void add_indices(std::vector<Kind>& kinds) {
  kinds.push_back(
      {"gather",
       [](Generator& g, Call& call) {
         const auto x = g.pick(of_rank(2, 4));
         if (!x) return false;
         const int axis = free_axis(g, g[*x]);
         const std::int64_t count = g[*x].type.shape[axis];
         if (count < 1) return false;
         call.inputs = {*x, g.source({DType::s32, {g.size()}}, false, Range::indices, count)};
         call.numbers = {axis};
         return true;
       },
       [](const Values& in, const Numbers& n, const Slice&) {
         return Values{gather(in[0], in[1], static_cast<int>(n.at(0)))};
       },
       [](const Texts& in, const Numbers& n) {
         return Texts{fmt::format("gather({}, {}, {})", in[0], in[1], n.at(0))};
       },
       Kind::Rows::keep, 0.3});
  kinds.push_back(
      {"embedding",
       [](Generator& g, Call& call) {
         const std::int64_t count = g.size();
         const auto table = g.source({DType::f32, {count, g.channels()}}, false);
         const bool rows = g.with_batch();
         const auto indices = g.source({DType::s32, {rows ? g.rows() : g.size(), g.size()}}, rows,
                                       Range::indices, count);
         call.inputs = {table, indices};
         return true;
       },
       [](const Values& in, const Numbers&, const Slice&) { return Values{gather(in[0], in[1])}; },
       [](const Texts& in, const Numbers&) {
         return Texts{fmt::format("gather({}, {})", in[0], in[1])};
       },
       Kind::Rows::keep, 0.3});
  kinds.push_back({"one_hot",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick([](const Known& k) {
                       return k.type.dtype == DType::s32 && k.type.shape.rank() < 4;
                     });
                     if (!x) return false;
                     call.inputs = {*x};
                     call.numbers = {40};
                     return true;
                   },
                   [](const Values& in, const Numbers& n, const Slice&) {
                     return Values{one_hot(in[0], n.at(0))};
                   },
                   [](const Texts& in, const Numbers& n) {
                     return Texts{fmt::format("one_hot({}, {})", in[0], n.at(0))};
                   },
                   Kind::Rows::keep, 0.2});
  kinds.push_back(
      {"scatter_add",
       [](Generator& g, Call& call) {
         const auto x = g.pick(of_rank(2, 3));
         if (!x || g[*x].has_rows) return false;
         const std::int64_t rows = g[*x].type.shape[0], count = g.size();
         call.inputs = {*x, g.source({DType::s32, {rows}}, false, Range::indices, count)};
         call.numbers = {count};
         return true;
       },
       [](const Values& in, const Numbers& n, const Slice&) {
         return Values{scatter_add(in[0], in[1], in[0].shape().with(0, n.at(0)))};
       },
       [](const Texts& in, const Numbers& n) {
         return Texts{fmt::format("scatter_add({}, {}, {}.shape().with(0, {}))", in[0], in[1],
                                  in[0], n.at(0))};
       },
       Kind::Rows::keep, 0.2});
  kinds.push_back({"cast",
                   [](Generator& g, Call& call) {
                     const auto x =
                         g.pick([](const Known& k) { return k.type.dtype == DType::s32; });
                     if (x) call.inputs = {*x};
                     return x.has_value();
                   },
                   [](const Values& in, const Numbers&, const Slice&) {
                     return Values{cast(in[0], DType::f32) * 0.25f};
                   },
                   [](const Texts& in, const Numbers&) {
                     return Texts{fmt::format("cast({}, DType::f32) * 0.25f", in[0])};
                   },
                   Kind::Rows::keep, 0.3});
}

// ---- over the whole batch

void add_sums(std::vector<Kind>& kinds) {
  kinds.push_back({"sum over the batch",
                   [](Generator& g, Call& call) {
                     const auto x = g.pick([](const Known& k) { return is_f32(k) && k.has_rows; });
                     if (x) call.inputs = {*x};
                     return x.has_value();
                   },
                   [](const Values& in, const Numbers&, const Slice&) {
                     return Values{all_reduce(sum(in[0], {0}))};
                   },
                   [](const Texts& in, const Numbers&) {
                     return Texts{fmt::format("all_reduce(sum({}, {{0}}))", in[0])};
                   },
                   Kind::Rows::drop, 0.5});
  kinds.push_back(
      {"sum_of_squares",
       [](Generator& g, Call& call) {
         const auto x = g.pick([](const Known& k) { return is_f32(k) && !k.has_rows; });
         if (x) call.inputs = {*x};
         return x.has_value();
       },
       [](const Values& in, const Numbers&, const Slice&) { return Values{sum_of_squares(in[0])}; },
       [](const Texts& in, const Numbers&) {
         return Texts{fmt::format("sum_of_squares({})", in[0])};
       },
       Kind::Rows::drop, 0.3});
}

}  // namespace

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = [] {
    std::vector<Kind> list;
    add_unary(list);
    add_binary(list);
    add_matmul(list);
    add_conv(list);
    add_pool(list);
    add_reduce(list);
    add_moves(list);
    add_indices(list);
    add_sums(list);
    return list;
  }();
  return all;
}

}  // namespace weft::random_test
