#include "samples.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <type_traits>

#include "graph/print.hpp"
#include "ops/conv2d_pool.hpp"
#include "ops/ops.hpp"

namespace weft {
namespace {

using Values = std::vector<Value>;

/// Makes the inputs. Numbers are multiples of 1/1024, so that text and f32 hold them exactly.
class Numbers {
 public:
  Tensor between(const Shape& shape, float low, float high) {
    return make(shape, [&] { return low + (high - low) * fraction(); });
  }
  Tensor any(const Shape& shape) { return between(shape, -2, 2); }
  Tensor positive(const Shape& shape) { return between(shape, 0.5f, 2); }
  /// Of either sign, not near 0.
  Tensor apart_from_zero(const Shape& shape) {
    return make(shape, [&] { return (0.25f + 1.75f * fraction()) * (coin() ? 1.0f : -1.0f); });
  }
  /// No two alike, nor near each other; not near 0 either.
  Tensor distinct(const Shape& shape) {
    std::vector<float> numbers(static_cast<std::size_t>(shape.elements()));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] =
          (static_cast<float>(i) + 0.5f) / 16 - static_cast<float>(numbers.size() / 2) / 16;
    }
    std::shuffle(numbers.begin(), numbers.end(), random_);
    return Tensor::of(shape, numbers);
  }
  Tensor integers(const Shape& shape, std::int32_t count) {
    std::vector<std::int32_t> numbers(static_cast<std::size_t>(shape.elements()));
    for (std::int32_t& number : numbers) {
      number = static_cast<std::int32_t>(fraction() * static_cast<float>(count));
    }
    return Tensor::of(shape, numbers);
  }

 private:
  template <class F>
  Tensor make(const Shape& shape, F f) {
    Tensor tensor(Type{DType::f32, shape});
    for (float& number : tensor.data<float>()) number = std::round(f() * 1024) / 1024;
    return tensor;
  }
  float fraction() { return static_cast<float>(random_() >> 8) * 0x1p-24f; }
  bool coin() { return (random_() >> 31) != 0; }

  std::mt19937 random_{20240229};
};

/// What the functions below add to.
struct Samples {
  std::vector<Sample> all;
  Numbers numbers;

  template <class F>
  Sample& add(std::string op, std::string note, std::vector<Tensor> inputs, F build) {
    all.push_back(
        {.op = std::move(op), .note = std::move(note), .inputs = std::move(inputs), .build = {}});
    if constexpr (std::is_same_v<std::invoke_result_t<F, const Values&>, Value>) {
      all.back().build = [build](const Values& in) { return Values{build(in)}; };
    } else {
      all.back().build = build;
    }
    return all.back();
  }
};

void add_unary(Samples& s) {
  const Shape shape{2, 3, 5};
  const auto add = [&](std::string op, Tensor x, Value (*f)(Value)) {
    s.add(std::move(op), "", {std::move(x)}, [f](const Values& in) { return f(in[0]); });
  };
  Numbers& n = s.numbers;
  add("neg", n.any(shape), neg);
  add("abs", n.apart_from_zero(shape), abs);
  add("square", n.any(shape), square);
  add("sqrt", n.positive(shape), sqrt);
  add("exp", n.any(shape), exp);
  add("log", n.positive(shape), log);
  add("relu", n.apart_from_zero(shape), relu);
  add("sigmoid", n.any(shape), sigmoid);
  add("tanh", n.any(shape), tanh);
  add("softplus", n.any(shape), softplus);
  add("swish", n.any(shape), swish);
  add("gelu", n.any(shape), gelu);
  add("gelu_tanh", n.any(shape), gelu_tanh);
  add("reciprocal", n.apart_from_zero(shape), reciprocal);
  add("erf", n.any(shape), erf);
  add("sin", n.any(shape), sin);
  add("cos", n.any(shape), cos);
  add("sign", n.apart_from_zero(shape), sign);
  const Tensor off_grid = Tensor::of<float>({6}, {-1.75f, -0.75f, -0.25f, 0.25f, 1.25f, 2.625f});
  add("floor", off_grid, floor);
  add("round", off_grid, round);
  add("relu", n.apart_from_zero({}), relu);
  add("tanh", n.any({1, 3, 3, 20}), tanh);

  const auto add_with = [&](std::string op, float parameter, Value (*f)(Value, float)) {
    s.add(std::move(op), fmt::format("{}", parameter), {n.apart_from_zero(shape)},
          [f, parameter](const Values& in) { return f(in[0], parameter); });
  };
  add_with("leaky_relu", 0.2f, leaky_relu);
  add_with("leaky_relu", 0.0f, leaky_relu);
  add_with("elu", 1.0f, elu);
  add_with("elu", 0.5f, elu);
  s.add("clip", "", {off_grid}, [](const Values& in) { return clip(in[0], -1, 1.5f); });
  s.add("exp", "then log, and large numbers", {n.between({4}, 20, 30)}, [](const Values& in) {
    return log(exp(in[0]) + 1.0f) + softplus(in[0]) + sigmoid(-in[0]);
  });
}

