// autodiff/: gradients by hand, at ties and edges, of any order; and every error.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_map>

#include "autodiff/check_gradients.hpp"
#include "autodiff/gradients.hpp"
#include "autodiff/higher.hpp"
#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "ops/ops.hpp"
#include "toy_ops.hpp"

namespace weft {
namespace {

using Numbers = std::vector<double>;
using Arrays = std::unordered_map<std::string, Array>;

const Type scalar{DType::f32, {}};

Type f32(const Shape& shape) { return {DType::f32, shape}; }
Array vec(Numbers numbers) {
  const Shape shape{static_cast<std::int64_t>(numbers.size())};
  return Array(shape, std::move(numbers));
}
Numbers numbers_of(Value value, const Arrays& feeds) { return evaluate({value}, feeds)[0].data; }

/// The gradient of sum(f(x)) at some numbers.
template <class F>
Numbers slope(F f, Numbers at) {
  Graph graph;
  const Value x = graph.input(f32({static_cast<std::int64_t>(at.size())}), "x");
  const Value gradient = gradients(sum(f(x)), {x})[0];
  CHECK(gradient.type() == x.type());
  return numbers_of(gradient, {{"x", vec(std::move(at))}});
}

/// An op without derivative: the nearest integer below, as an integer.
struct Level {
  static constexpr Traits traits{.differentiable = false};
  static std::string_view name() { return "level"; }
  friend bool operator==(const Level&, const Level&) = default;
  std::vector<Type> infer(std::span<const Type> inputs) const {
    return {Type{DType::s32, inputs[0].shape}};
  }
  std::vector<Array> evaluate(std::span<const Array> inputs) const {
    Array y = inputs[0];
    for (double& number : y.data) number = std::floor(number);
    return {y};
  }
};

/// x, with a derivative rule that is wrong in a way of one's choice.
struct Wrong {
  enum Way { count, shape, dtype } way = count;
  static std::string_view name() { return "wrong"; }
  friend bool operator==(const Wrong&, const Wrong&) = default;
  std::vector<Type> infer(std::span<const Type> inputs) const { return {inputs[0]}; }
  std::vector<Array> evaluate(std::span<const Array> inputs) const { return {inputs[0]}; }
  std::vector<Value> vjp(const VjpArgs& args) const {
    if (way == count) return {args.cotangents[0], args.cotangents[0]};
    if (way == shape) return {sum(args.cotangents[0])};
    return {cast(args.cotangents[0], DType::bf16)};
  }
};

/// A whole op in a few lines: x^3.
struct Cube {
  static std::string_view name() { return "cube"; }
  friend bool operator==(const Cube&, const Cube&) = default;
  std::vector<Type> infer(std::span<const Type> inputs) const { return {inputs[0]}; }
  std::vector<Array> evaluate(std::span<const Array> inputs) const {
    Array y = inputs[0];
    for (double& number : y.data) number = number * number * number;
    return {y};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {args.cotangents[0] * 3.0f * square(args.inputs[0])};
  }
};

/// a * b as a decomposition only; differentiation goes through it.
struct Product {
  static std::string_view name() { return "product"; }
  friend bool operator==(const Product&, const Product&) = default;
  std::vector<Type> infer(std::span<const Type> inputs) const { return {inputs[0]}; }
  std::vector<Value> decompose(std::span<const Value> inputs) const {
    return {inputs[0] * inputs[1]};
  }
};

}  // namespace

TEST_CASE("gradients: by hand") {
  Graph graph;
  const Value x = graph.input(f32({2}), "x"), w = graph.input(f32({3, 2}), "w");
  const Value b = graph.input(scalar, "b");
  const Value y = sum(w * x + b);
  const std::vector<Value> g = gradients(y, {x, w, b});
  const Arrays feeds{
      {"x", vec({2, 5})}, {"w", Array({3, 2}, {1, 2, 3, 4, 5, 6})}, {"b", Array({}, {7})}};
  CHECK(numbers_of(g[0], feeds) == Numbers{9, 12});  // broadcasting is undone by summing
  CHECK(numbers_of(g[1], feeds) == Numbers{2, 5, 2, 5, 2, 5});
  CHECK(numbers_of(g[2], feeds) == Numbers{6});
  CHECK(g[0].type() == x.type());
  CHECK(g[1].type() == w.type());
  CHECK(g[2].type() == b.type());
}

TEST_CASE("gradients: a value used twice gets both cotangents") {
  CHECK(slope([](Value x) { return x * x + x * 3.0f; }, {2, -1}) == Numbers{7, 1});
  CHECK(slope([](Value x) { return apply(Product{}, {x, x}); }, {2, -1}) == Numbers{4, -2});
}

TEST_CASE("gradients: y itself, inner values, the same wrt twice") {
  Graph graph;
  const Value x = graph.input(f32({1, 1}), "x");
  const Value h = square(x), y = h * x;
  const std::vector<Value> g = gradients(y, {y, h, x, x});
  const Arrays feeds{{"x", Array({1, 1}, {3})}};
  CHECK(numbers_of(g[0], feeds) == Numbers{1});
  CHECK(numbers_of(g[1], feeds) == Numbers{3});
  CHECK(numbers_of(g[2], feeds) == Numbers{27});
  CHECK(numbers_of(g[3], feeds) == Numbers{27});
  CHECK(gradients(y, {}).empty());
}

TEST_CASE("gradients: zeros where y does not depend on wrt") {
  Graph graph;
  const Value x = graph.input(f32({2}), "x"), other = graph.input(f32({3, 2}), "other");
  const Value half = graph.input({DType::bf16, {2}}, "half");
  const std::vector<Value> g = gradients(sum(x), {other, half, sum(x)});
  CHECK(g[0].type() == other.type());
  CHECK(g[1].type() == half.type());
  CHECK(numbers_of(g[0], {}) == Numbers(6, 0.0));
  CHECK(numbers_of(g[2], {}) == Numbers{0});  // another node, though the same number
}

TEST_CASE("gradients: several ys with seeds, an empty seed is zero") {
  Graph graph;
  const Value x = graph.input(f32({2}), "x");
  const Value a = square(x), b = x * 5.0f;
  const Value s = graph.constant(Tensor::of<float>({2}, {1, 10}));
  const Arrays feeds{{"x", vec({3, 4})}};
  CHECK(numbers_of(gradients({a, b}, {x}, {s, s})[0], feeds) == Numbers{11, 130});
  CHECK(numbers_of(gradients({a, b}, {x}, {Value(), s})[0], feeds) == Numbers{5, 50});
  CHECK(numbers_of(gradients({a, a}, {x}, {s, s})[0], feeds) == Numbers{12, 160});
  CHECK(numbers_of(gradients({a, b}, {x}, {Value(), Value()})[0], feeds) == Numbers{0, 0});
}

TEST_CASE("gradients: any order") {
  Graph graph;
  const Value x = graph.input(scalar, "x");
  const Value y = pow(x, 4.0f) - x * square(x) * 2.0f;  // x^4 - 2 x^3
  const Value first = gradients(y, {x})[0];
  const Value second = gradients(first, {x})[0];
  const Value third = gradients(second, {x})[0];
  const Arrays feeds{{"x", Array({}, {3})}};
  CHECK(numbers_of(first, feeds)[0] == doctest::Approx(4 * 27 - 6 * 9));
  CHECK(numbers_of(second, feeds)[0] == doctest::Approx(12 * 9 - 12 * 3));
  CHECK(numbers_of(third, feeds)[0] == doctest::Approx(24 * 3 - 12));
}

TEST_CASE("gradients: ops with several outputs, and ops that only decompose") {
  Graph graph;
  const Value x = graph.input(f32({2}), "x");
  const std::vector<Value> fork = apply_all(toy::Fork{}, {x});  // x, 3 x
  const Arrays feeds{{"x", vec({2, 5})}};
  CHECK(numbers_of(gradients(sum(fork[0] * fork[1]), {x})[0], feeds) == Numbers{12, 30});
  CHECK(numbers_of(gradients(sum(fork[1]), {x})[0], feeds) == Numbers{3, 3});
}

TEST_CASE("gradients: an op of one's own") {
  CHECK(slope([](Value x) { return apply(Cube{}, {x}); }, {2, -1}) == Numbers{12, 3});
  const auto cube = [](const std::vector<Value>& in) { return apply(Cube{}, {in[0]}); };
  CHECK(check_gradients(cube, {Tensor::of<float>({2}, {2, -1})}).comparisons == 2);
}

TEST_CASE("gradients: ties and edges, as the headers say") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(slope([](Value x) { return relu(x); }, {-1, 0, 1}) == Numbers{0, 0, 1});
  CHECK(slope([](Value x) { return abs(x); }, {-1, 0, 1}) == Numbers{-1, 0, 1});
  CHECK(slope([](Value x) { return sqrt(x); }, {0, 4}) == Numbers{infinity, 0.25});
  CHECK(slope([](Value x) { return clip(x, -1, 1); }, {-2, -1, 0, 1, 2}) == Numbers{0, 0, 1, 0, 0});
  CHECK(slope([](Value x) { return sign(x) + floor(x) + round(x); }, {-0.3, 1.7}) == Numbers{0, 0});
  CHECK(slope([](Value x) { return greater(x, 0.5f) + equal(x, 1.0f); }, {0, 1}) == Numbers{0, 0});
  CHECK(slope([](Value x) { return max(x); }, {3, 1, 3, 2}) == Numbers{0.5, 0, 0.5, 0});
  CHECK(slope([](Value x) { return min(x); }, {3, 1, 1, 1}) ==
        Numbers{0, 1.0 / 3, 1.0 / 3, 1.0 / 3});
  CHECK(slope([](Value x) { return maximum(x, 2.0f); }, {1, 2, 3}) == Numbers{0, 0.5, 1});
  CHECK(slope([](Value x) { return minimum(x, 2.0f); }, {1, 2, 3}) == Numbers{1, 0.5, 0});
  CHECK(slope([](Value x) { return maximum(x, x); }, {1, 2}) == Numbers{1, 1});
  CHECK(slope([](Value x) { return pow(x, 2.0f); }, {0, -3}) == Numbers{0, -6});
  CHECK(slope([](Value x) { return pow(x, 0.0f); }, {0, 2}) == Numbers{0, 0});
  CHECK(slope([](Value x) { return pow(scalar_like(x, 0.0f), x); }, {2, 3}) == Numbers{0, 0});
  CHECK(slope([](Value x) { return stop_gradient(x) * x; }, {2, 3}) == Numbers{2, 3});
}