void add_binary(Samples& s) {
  Numbers& n = s.numbers;
  const std::vector<std::pair<Shape, Shape>> shapes{{{2, 3}, {2, 3}},
                                                    {{2, 3}, {3}},
                                                    {{3}, {2, 3}},
                                                    {{2, 1}, {1, 3}},
                                                    {{}, {2, 3}},
                                                    {{2, 3}, {}},
                                                    {{4, 1, 3}, {2, 1}},
                                                    {{2, 3, 4, 5}, {5}},
                                                    {{2, 1, 1, 8}, {2, 3, 3, 8}},
                                                    {{1}, {1}},
                                                    {{}, {}},
                                                    {{2, 3, 1, 5}, {1, 4, 1}}};
  const auto add = [&](const std::string& op, Value (*f)(Value, Value), auto left, auto right) {
    for (const auto& [a, b] : shapes) {
      s.add(op, fmt::format("{} {}", a, b), {left(a), right(b)},
            [f](const Values& in) { return f(in[0], in[1]); });
    }
  };
  const auto any = [&](const Shape& shape) { return n.any(shape); };
  const auto positive = [&](const Shape& shape) { return n.positive(shape); };
  const auto nonzero = [&](const Shape& shape) { return n.apart_from_zero(shape); };
  // Halves against quarters more: never equal, never near each other.
  const auto halves = [&](const Shape& shape) {
    Tensor t = n.any(shape);
    for (float& number : t.data<float>()) number = std::round(number * 2) / 2;
    return t;
  };
  const auto quarters = [&](const Shape& shape) {
    Tensor t = n.any(shape);
    for (float& number : t.data<float>()) number = std::round(number * 2) / 2 + 0.25f;
    return t;
  };
  add("add", weft::add, any, any);
  add("sub", sub, any, any);
  add("mul", mul, any, any);
  add("div", weft::div, any, nonzero);
  add("pow", static_cast<Value (*)(Value, Value)>(pow), positive, any);
  add("maximum", static_cast<Value (*)(Value, Value)>(maximum), halves, quarters);
  add("minimum", static_cast<Value (*)(Value, Value)>(minimum), halves, quarters);
  add("equal", static_cast<Value (*)(Value, Value)>(equal), halves, quarters);
  add("not_equal", not_equal, halves, quarters);
  add("less", static_cast<Value (*)(Value, Value)>(less), halves, quarters);
  add("less_equal", less_equal, halves, quarters);
  add("greater", static_cast<Value (*)(Value, Value)>(greater), halves, quarters);
  add("greater_equal", greater_equal, halves, quarters);

  const Shape shape{2, 3, 4};
  for (const float exponent : {2.0f, 3.0f, -1.0f, 1.0f, 0.0f, 4.0f}) {
    s.add("pow", fmt::format("of either sign to the {}", exponent), {n.apart_from_zero(shape)},
          [exponent](const Values& in) { return pow(in[0], exponent); });
  }
  s.add("pow", "fractional", {n.positive(shape)},
        [](const Values& in) { return pow(in[0], 1.5f) + pow(in[0], -0.5f); });
  s.add("add", "numbers on both sides", {n.apart_from_zero(shape)}, [](const Values& in) {
    return (2.0f - in[0]) * 3.0f + 1.0f / in[0] - (in[0] - 1.0f) / 4.0f + 2.0f * in[0] - -in[0];
  });
  s.add("mul", "by itself", {n.any(shape)}, [](const Values& in) { return in[0] * in[0]; });
  // Equal numbers compare as equal; nothing of this has a derivative but zero.
  const Tensor grid = halves(shape);
  s.add("equal", "with ties", {grid}, [](const Values& in) {
    const Value x = floor(in[0] + 0.25f), y = floor(in[0] * 0.5f + 0.125f);
    return Values{equal(x, y),      not_equal(x, y), less(x, y),
                  less_equal(x, y), greater(x, y),   greater_equal(x, y)};
  });
}

void add_reduce(Samples& s) {
  Numbers& n = s.numbers;
  using Reduce = Value (*)(Value, const std::vector<int>&, Keep);
  const std::vector<std::pair<std::string, Reduce>> ops{
      {"sum", sum}, {"mean", mean}, {"max", max}, {"min", min}};
  const std::vector<std::vector<int>> axes_of_three{{},     {0},     {1},     {2},
                                                    {0, 1}, {0, -1}, {1, -1}, {0, 1, 2}};
  for (const auto& [op, reduce] : ops) {
    const auto add = [&, reduce = reduce](const Shape& shape, const std::vector<int>& axes,
                                          Keep keep) {
      s.add(op,
            fmt::format("{} over [{}]{}", shape, fmt::join(axes, ","),
                        keep == Keep::axes ? " kept" : ""),
            {n.distinct(shape)}, [=](const Values& in) { return reduce(in[0], axes, keep); });
    };
    for (const std::vector<int>& axes : axes_of_three) {
      add({2, 3, 4}, axes, Keep::none);
      add({2, 3, 4}, axes, Keep::axes);
    }
    add({2, 3, 3, 8}, {1, 2}, Keep::none);
    add({2, 3, 3, 8}, {0, 1, 2}, Keep::none);
    add({2, 1, 3}, {1}, Keep::none);
    add({}, {}, Keep::none);
    add({1}, {0}, Keep::none);
    add({70}, {0}, Keep::none);
  }
  for (const int axis : {0, 1, -1}) {
    s.add("argmax", fmt::format("axis {}", axis), {n.distinct({2, 3, 4})},
          [axis](const Values& in) { return argmax(in[0], axis); });
  }
  const std::vector<std::pair<Shape, Shape>> wider{{{3}, {2, 3}},
                                                   {{2, 1, 4}, {2, 3, 4}},
                                                   {{}, {2, 3}},
                                                   {{1, 3, 1}, {4, 2, 3, 5}},
                                                   {{2, 3}, {2, 3}}};
  for (const auto& [narrow, wide] : wider) {
    const Shape from = narrow, to = wide;
    s.add("broadcast_to", fmt::format("{} to {}", from, to), {n.any(from)},
          [to](const Values& in) { return broadcast_to(in[0], to); });
    s.add("sum", fmt::format("{} to {}", to, from), {n.any(to)},
          [from](const Values& in) { return sum_to(in[0], from); });
  }
}