TEST_CASE("gradients: max_pool2d sends a tie to the first of the window") {
  Graph graph;
  const Value x = graph.input(f32({1, 2, 2, 1}), "x");
  const Value g = gradients(sum(max_pool2d(x)), {x})[0];
  CHECK(numbers_of(g, {{"x", Array({1, 2, 2, 1}, {1, 5, 5, 5})}}) == Numbers{0, 1, 0, 0});
}

TEST_CASE("gradients: a path without derivative is an error that names it") {
  Graph graph;
  const Value table = graph.variable(f32({4, 2}), "embed/table"), x = graph.input(f32({2, 3}), "x");
  const Value level = apply(Level{}, {x});
  const Value y = sum(cast(level, DType::f32)).named("loss");
  CHECK_THROWS_WITH_AS(gradients(y, {x}),
                       "gradients: no gradient flows from \"loss\" to \"x\": the path goes through "
                       "level (node 2), which has no derivative; see stop_gradient",
                       GradientError);
  // Through integers, where no cotangent could say so.
  const Value chosen = sum(gather(table, level, 0));
  CHECK_THROWS_WITH_AS(gradients({y, chosen}, {table, x}, {Value(), scalar_like(y, 1)}),
                       doctest::Contains("to \"x\": the path goes through level (node 2), which"),
                       GradientError);
  CHECK_NOTHROW(gradients(chosen, {table}));
  CHECK_THROWS_AS(gradients(sum(gather(table, argmax(x), 0)), {x}), GradientError);
  // What stop_gradient gives is a constant, whatever comes after it.
  const Value stopped = gather(table, argmax(stop_gradient(x)), 0);
  CHECK(numbers_of(gradients(sum(stopped), {x})[0], {}) == Numbers(6, 0.0));
  const Value cut = stop_gradient(cast(level, DType::f32));
  CHECK(numbers_of(gradients(sum(cut + x), {x})[0], {}) == Numbers(6, 1.0));
}