void add_movement(Samples& s) {
  Numbers& n = s.numbers;
  const Shape shape{2, 3, 4};
  s.add("reshape", "", {n.any(shape)}, [](const Values& in) { return reshape(in[0], {4, 6}); });
  s.add("reshape", "to a scalar", {n.any({1, 1})},
        [](const Values& in) { return reshape(in[0], {}); });
  s.add("reshape", "flatten", {n.any({2, 3, 2, 2})},
        [](const Values& in) { return flatten(in[0]); });
  s.add("reshape", "of a product", {n.any({2, 6}), n.any({6, 4})}, [](const Values& in) {
    return square(reshape(matmul(in[0], in[1]), {2, 2, 2, 1}));
  });

  for (const std::vector<int>& order :
       {std::vector<int>{}, {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {2, 0, 1}, {1, -1, 0}}) {
    s.add("transpose", fmt::format("[{}]", fmt::join(order, ",")), {n.any(shape)},
          [order](const Values& in) { return square(transpose(in[0], order)); });
  }
  s.add("transpose", "channels first", {n.any({2, 3, 3, 8})}, [](const Values& in) {
    return transpose(in[0], {0, 3, 1, 2});
  });

  const auto add_slice = [&](const std::vector<std::int64_t>& begin,
                             const std::vector<std::int64_t>& end,
                             const std::vector<std::int64_t>& step) {
    s.add("slice",
          fmt::format("[{}] to [{}] by [{}]", fmt::join(begin, ","), fmt::join(end, ","),
                      fmt::join(step, ",")),
          {n.any({4, 5, 6})},
          [=](const Values& in) { return square(slice(in[0], begin, end, step)); });
  };
  add_slice({0, 0, 0}, {4, 5, 6}, {});
  add_slice({1, 2, 3}, {3, 4, 5}, {});
  add_slice({0, 1, 0}, {to_end, -1, to_end}, {2, 1, 3});
  add_slice({-2, -3, -6}, {-1, to_end, 5}, {1, 2, 2});
  s.add("pad", "", {n.any(shape)}, [](const Values& in) {
    return square(pad(in[0], {1, 0, 2}, {0, 3, 1}));
  });
  s.add("pad", "with a number", {n.any(shape)}, [](const Values& in) {
    return square(pad(in[0], {1, 0, 0}, {0, 0, 1}, 2.5f));
  });
  s.add("pad", "by nothing", {n.any(shape)}, [](const Values& in) {
    return pad(in[0], {0, 0, 0}, {0, 0, 0});
  });

  for (const int axis : {0, 1, -1}) {
    s.add("concat", fmt::format("axis {}", axis),
          {n.any(shape), n.any(shape.with(axis, 1)), n.any(shape.with(axis, 5))},
          [axis](const Values& in) { return square(concat(in, axis)); });
  }
  s.add("concat", "of one, twice", {n.any(shape)}, [](const Values& in) {
    return concat({concat({in[0]}, 0), in[0], in[0]}, 2);
  });
  s.add("concat", "channels", {n.any({2, 3, 3, 8}), n.any({2, 3, 3, 16})},
        [](const Values& in) { return concat(in, -1); });
  s.add("slice", "split", {n.any({2, 7})}, [](const Values& in) {
    const Values parts = split(in[0], {2, 1, 4}, 1);
    return Values{square(parts[0]), parts[1], square(parts[2])};
  });
  // The evaluator does not round to bf16, so that differences can be taken; kernels do.
  s.add("cast", "to bf16", {n.any(shape)}, [](const Values& in) {
     return cast(in[0], DType::bf16);
   }).precision = DType::bf16;
  s.add("cast", "to bf16 and back", {n.any(shape)}, [](const Values& in) {
     return square(cast(cast(in[0], DType::bf16), DType::f32));
   }).precision = DType::bf16;
  const Tensor off_grid = Tensor::of<float>({6}, {-200.25f, -1.75f, -0.75f, 0.25f, 1.25f, 300.5f});
  for (const DType dtype : {DType::s32, DType::s8, DType::u8}) {
    s.add("cast", fmt::format("to {}", dtype), {off_grid},
          [dtype](const Values& in) { return cast(in[0], dtype); });
    s.add("cast", fmt::format("to {} and back", dtype), {off_grid},
          [dtype](const Values& in) { return cast(cast(in[0], dtype), DType::f32) * in[0]; });
  }
}

void add_choices(Samples& s) {
  Numbers& n = s.numbers;
  const auto add_gather = [&](const Shape& x, const Shape& indices, int axis) {
    const auto count = static_cast<std::int32_t>(x[axis]);
    const Tensor chosen = n.integers(indices, count);
    s.add("gather", fmt::format("{} of {} axis {}", indices, x, axis), {n.any(x), chosen},
          [axis](const Values& in) { return square(gather(in[0], in[1], axis)); });
  };
  add_gather({5, 3}, {4}, 0);
  add_gather({5, 3}, {2, 2}, 0);
  add_gather({2, 5, 3}, {7}, 1);
  add_gather({2, 3, 5}, {2, 3}, -1);
  add_gather({4}, {}, 0);
  const Tensor repeated = Tensor::of<std::int32_t>({4}, {2, 0, 2, 2});
  s.add("scatter_add", "with repeats", {n.any({4, 3}), repeated}, [](const Values& in) {
    return square(scatter_add(in[0], in[1], {5, 3}));
  });
  s.add("scatter_add", "axis 1", {n.any({2, 4, 3}), repeated}, [](const Values& in) {
    return square(scatter_add(in[0], in[1], {2, 3, 3}, 1));
  });
  s.add("one_hot", "", {n.integers({2, 3}, 4)}, [](const Values& in) { return one_hot(in[0], 4); });

  s.add("select", "", {n.apart_from_zero({2, 3}), n.any({2, 3}), n.any({2, 3})},
        [](const Values& in) { return select(greater(in[0], 0.0f), in[1], in[2]); });
  s.add("select", "broadcast", {n.apart_from_zero({4, 1, 1}), n.any({3}), n.any({2, 1})},
        [](const Values& in) {
          return square(select(less(in[0], 0.0f), in[1], in[2])) *
                 select(less(in[0], 0.0f), in[2], in[1]);
        });
  s.add("select", "s32", {n.integers({2, 3}, 2), n.any({2, 3}), n.any({})},
        [](const Values& in) { return select(in[0], in[1], in[2]); });
  s.add("select", "u8", {n.apart_from_zero({2, 3}), n.any({2, 3})},
        [](const Values& in) { return select(cast(in[0] + 1.125f, DType::u8), in[1], in[0]); });
  s.add("all_reduce", "", {n.any({2, 3})}, [](const Values& in) { return all_reduce(in[0]); });
  s.add("stop_gradient", "", {n.any({2, 3})}, [](const Values& in) {
     return stop_gradient(in[0]) * in[0];
   }).differences = false;

  const Tensor key = Tensor::of<std::int32_t>({2}, {7, 11});
  s.add("random_uniform", "", {key}, [](const Values& in) {
    return Values{random_uniform(in[0], {3, 5}, 0), random_uniform(in[0], {3, 5}, 1, -2, 3)};
  });
  s.add("random_normal", "", {key}, [](const Values& in) {
    return random_normal(in[0], {4, 3}, 2, 1, 0.5f);
  });
  s.add("random_bernoulli", "", {key},
        [](const Values& in) { return random_bernoulli(in[0], {40}, 3, 0.3f); });
  s.add("random_bernoulli", "as a mask", {n.any({5, 3}), key}, [](const Values& in) {
    return in[0] * random_bernoulli(in[1], {5, 3}, 4, 0.5f);
  });
}

void add_matmul(Samples& s) {
  Numbers& n = s.numbers;
  const auto add = [&](const Shape& a, const Shape& b, bool transpose_a, bool transpose_b) {
    s.add("matmul",
          fmt::format("{}{} {}{}", a, transpose_a ? "^T" : "", b, transpose_b ? "^T" : ""),
          {n.any(a), n.any(b)}, [=](const Values& in) {
            return matmul(in[0], in[1], {.transpose_a = transpose_a, .transpose_b = transpose_b});
          });
  };
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const auto of = [](bool swap, std::int64_t rows, std::int64_t columns) {
        return swap ? Shape{columns, rows} : Shape{rows, columns};
      };
      add(of(ta, 3, 4), of(tb, 4, 5), ta, tb);
      add(of(ta, 1, 4), of(tb, 4, 1), ta, tb);
      const auto batched = [](const Shape& shape, std::int64_t batch) {
        return Shape{batch, shape[0], shape[1]};
      };
      add(batched(of(ta, 3, 4), 2), batched(of(tb, 4, 5), 2), ta, tb);  // batches
      add(batched(of(ta, 3, 4), 2), of(tb, 4, 5), ta, tb);              // one b for all
      add(of(ta, 3, 4), batched(of(tb, 4, 5), 2), ta, tb);              // one a for all
      add(batched(of(ta, 3, 4), 1), batched(of(tb, 4, 5), 2), ta, tb);  // broadcast batches
    }
  }
  add({3, 1, 2, 4}, {2, 4, 3}, false, false);
  add({3, 1, 2, 4}, {1, 2, 4, 3}, false, false);
  add({16, 32}, {32, 48}, false, false);
  s.add("matmul", "by itself", {n.any({3, 3})},
        [](const Values& in) { return matmul(in[0], in[0], {.transpose_b = true}); });
  s.add("matmul", "dense layers",
        {n.any({4, 6}), n.any({6, 8}), n.any({8}), n.any({8, 3}), n.any({3})},
        [](const Values& in) {
          const Value hidden = tanh(matmul(in[0], in[1]) + in[2]);
          return sigmoid(matmul(hidden, in[3]) + in[4]);
        });
}

void add_conv2d(Samples& s) {
  Numbers& n = s.numbers;
  struct Case {
    std::string note;
    Shape x, kernel;
    Conv2dOptions options{};
  };
  const std::vector<Case> cases{
      {"valid", {2, 5, 5, 3}, {3, 3, 3, 4}},
      {"same", {2, 5, 5, 1}, {3, 3, 1, 8}, {.padding = {1, 1, 1, 1}}},
      {"1x1", {2, 4, 3, 8}, {1, 1, 8, 16}},
      {"1x1 stride 2", {1, 5, 5, 16}, {1, 1, 16, 8}, {.stride = {2, 2}}},
      {"stride", {1, 7, 7, 3}, {3, 3, 3, 8}, {.stride = {2, 2}}},
      {"stride that leaves a rest", {1, 6, 8, 2}, {3, 2, 2, 3}, {.stride = {2, 3}}},
      {"same, stride 2",
       {1, 6, 6, 4},
       {3, 3, 4, 5},
       {.stride = {2, 2}, .padding = same_padding({6, 6}, {3, 3}, {2, 2})}},
      {"asymmetric", {1, 5, 4, 3}, {3, 2, 3, 4}, {.padding = {2, 0, 1, 3}}},
      {"dilation", {1, 7, 6, 3}, {3, 2, 3, 4}, {.padding = {1, 2, 0, 1}, .dilation = {2, 3}}},
      {"dilation and stride", {1, 9, 9, 2}, {2, 2, 2, 3}, {.stride = {2, 2}, .dilation = {3, 2}}},
      {"groups", {2, 4, 4, 6}, {3, 3, 2, 9}, {.padding = {1, 1, 1, 1}, .groups = 3}},
      {"groups of 8", {1, 4, 4, 16}, {3, 3, 8, 16}, {.padding = {1, 1, 1, 1}, .groups = 2}},
      {"depthwise", {1, 5, 5, 8}, {3, 3, 1, 8}, {.padding = {1, 1, 1, 1}, .groups = 8}},
      {"depthwise, 2 for each", {1, 4, 4, 3}, {3, 3, 1, 6}, {.groups = 3}},
      {"blocked", {1, 5, 5, 16}, {3, 3, 16, 16}, {.padding = {1, 1, 1, 1}}},
      {"20 channels", {1, 4, 4, 20}, {3, 3, 20, 20}, {.padding = {1, 1, 1, 1}}},
      {"even kernel", {1, 5, 7, 1}, {4, 2, 1, 3}},
      {"one output position", {2, 3, 3, 2}, {3, 3, 2, 5}},
  };
  for (const Case& c : cases) {
    const Conv2dOptions options = c.options;
    const Shape x = c.x;
    const std::array<std::int64_t, 2> size{c.kernel[0], c.kernel[1]};
    const Shape y = [&] {
      Graph graph;
      return conv2d(graph.input({DType::f32, x}, "x"), graph.input({DType::f32, c.kernel}, "k"),
                    options)
          .shape();
    }();
    s.add("conv2d", c.note, {n.any(x), n.any(c.kernel)},
          [=](const Values& in) { return conv2d(in[0], in[1], options); });
    s.add("conv2d_input_grad", c.note, {n.any(y), n.any(c.kernel)},
          [=](const Values& in) { return conv2d_input_grad(in[0], in[1], x, options); });
    s.add("conv2d_kernel_grad", c.note, {n.any(x), n.any(y)},
          [=](const Values& in) { return conv2d_kernel_grad(in[0], in[1], size, options); });
  }
  s.add("conv2d", "padded before", {n.any({2, 4, 5, 2}), n.any({3, 3, 2, 4})},
        [](const Values& in) {
          return conv2d(pad(in[0], {0, 1, 0, 0}, {0, 2, 1, 0}), in[1]);
        });
  s.add("transpose", "between convolutions", {n.any({2, 4, 5, 16}), n.any({3, 3, 16, 16})},
        [](const Values& in) {
          const Value h = tanh(conv2d(in[0], in[1], {.padding = {1, 1, 1, 1}}) * 0.125f);
          const Value turned = transpose(h, {0, 2, 1, 3});
          return conv2d(turned, in[1]) + conv2d(turned * 2.0f, in[1]);
        });
  s.add("transpose", "of a product, read every way", {n.any({4, 6}), n.any({6, 5})},
        [](const Values& in) {
          const Value t = transpose(matmul(in[0], in[1]));
          return Values{
              t,           t + 1.0f,  matmul(t, in[0]), reshape(t, {20}), transpose(exp(t)),
              sum(t, {0}), softmax(t)};
        });
  s.add("conv2d", "residual block",
        {n.any({1, 4, 4, 16}), n.any({3, 3, 16, 16}), n.any({16}), n.any({3, 3, 16, 16})},
        [](const Values& in) {
          const Conv2dOptions same{.padding = {1, 1, 1, 1}};
          const Value h = tanh(conv2d(in[0], in[1], same) * 0.125f + in[2]);
          return tanh((conv2d(h, in[3], same) * 0.125f + in[0]));
        });
  s.add("conv2d", "then pool, flatten and dense",
        {n.any({2, 6, 6, 1}), n.any({3, 3, 1, 8}), n.any({8}), n.any({32, 3})},
        [](const Values& in) {
          const Value h = average_pool2d(tanh(conv2d(in[0], in[1]) + in[2]));
          return matmul(flatten(h), in[3]);
        });
}