TEST_CASE("gradients: errors in the call") {
  Graph graph, other;
  const Value x = graph.input(f32({2}), "x"), i = graph.input({DType::s32, {}}, "i");
  const Value far = other.input(f32({2}), "far");
  const Value y = sum(x), one = scalar_like(y, 1);
  CHECK_THROWS_WITH_AS(gradients(x, {x}),
                       "gradients: y must have one element, \"x\" is f32[2]; reduce it with sum or "
                       "mean, or give seeds",
                       ShapeError);
  CHECK_THROWS_WITH_AS(gradients(i, {x}), "gradients: y must be floating, \"i\" is s32[]",
                       TypeError);
  CHECK_THROWS_WITH_AS(gradients(y, {i}), "gradients: wrt must be floating, \"i\" is s32[]",
                       TypeError);
  CHECK_THROWS_WITH_AS(gradients({i}, {x}, {i}), "gradients: y must be floating, \"i\" is s32[]",
                       TypeError);
  CHECK_THROWS_WITH_AS(gradients(Value(), {x}), "gradients: y is an empty Value", Error);
  CHECK_THROWS_WITH_AS(gradients(y, {far}), "gradients: y and wrt must be values of one graph",
                       Error);
  CHECK_THROWS_WITH_AS(gradients({y, far}, {x}, {one, Value()}),
                       "gradients: y and wrt must be values of one graph", Error);
  CHECK_THROWS_WITH_AS(gradients({y}, {x}, {one, one}),
                       "gradients: 1 ys need as many seeds, 2 were given", Error);
  CHECK_THROWS_WITH_AS(gradients({}, {x}, {}), "gradients: there is no y to differentiate", Error);
  CHECK_THROWS_WITH_AS(gradients({y}, {x}, {x}), "gradients: seed 0 is f32[2], its y is f32[]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(gradients({y}, {x}, {i}), "gradients: seed 0 is s32[], its y is f32[]",
                       TypeError);
  CHECK_THROWS_WITH_AS(gradients({y}, {x}, {sum(far)}),
                       "gradients: seed 0 must be a value of y's graph", Error);
}