void add_pool2d(Samples& s) {
  Numbers& n = s.numbers;
  struct Case {
    std::string note;
    Shape x;
    Pool2dOptions options{};
  };
  const std::vector<Case> cases{
      {"2x2", {2, 4, 4, 3}},
      {"8 channels", {1, 4, 6, 8}},
      {"16 channels", {1, 4, 4, 16}},
      {"20 channels", {1, 4, 4, 20}},
      {"overlap", {1, 6, 5, 2}, {.window = {3, 3}, .stride = {2, 1}}},
      {"padding", {1, 5, 5, 2}, {.window = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}}},
      {"asymmetric", {1, 5, 4, 3}, {.window = {3, 2}, .stride = {2, 2}, .padding = {2, 0, 0, 1}}},
      {"not square", {2, 5, 7, 1}, {.window = {2, 3}, .stride = {1, 2}}},
      {"a rest", {1, 5, 5, 4}},
      {"stride above the window", {1, 7, 7, 2}, {.window = {2, 2}, .stride = {3, 3}}},
      {"all of it", {2, 3, 4, 8}, {.window = {3, 4}, .stride = {1, 1}}},
      {"1x1", {1, 3, 3, 2}, {.window = {1, 1}, .stride = {1, 1}}},
  };
  for (const Case& c : cases) {
    const Pool2dOptions options = c.options;
    s.add("max_pool2d", c.note, {n.distinct(c.x)},
          [=](const Values& in) { return square(max_pool2d(in[0], options)); });
    s.add("average_pool2d", c.note, {n.any(c.x)},
          [=](const Values& in) { return square(average_pool2d(in[0], options)); });
  }
}