TEST_CASE("gradients: errors in a rule name its op") {
  Graph graph;
  const Value x = graph.input(f32({2}), "x");
  const auto attempt = [&](Wrong::Way way) { gradients(sum(apply(Wrong{way}, {x})), {x}); };
  CHECK_THROWS_WITH_AS(attempt(Wrong::count),
                       "gradients: the vjp of wrong gives 2 cotangents for 1 inputs",
                       GradientError);
  CHECK_THROWS_WITH_AS(attempt(Wrong::shape),
                       "gradients: the vjp of wrong gives f32[] for input 0, which is f32[2]",
                       GradientError);
  CHECK_THROWS_WITH_AS(attempt(Wrong::dtype),
                       "gradients: the vjp of wrong gives bf16[2] for input 0, which is f32[2]",
                       GradientError);
}

TEST_CASE("gradients: a chain of 10000 nodes takes a moment and no stack") {
  Graph graph;
  const Value x = graph.input(f32({2}), "x");
  Value y = x;
  for (int i = 0; i < 2500; ++i) {
    y = apply(toy::Scale{i % 2 == 0 ? 2.0f : 0.5f}, {y});
    y = apply(toy::Plus{}, {y, x});
    y = apply(Product{}, {y, y});
    y = sigmoid(y);
  }
  const std::size_t before = graph.size();
  const auto begin = std::chrono::steady_clock::now();
  const Value g = gradients(sum(y), {x})[0];
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  CHECK(g.type() == x.type());
  CHECK(graph.size() < 5 * before);  // each node's vjp once, however many ways lead there
  WARN(took.count() < 1.0);
}

TEST_CASE("jvp, hvp and jacobian") {
  Graph graph;
  const Value x = graph.input(f32({2}), "x"), w = graph.input(f32({2}), "w");
  const Arrays feeds{{"x", vec({3, 5})}, {"w", vec({2, -1})}};
  const Value y = x * x * w;
  const Value tangent = graph.constant(Tensor::of<float>({2}, {1, 10}));

  const std::vector<Value> along = jvp({y, sum(w)}, {x, w}, {tangent, Value()});
  CHECK(along[0].type() == y.type());
  CHECK(numbers_of(along[0], feeds) == Numbers{12, -100});  // 2 x w dx
  CHECK(numbers_of(along[1], feeds) == Numbers{0});
  CHECK(numbers_of(jvp({y}, {x, w}, {Value(), tangent})[0], feeds) == Numbers{9, 250});
  CHECK_THROWS_WITH_AS(jvp({y}, {x, w}, {tangent}),
                       "jvp: 2 wrt need as many tangents, 1 were given", Error);

  const std::vector<Value> curved = hvp(sum(y), {x, w}, {tangent, Value()});
  CHECK(numbers_of(curved[0], feeds) == Numbers{4, -20});  // 2 w v
  CHECK(numbers_of(curved[1], feeds) == Numbers{6, 100});  // 2 x v

  const Value m = graph.input(f32({2, 3}), "m");
  const Value rows = jacobian(square(sum(m, {1})), m);
  CHECK(rows.shape() == Shape{2, 2, 3});
  CHECK(numbers_of(rows, {{"m", Array({2, 3}, {1, 2, 3, 4, 5, 6})}}) ==
        Numbers{12, 12, 12, 0, 0, 0, 0, 0, 0, 30, 30, 30});
  CHECK(jacobian(sum(x), x).shape() == Shape{2});
  CHECK_THROWS_WITH_AS(jacobian(graph.input(f32({0}), "none"), x),
                       "jacobian: y is f32[0], which has no elements", ShapeError);
}

TEST_CASE("check_gradients: accepts what is right, refuses what is wrong") {
  const Tensor x = Tensor::of<float>({2, 2}, {0.3f, -0.7f, 1.1f, 2.5f});
  const auto right = [](const std::vector<Value>& in) { return tanh(in[0] * in[1]); };
  const CheckReport report = check_gradients(right, {x, Tensor::scalar(0.5f)});
  CHECK(report.comparisons == 4);
  CHECK(report.largest_error < 1e-7);
  CHECK(check_gradients(right, {x, x}, {.order = 1}).comparisons == 2);
  CHECK(check_gradients(right, {x, x}, {.order = 3}).comparisons == 6);

  // A factor of 3 where 2 would be right: off in the first order; in the second with it.
  struct Square {
    static std::string_view name() { return "square"; }
    bool operator==(const Square&) const = default;
    std::vector<Type> infer(std::span<const Type> inputs) const { return {inputs[0]}; }
    std::vector<Array> evaluate(std::span<const Array> inputs) const {
      Array y = inputs[0];
      for (double& number : y.data) number *= number;
      return {y};
    }
    std::vector<Value> vjp(const VjpArgs& args) const {
      return {args.cotangents[0] * args.inputs[0] * 3.0f};
    }
  };
  const auto wrong = [](const std::vector<Value>& in) { return apply(Square{}, {in[1]}); };
  CHECK_THROWS_WITH_AS(
      check_gradients(wrong, {x, x}),
      doctest::Contains("check_gradients: order 1, input 1 (f32[2,2]): along a random direction"),
      GradientError);

  // Right, but what it is made of hides its dependence on x: wrong in the second order only.
  const auto hidden = [](const std::vector<Value>& in) {
    const Value fixed = stop_gradient(in[0]);
    return square(in[0]) * fixed / stop_gradient(in[0]);
  };
  CHECK_NOTHROW(check_gradients(hidden, {x}, {.order = 2}));
  const auto twofold = [](const std::vector<Value>& in) {
    return std::vector<Value>{square(in[0]), argmax(in[0]), in[0] + in[1]};
  };
  CHECK(check_gradients(twofold, {x, x}).comparisons == 4);

  const Tensor whole = Tensor::of<std::int32_t>({2}, {1, 0});
  const auto rows = [](const std::vector<Value>& in) { return gather(in[0], in[1], 0); };
  CHECK(check_gradients(rows, {x, whole}).comparisons == 2);
  CHECK_THROWS_WITH_AS(check_gradients(rows, {whole, whole}),
                       "check_gradients: none of 2 inputs is f32", TypeError);
  CHECK_THROWS_WITH_AS(
      check_gradients([](const std::vector<Value>& in) { return argmax(in[0]); }, {x}),
      "check_gradients: the function has no floating output", TypeError);
  CHECK_THROWS_WITH_AS(check_gradients(right, {x, x}, {.order = 0}),
                       "check_gradients: order must be 1 or more, not 0", ArgumentError);
  CHECK_THROWS_WITH_AS(check_gradients(right, {x, x}, {.step = 0}),
                       "check_gradients: step must be positive, not 0", ArgumentError);
}

}  // namespace weft