// First layers. The pass `join` makes these ops of the first sample's graph and its gradients; the
// others call them by themselves.
void add_conv2d_pool(Samples& s) {
  Numbers& n = s.numbers;
  struct Case {
    std::string note;
    Shape x, kernel;
    Padding2D padding{};
  };
  const std::vector<Case> cases{
      {"8 filters", {2, 6, 6, 1}, {3, 3, 1, 8}},
      {"16 filters, padding", {1, 6, 8, 1}, {3, 3, 1, 16}, {1, 1, 1, 1}},
      {"32 filters", {3, 4, 6, 1}, {3, 3, 1, 32}, {1, 1, 1, 1}},
      {"3 channels, a rest", {1, 5, 7, 3}, {3, 3, 3, 16}, {1, 1, 1, 1}},
      {"padding on one side", {1, 5, 6, 2}, {3, 3, 2, 8}, {2, 0, 0, 3}},
      {"5x5, 8 filters", {1, 6, 6, 2}, {5, 5, 2, 8}, {2, 2, 2, 2}},
      {"5x5, 32 filters", {1, 7, 9, 1}, {5, 5, 1, 32}, {2, 2, 2, 2}},
  };
  const auto always = [](Value) { return true; };
  for (const Case& c : cases) {
    const Conv2dOptions options{.padding = c.padding};
    const std::array<std::int64_t, 2> size{c.kernel[0], c.kernel[1]};
    const std::vector<Tensor> inputs{n.any(c.x), n.any(c.kernel), n.any({c.kernel[3]})};
    s.add("conv2d", c.note + ", then bias, tanh and max-pool", inputs, [=](const Values& in) {
      return max_pool2d(tanh(conv2d(in[0], in[1], options) * 0.25f + in[2]));
    });
    s.add("conv2d", c.note + ", then max-pool, then tanh", inputs, [=](const Values& in) {
      return tanh(max_pool2d(conv2d(in[0], in[1], options) + in[2]) * 0.25f);
    });
    s.add("conv2d_max_pool2d", c.note, inputs, [=](const Values& in) {
      const Value pooled = conv2d(in[0], in[1], options) + in[2];
      const auto joined = *join_conv2d_max_pool2d(pooled, {}, always);
      return square(apply_all(joined.op, joined.inputs)[0] * 0.25f);
    });
    s.add("conv2d_max_pool2d_kernel_grad", c.note, inputs, [=](const Values& in) {
      const Value image = conv2d(in[0], in[1], options), pooled = max_pool2d(image);
      const Value index = Graph::of(pooled).value(pooled.node(), 1);
      const Value spread = max_pool2d_grad(index, square(pooled) * 0.0625f, image.shape());
      const auto joined = *join_conv2d_kernel_grad(in[0], spread, size, options, always);
      return apply_all(joined.op, joined.inputs);
    });
  }
}

void add_standardize(Samples& s) {
  Numbers& n = s.numbers;
  struct Case {
    Shape x;
    std::vector<int> axes;
  };
  for (const Case& c : std::vector<Case>{{{5, 6}, {1}},
                                         {{5, 6}, {0}},
                                         {{1, 3}, {-1}},
                                         {{3, 70}, {1}},
                                         {{2, 3, 4, 5}, {1, 2, 3}},
                                         {{2, 3, 4, 5}, {1}},
                                         {{2, 3, 4, 5}, {1, 3}},
                                         {{2, 3, 4, 5}, {0, 2}},
                                         {{2, 3, 40, 20}, {1, 3}},
                                         {{2, 3, 2, 300}, {1, 3}},
                                         {{2, 200, 3, 2}, {1, 3}},
                                         {{2, 2, 3, 2, 3}, {1, 3}}}) {
    s.add("standardize", fmt::format("{} along {}", c.x, fmt::join(c.axes, ",")), {n.any(c.x)},
          [axes = c.axes](const Values& in) { return standardize(in[0], axes, 0.25f); });
  }
  s.add("standardize", "between others", {n.any({4, 6}), n.any({6})},
        [](const Values& in) { return tanh(standardize(in[0] * in[1], {1}, 0.25f) * in[1]); });
}

void add_softmax(Samples& s) {
  Numbers& n = s.numbers;
  for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 4}, Shape{7}, Shape{2, 1}}) {
    for (int axis = -static_cast<int>(shape.rank()); axis < 0; ++axis) {
      const std::string note = fmt::format("{} axis {}", shape, axis);
      s.add("softmax", note, {n.any(shape)},
            [axis](const Values& in) { return softmax(in[0], axis); });
      s.add("log_softmax", note, {n.any(shape)},
            [axis](const Values& in) { return log_softmax(in[0], axis); });
      s.add("sparsemax", note, {n.any(shape)},
            [axis](const Values& in) { return sparsemax(in[0], axis); });
    }
  }
  s.add("softmax", "numbers far apart", {Tensor::of<float>({2, 3}, {0, 90, -90, 60, 61, 59})},
        [](const Values& in) { return softmax(in[0]); });
  s.add("sparsemax", "all kept, one kept, far from 0",
        {Tensor::of<float>({3, 3}, {0.1f, 0.3f, 0.2f, -5, 3, 1, 1000, 1000.25f, 998})},
        [](const Values& in) { return sparsemax(in[0]); });
  s.add("softmax_cross_entropy", "one-hot", {n.any({4, 5}), n.integers({4}, 5)},
        [](const Values& in) { return softmax_cross_entropy(in[0], one_hot(in[1], 5)); });
  s.add("softmax_cross_entropy", "any targets", {n.any({2, 3, 4}), n.between({2, 3, 4}, 0, 1)},
        [](const Values& in) { return softmax_cross_entropy(in[0], in[1]); });
  s.add("softmax_cross_entropy", "mean", {n.any({4, 10}), n.integers({4}, 10)},
        [](const Values& in) { return mean(softmax_cross_entropy(in[0], one_hot(in[1], 10))); });
}

void add_normalize(Samples& s) {
  Numbers& n = s.numbers;
  struct Case {
    std::string note;
    Shape x;
  };
  const std::vector<Case> cases{{"rows", {6, 5}},
                                {"one row", {1, 3}},
                                {"one channel", {4, 1}},
                                {"of 8 channels", {2, 3, 3, 8}},
                                {"of 19 channels", {3, 2, 3, 19}},
                                {"of 300 channels", {3, 300}},
                                {"more axes", {2, 2, 2, 2, 3}}};
  for (const Case& c : cases) {
    const Shape channels{c.x[-1]};
    s.add("batch_moments", c.note, {n.any(c.x)}, [](const Values& in) {
      const Moments m = batch_moments(in[0]);
      return Values{square(m.mean), square(m.variance)};
    });
    s.add("batch_norm", c.note,
          {n.any(c.x), n.any(channels), n.positive(channels), n.any(channels), n.any(channels)},
          [](const Values& in) { return batch_norm(in[0], in[1], in[2], in[3], in[4], 0.25f); });
    s.add("batch_norm", "by its own moments, " + c.note,
          {n.any(c.x), n.any(channels), n.any(channels)}, [](const Values& in) {
            const Moments m = batch_moments(in[0]);
            return batch_norm(in[0], m.mean, m.variance, in[1], in[2], 0.25f);
          });
  }
  // Alone, half a batch is not all of it: what its moments say of the other half is not there.
  s.add("batch_moments", "of half a batch", {n.any({3, 4})}, [](const Values& in) {
     const Moments m = batch_moments(in[0], 0.5f);
     return Values{m.mean, m.variance};
   }).differences = false;
  s.add("batch_norm", "then relu", {n.any({3, 4, 4, 16}), n.positive({16}), n.any({16})},
        [](const Values& in) {
          const Moments m = batch_moments(in[0]);
          return relu(batch_norm(in[0], m.mean, m.variance, in[1], in[2], 0.25f)) * 2.0f;
        });
  for (const std::int64_t groups : {1, 2}) {
    s.add("batch_norm", fmt::format("behind a convolution of {} groups, with a bias", groups),
          {n.any({2, 4, 4, 16}), n.any({3, 3, 16 / groups, 16}), n.any({16}), n.any({16}),
           n.positive({16}), n.any({16}), n.any({16})},
          [groups](const Values& in) {
            const Value y = conv2d(in[0], in[1] * 0.125f, {.groups = groups}) + in[2];
            return tanh(batch_norm(y, in[3], in[4], in[5], in[6]));
          });
  }
  s.add("batch_norm", "behind 24 channels, which fill a block and a half",
        {n.any({2, 4, 4, 16}), n.between({3, 3, 16, 24}, -0.25f, 0.25f), n.positive({24}),
         n.any({24}), n.between({3, 3, 24, 16}, -0.25f, 0.25f)},
        [](const Values& in) {
          const Conv2dOptions same{.padding = {1, 1, 1, 1}};
          const Value x = conv2d(in[0], in[1], same);
          const Moments m = batch_moments(x);
          // What this makes of the zeros that fill up the second block must not reach the next.
          const Value y = batch_norm(x, m.mean, m.variance, in[2], in[3], 0.25f);
          return conv2d(reciprocal(2.0f + square(y)), in[4], same) * 0.0625f;
        });
  s.add("batch_norm", "between convolutions, with a residual",
        {n.any({2, 4, 4, 16}), n.between({3, 3, 16, 16}, -0.25f, 0.25f),
         n.between({3, 3, 16, 16}, -0.25f, 0.25f), n.positive({16}), n.any({16})},
        [](const Values& in) {
          const Conv2dOptions same{.padding = {1, 1, 1, 1}};
          const auto normalized = [&](Value x) {
            const Moments m = batch_moments(x);
            return batch_norm(x, m.mean, m.variance, in[3], in[4], 0.25f);
          };
          const Value h = tanh(normalized(conv2d(in[0], in[1], same)));
          return tanh(normalized(conv2d(h, in[2], same)) + in[0]) * 0.25f;
        });
}

void add_shared(Samples& s) {
  Numbers& n = s.numbers;
  s.add("sum_of_squares", "", {n.any({2, 3})},
        [](const Values& in) { return sum_of_squares(in[0]); });
  s.add("sum_of_squares", "scalar", {n.any({})},
        [](const Values& in) { return sum_of_squares(in[0]); });
  s.add("sum_of_squares", "long", {n.any({3, 100})},
        [](const Values& in) { return sum_of_squares(in[0]); });
}

void add_upsample2d(Samples& s) {
  Numbers& n = s.numbers;
  struct Case {
    std::string note;
    Shape small;
    std::array<std::int64_t, 2> size;
  };
  const std::vector<Case> cases{{"2x2", {2, 3, 2, 3}, {2, 2}},
                                {"1x3, 16 channels", {2, 2, 3, 16}, {1, 3}},
                                {"3x1, one channel", {1, 2, 3, 1}, {3, 1}},
                                {"1x2, one channel", {2, 1, 20, 1}, {1, 2}},
                                {"2x5, one channel", {1, 2, 3, 1}, {2, 5}},
                                {"by nothing", {1, 2, 3, 4}, {1, 1}}};
  for (const Case& c : cases) {
    const auto size = c.size;
    const Shape large{c.small[0], c.small[1] * size[0], c.small[2] * size[1], c.small[3]};
    s.add("upsample2d", c.note, {n.any(c.small)},
          [=](const Values& in) { return square(upsample2d(in[0], size)); });
    s.add("sum_pool2d", c.note, {n.any(large)},
          [=](const Values& in) { return square(sum_pool2d(in[0], size)); });
  }
  s.add("upsample2d", "between convolutions, and transposed",
        {n.any({2, 3, 3, 20}), n.between({3, 3, 20, 20}, -0.25f, 0.25f)}, [](const Values& in) {
          const Conv2dOptions same{.padding = {1, 1, 1, 1}};
          const Value h = tanh(conv2d(in[0], in[1], same));
          const Value large = conv2d(upsample2d(h, {2, 2}), in[1], same);
          const Value turned = upsample2d(transpose(h, {0, 2, 1, 3}), {1, 2});
          return Values{tanh(large) * 0.25f, sum_pool2d(transpose(turned, {0, 2, 1, 3}), {2, 3})};
        });
}

}  // namespace

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = [] {
    Samples s;
    add_unary(s);
    add_binary(s);
    add_reduce(s);
    add_movement(s);
    add_choices(s);
    add_matmul(s);
    add_conv2d(s);
    add_pool2d(s);
    add_conv2d_pool(s);
    add_normalize(s);
    add_standardize(s);
    add_softmax(s);
    add_shared(s);
    add_upsample2d(s);
    return std::move(s.all);
  }();
  return all;
}

}  // namespace weft
