// The ops that move, pick and draw numbers: results worked out by hand, simplifications, and
// errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <unordered_map>

#include "autodiff/gradients.hpp"
#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/cast.hpp"
#include "ops/concat.hpp"
#include "ops/control.hpp"
#include "ops/gather.hpp"
#include "ops/random.hpp"
#include "ops/reduce.hpp"
#include "ops/reshape.hpp"
#include "ops/select.hpp"
#include "ops/slice.hpp"
#include "ops/transpose.hpp"
#include "runtime/compile.hpp"

namespace weft {
namespace {

using Numbers = std::vector<double>;

Value f32(Graph& graph, const Shape& shape, const std::string& name = "x") {
  return graph.input({DType::f32, shape}, name);
}
Value s32(Graph& graph, const Shape& shape, const std::string& name = "i") {
  return graph.input({DType::s32, shape}, name);
}
/// 0, 1, 2, ... as a constant.
Value counting(Graph& graph, const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0.0f);
  return graph.constant(Tensor::of<float>(shape, values));
}
Value integers(Graph& graph, const Shape& shape, std::initializer_list<std::int32_t> values) {
  return graph.constant(Tensor::of<std::int32_t>(shape, values));
}
Value floats(Graph& graph, std::initializer_list<float> values) {
  return graph.constant(Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values));
}
Numbers numbers_of(Value value) { return evaluate({value}, {})[0].data; }

/// The gradient of sum(y * weights) with respect to x, where the weights are 1, 2, 3, ...
Numbers weighted_gradient(Value y, Value x) {
  std::vector<float> weights(static_cast<std::size_t>(y.shape().elements()));
  std::iota(weights.begin(), weights.end(), 1.0f);
  const Value seed = Graph::of(y).constant(Tensor::of<float>(y.shape(), weights));
  const Value dx = gradients({y}, {x}, {seed})[0];
  CHECK(dx.type() == x.type());
  return numbers_of(dx);
}

/// What the op of a value simplifies to; an empty Value if nothing.
Value simplified(Value value) {
  const auto simpler = value.op().simplify(value.inputs());
  return simpler ? simpler->at(0) : Value{};
}

}  // namespace

// ---- reshape and flatten

TEST_CASE("reshape: the same elements in row-major order") {
  Graph graph;
  const Value x = counting(graph, {2, 3});
  const Value y = reshape(x, {3, 2});
  CHECK(y.type() == Type{DType::f32, {3, 2}});
  CHECK(numbers_of(y) == Numbers{0, 1, 2, 3, 4, 5});
  CHECK(reshape(graph.constant(1.0f), {1, 1}).shape() == Shape{1, 1});
  CHECK(flatten(counting(graph, {2, 3, 4})).shape() == Shape{2, 12});
  CHECK(flatten(counting(graph, {5})).shape() == Shape{5, 1});
  CHECK(flatten(counting(graph, {0, 3, 2})).shape() == Shape{0, 6});
  CHECK(weighted_gradient(y, x) == Numbers{1, 2, 3, 4, 5, 6});
}

TEST_CASE("reshape: of a reshape is one, to the same shape is none") {
  Graph graph;
  const Value x = counting(graph, {2, 3});
  CHECK(simplified(reshape(x, {2, 3})) == x);
  const Value twice = simplified(reshape(reshape(x, {6}), {3, 2}));
  CHECK(twice.inputs()[0] == x);
  CHECK(twice.shape() == Shape{3, 2});
  CHECK_FALSE(simplified(reshape(x, {6})));
}

TEST_CASE("reshape, flatten: errors") {
  Graph graph;
  CHECK_THROWS_WITH_AS(reshape(f32(graph, {8, 3, 4}), {8, 13}),
                       "reshape: cannot turn f32[8,3,4] (96 elements) into [8,13] (104 elements)",
                       ShapeError);
  CHECK_THROWS_WITH_AS(flatten(graph.constant(1.0f)),
                       "flatten: f32[] has no axes; the first one is kept, so there must be one",
                       ShapeError);
}

// ---- transpose

TEST_CASE("transpose: axes reversed, or in the order given") {
  Graph graph;
  const Value x = counting(graph, {2, 3});
  CHECK(transpose(x).shape() == Shape{3, 2});
  CHECK(numbers_of(transpose(x)) == Numbers{0, 3, 1, 4, 2, 5});
  const Value cube = counting(graph, {2, 2, 3});
  const Value swapped = transpose(cube, {0, -1, 1});
  CHECK(swapped.shape() == Shape{2, 3, 2});
  CHECK(numbers_of(swapped) == Numbers{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11});
  const Value turned = transpose(cube, {2, 0, 1});
  CHECK(turned.shape() == Shape{3, 2, 2});
  CHECK(numbers_of(turned) == Numbers{0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11});
  CHECK(weighted_gradient(turned, cube) == Numbers{1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12});
  CHECK(transpose(graph.constant(1.0f)).shape() == Shape{});
}

TEST_CASE("transpose: two are one, and none where they cancel") {
  Graph graph;
  const Value x = counting(graph, {2, 3, 4});
  CHECK(simplified(transpose(x, {0, 1, 2})) == x);
  const Value once = simplified(transpose(transpose(x, {1, 2, 0}), {2, 0, 1}));
  CHECK(simplified(once) == x);
  const Value twice = transpose(transpose(x, {1, 2, 0}), {1, 0, 2});
  CHECK(simplified(twice).type() == twice.type());
  CHECK(numbers_of(simplified(twice)) == numbers_of(twice));
}

TEST_CASE("transpose: errors") {
  Graph graph;
  const Value x = f32(graph, {2, 3});
  CHECK_THROWS_WITH_AS(transpose(x, {0, 0}),
                       "transpose: permutation [0,0] must name each of the 2 axes of f32[2,3] once",
                       ShapeError);
  CHECK_THROWS_WITH_AS(transpose(x, {0}),
                       "transpose: permutation [0] must name each of the 2 axes of f32[2,3] once",
                       ShapeError);
  CHECK_THROWS_WITH_AS(transpose(x, {0, 2}),
                       "transpose: axis 2 is outside a shape of rank 2: [2,3]", ShapeError);
}

// ---- slice and pad

TEST_CASE("slice: ranges with steps, from either end") {
  Graph graph;
  const Value x = counting(graph, {3, 5});
  CHECK(slice(x, {1, 1}, {3, 4}).shape() == Shape{2, 3});
  CHECK(numbers_of(slice(x, {1, 1}, {3, 4})) == Numbers{6, 7, 8, 11, 12, 13});
  CHECK(numbers_of(slice(x, {-1, -2}, {to_end, to_end})) == Numbers{13, 14});
  CHECK(numbers_of(slice(x, {0, 0}, {-2, -3})) == Numbers{0, 1});
  CHECK(numbers_of(slice(x, {0, 1}, {3, 5}, {2, 3})) == Numbers{1, 4, 11, 14});
  CHECK(slice(x, {0, 0}, {3, 5}, {2, 2}).shape() == Shape{2, 3});
  CHECK(slice(x, {1, 2}, {1, 4}).shape() == Shape{0, 2});
  CHECK(slice(s32(graph, {4}), {1}, {3}).type() == Type{DType::s32, {2}});
}

TEST_CASE("slice: its adjoint puts zeros everywhere else") {
  Graph graph;
  const Value x = counting(graph, {2, 5});
  CHECK(weighted_gradient(slice(x, {0, 1}, {2, 5}, {1, 2}), x) ==
        Numbers{0, 1, 0, 2, 0, 0, 3, 0, 4, 0});
  CHECK(weighted_gradient(slice(x, {1, 0}, {2, 2}), x) == Numbers{0, 0, 0, 0, 0, 1, 2, 0, 0, 0});
  CHECK(weighted_gradient(slice(x, {1, 2}, {1, 4}), x) == Numbers(10, 0));
}

TEST_CASE("pad: elements around") {
  Graph graph;
  const Value x = counting(graph, {2, 2});
  const Value y = pad(x, {1, 0}, {0, 2}, 9);
  CHECK(y.shape() == Shape{3, 4});
  CHECK(numbers_of(y) == Numbers{9, 9, 9, 9, 0, 1, 9, 9, 2, 3, 9, 9});
  CHECK(numbers_of(pad(x, {0, 1}, {0, 0})) == Numbers{0, 0, 1, 0, 2, 3});
  CHECK(weighted_gradient(y, x) == Numbers{5, 6, 9, 10});
}

TEST_CASE("slice, pad: of everything and by nothing they are x") {
  Graph graph;
  const Value x = counting(graph, {2, 3});
  CHECK(simplified(slice(x, {0, 0}, {2, 3})) == x);
  CHECK(simplified(pad(x, {0, 0}, {0, 0}, 1)) == x);
  CHECK_FALSE(simplified(slice(x, {0, 1}, {2, 3})));
  CHECK_FALSE(simplified(pad(x, {0, 1}, {0, 0})));
}

TEST_CASE("slice, pad: errors") {
  Graph graph;
  const Value x = f32(graph, {2, 3});
  CHECK_THROWS_WITH_AS(slice(x, {0}, {2, 3}),
                       "slice: begin [0] has 1 entries, but f32[2,3] has 2 axes", ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, {0, 0}, {2, 3, 4}),
                       "slice: end [2,3,4] has 3 entries, but f32[2,3] has 2 axes", ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, {0, 0}, {2, 3}, {1}),
                       "slice: step [1] has 1 entries, but f32[2,3] has 2 axes", ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, {0, 0}, {2, 3}, {1, 0}),
                       "slice: step 0 along axis 1 of f32[2,3] must be at least 1", ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, {0, 1}, {2, 4}),
                       "slice: 1 to 4 is not within axis 1 of f32[2,3], which has 3 elements",
                       ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, {-3, 0}, {2, 3}),
                       "slice: -3 to 2 is not within axis 0 of f32[2,3], which has 2 elements",
                       ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, {0, 2}, {2, 1}),
                       "slice: 2 to 1 is not within axis 1 of f32[2,3], which has 3 elements",
                       ShapeError);
  CHECK_THROWS_WITH_AS(pad(x, {0}, {0, 0}),
                       "pad: before [0] has 1 entries, but f32[2,3] has 2 axes", ShapeError);
  CHECK_THROWS_WITH_AS(
      pad(x, {0, 0}, {0, -1}),
      "pad: after [0,-1] of f32[2,3] must not be negative; slice takes elements away", ShapeError);
}

// ---- concat and split

TEST_CASE("concat: parts behind one another, split takes them apart again") {
  Graph graph;
  const Value a = counting(graph, {2, 2}), b = counting(graph, {2, 1});
  const Value wide = concat({a, b, a}, -1);
  CHECK(wide.shape() == Shape{2, 5});
  CHECK(numbers_of(wide) == Numbers{0, 1, 0, 0, 1, 2, 3, 1, 2, 3});
  const Value tall = concat({a, counting(graph, {1, 2})}, 0);
  CHECK(tall.shape() == Shape{3, 2});
  CHECK(numbers_of(tall) == Numbers{0, 1, 2, 3, 0, 1});
  const auto parts = split(wide, {2, 1, 2}, 1);
  REQUIRE(parts.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(numbers_of(parts[i]) == numbers_of(i == 1 ? b : a));
  CHECK(split(a, {0, 2}, 0)[0].shape() == Shape{0, 2});
  CHECK(weighted_gradient(wide, b) == Numbers{3, 8});
  CHECK(weighted_gradient(wide, a) == Numbers{1 + 4, 2 + 5, 6 + 9, 7 + 10});
  CHECK(weighted_gradient(parts[1], wide) == Numbers{0, 0, 1, 0, 0, 0, 0, 2, 0, 0});
  CHECK(simplified(concat({a}, 0)) == a);
}

TEST_CASE("concat, split: errors") {
  Graph graph;
  const Value x = f32(graph, {2, 3});
  CHECK_THROWS_WITH_AS(concat({}, 0), "concat: there must be at least one part", ShapeError);
  CHECK_THROWS_WITH_AS(concat({x}, 2), "concat: axis 2 is outside a shape of rank 2: [2,3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(
      concat({x, f32(graph, {3, 2})}, 0),
      "concat: parts must have equal sizes but along axis 0, f32[2,3] and f32[3,2] differ",
      ShapeError);
  CHECK_THROWS_WITH_AS(
      concat({x, f32(graph, {2})}, 0),
      "concat: parts must have equal sizes but along axis 0, f32[2,3] and f32[2] differ",
      ShapeError);
  CHECK_THROWS_WITH_AS(
      concat({x, s32(graph, {2, 3})}, 0),
      "concat: parts must be of one dtype, f32[2,3] and s32[2,3] were given; see cast", TypeError);
  CHECK_THROWS_WITH_AS(split(x, {1, 1}, 1),
                       "split: sizes [1,1] must not be negative and must add up to the 3 elements "
                       "of axis 1 of f32[2,3]",
                       ShapeError);
  CHECK_THROWS_AS(split(x, {4, -1}, 1), ShapeError);
  CHECK_THROWS_WITH_AS(split(x, {3}, 2), "split: axis 2 is outside a shape of rank 2: [2,3]",
                       ShapeError);
}

// ---- gather, scatter_add and one_hot

TEST_CASE("gather: slices picked by index, as numpy.take") {
  Graph graph;
  const Value x = counting(graph, {3, 2});
  const Value rows = gather(x, integers(graph, {2, 2}, {2, 0, 0, 1}));
  CHECK(rows.shape() == Shape{2, 2, 2});
  CHECK(numbers_of(rows) == Numbers{4, 5, 0, 1, 0, 1, 2, 3});
  const Value columns = gather(x, integers(graph, {3}, {1, 1, 0}), -1);
  CHECK(columns.shape() == Shape{3, 3});
  CHECK(numbers_of(columns) == Numbers{1, 1, 0, 3, 3, 2, 5, 5, 4});
  CHECK(gather(x, integers(graph, {}, {1}), 0).shape() == Shape{2});
  CHECK(weighted_gradient(rows, x) == Numbers{3 + 5, 4 + 6, 7, 8, 1, 2});
  CHECK(weighted_gradient(columns, x) == Numbers{3, 1 + 2, 6, 4 + 5, 9, 7 + 8});
}

TEST_CASE("scatter_add: the adjoint of gather") {
  Graph graph;
  const Value updates = counting(graph, {3, 2}), at = integers(graph, {3}, {1, 3, 1});
  const Value y = scatter_add(updates, at, {4, 2});
  CHECK(y.type() == Type{DType::f32, {4, 2}});
  CHECK(numbers_of(y) == Numbers{0, 0, 4, 6, 0, 0, 2, 3});
  CHECK(weighted_gradient(y, updates) == Numbers{3, 4, 7, 8, 3, 4});
  const Value across = scatter_add(counting(graph, {2, 3}), at, {2, 4}, 1);
  CHECK(numbers_of(across) == Numbers{0, 2, 0, 1, 0, 8, 0, 4});
  const Value narrow = cast(updates, DType::bf16);
  CHECK(scatter_add(narrow, at, {4, 2}).dtype() == DType::bf16);
}

TEST_CASE("one_hot: 1 where the index says") {
  Graph graph;
  const Value y = one_hot(integers(graph, {3}, {2, 0, 1}), 3);
  CHECK(y.type() == Type{DType::f32, {3, 3}});
  CHECK(numbers_of(y) == Numbers{0, 0, 1, 1, 0, 0, 0, 1, 0});
  CHECK(numbers_of(one_hot(integers(graph, {}, {1}), 2)) == Numbers{0, 1});
}

TEST_CASE("gather, scatter_add, one_hot: errors") {
  Graph graph;
  const Value x = f32(graph, {3, 2}), i = s32(graph, {4});
  CHECK_THROWS_WITH_AS(gather(x, x), "gather: indices must be s32, f32[3,2] was given; see cast",
                       TypeError);
  CHECK_THROWS_WITH_AS(gather(x, i, 2), "gather: axis 2 is outside a shape of rank 2: [3,2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(scatter_add(f32(graph, {4, 3}), i, {3, 2}),
                       "scatter_add: updates f32[4,3] must be of shape [4,2], which is [3,2] with "
                       "axis 0 replaced by the shape of the indices s32[4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(scatter_add(s32(graph, {4, 2}), i, {3, 2}),
                       "scatter_add: updates must be f32 or bf16, s32[4,2] was given; see cast",
                       TypeError);
  CHECK_THROWS_WITH_AS(scatter_add(x, x, {3, 2}),
                       "scatter_add: indices must be s32, f32[3,2] was given; see cast", TypeError);
  CHECK_THROWS_WITH_AS(one_hot(i, 0), "one_hot: classes is 0, but there must be at least 1",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(one_hot(x, 3), "one_hot: indices must be s32, f32[3,2] was given; see cast",
                       TypeError);
}

TEST_CASE("gather, scatter_add, one_hot: an index out of range is an error when it is read") {
  Graph graph;
  const Value x = f32(graph, {3, 2}), updates = f32(graph, {2, 2}, "updates");
  const Value i = s32(graph, {2});
  const std::vector<std::pair<Value, std::string>> cases{
      {gather(x, i), "index 3 (element 1 of the indices) is outside [0, 3)"},
      {scatter_add(updates, i, {3, 2}), "index 3 (element 1 of the indices) is outside [0, 3)"},
      {one_hot(i, 3), "index 3 (element 1 of the indices) is outside [0, 3)"}};
  const std::unordered_map<std::string, Array> feeds{
      {"x", Array({3, 2})}, {"updates", Array({2, 2})}, {"i", Array({2}, {0, 3})}};
  for (const auto& given : cases) {
    const auto& [value, message] = given;
    CHECK_THROWS_WITH_AS(evaluate({value}, feeds),
                         (std::string(value.op().name()) + ": " + message).c_str(), ArgumentError);
    Executable executable = compile({value});
    Feeds tensors{{"i", Tensor::of<std::int32_t>({2}, {0, 3})}};
    for (const Value& input : value.inputs()) {
      if (input != i) tensors[input.name()] = Tensor(input.type());
    }
    CHECK_THROWS_WITH_AS(executable.run(tensors), doctest::Contains(message.c_str()),
                         ArgumentError);
    tensors["i"] = Tensor::of<std::int32_t>({2}, {-1, 0});
    CHECK_THROWS_WITH_AS(executable.run(tensors),
                         doctest::Contains("index -1 (element 0 of the indices)"), ArgumentError);
  }
}

// ---- select

TEST_CASE("select: a where the condition is not zero, else b, all broadcast") {
  Graph graph;
  const Value condition = floats(graph, {1, 0, -2, -0.0f, NAN});
  const Value a = floats(graph, {1, 2, 3, 4, 5}), b = floats(graph, {6, 7, 8, 9, 10});
  CHECK(numbers_of(select(condition, a, b)) == Numbers{1, 7, 3, 9, 5});
  const Value integer = integers(graph, {2, 1}, {0, 7});
  const Value y = select(integer, a, graph.constant(0.0f));
  CHECK(y.shape() == Shape{2, 5});
  CHECK(numbers_of(y) == Numbers{0, 0, 0, 0, 0, 1, 2, 3, 4, 5});
  CHECK(select(graph.constant(Tensor(Type{DType::u8, {5}})), a, b).type() == a.type());
  CHECK(weighted_gradient(select(condition, a, b), a) == Numbers{1, 0, 3, 0, 5});
  CHECK(weighted_gradient(select(condition, a, b), b) == Numbers{0, 2, 0, 4, 0});
  CHECK(weighted_gradient(select(condition, a, b), condition) == Numbers{0, 0, 0, 0, 0});
  CHECK(weighted_gradient(y, a) == Numbers{6, 7, 8, 9, 10});
}

TEST_CASE("select: errors") {
  Graph graph;
  const Value x = f32(graph, {3}), i = s32(graph, {3});
  CHECK_THROWS_WITH_AS(
      select(x, x, i),
      "select: a and b must be of one dtype, f32[3] and s32[3] were given; see cast", TypeError);
  CHECK_THROWS_WITH_AS(
      select(x, i, i),
      "select: the condition must be of a's dtype (s32), s32 or u8, f32[3] was given; see cast",
      TypeError);
  CHECK_THROWS_WITH_AS(select(x, x, f32(graph, {2})),
                       "select: shapes [3] and [2] do not broadcast: axis 1 from the end has sizes "
                       "3 and 2, which must be equal or 1",
                       ShapeError);
  const Op op = select(x, x, x).op();
  CHECK_THROWS_WITH_AS(apply(op, {x, x, graph.constant(1.0f)}),
                       "select: shapes must be equal, f32[3], f32[3] and f32[] were given",
                       ShapeError);
}

// ---- cast

TEST_CASE("cast: truncates, saturates, rounds") {
  Graph graph;
  const Value x = floats(graph, {1.9f, -1.9f, 300, -300, NAN, 3e9f});
  CHECK(cast(x, DType::s32).type() == Type{DType::s32, {6}});
  CHECK(numbers_of(cast(x, DType::s32)) == Numbers{1, -1, 300, -300, 0, 2147483647});
  CHECK(numbers_of(cast(x, DType::u8)) == Numbers{1, 0, 255, 0, 0, 255});
  CHECK(numbers_of(cast(x, DType::s8)) == Numbers{1, -1, 127, -128, 0, 127});
  CHECK(numbers_of(cast(integers(graph, {2}, {3, -4}), DType::f32)) == Numbers{3, -4});
  CHECK(simplified(cast(x, DType::f32)) == x);
}

TEST_CASE("cast: gradients pass between floating dtypes and end at integers") {
  Graph graph;
  const Value x = floats(graph, {1, 2});
  CHECK(weighted_gradient(cast(cast(x, DType::bf16), DType::f32), x) == Numbers{1, 2});
  const Value integer = cast(x, DType::s32);
  const std::vector<Value> none(1);
  CHECK_FALSE(integer.op().vjp({integer.inputs(), {}, none, {}})[0]);
  CHECK(weighted_gradient(cast(integers(graph, {2}, {1, 2}), DType::f32), x) == Numbers{0, 0});
}

// ---- stop_gradient

TEST_CASE("stop_gradient: the same numbers, no gradient, nothing left after simplification") {
  Graph graph;
  const Value x = floats(graph, {1, 2});
  CHECK(numbers_of(stop_gradient(x)) == Numbers{1, 2});
  CHECK(weighted_gradient(stop_gradient(x), x) == Numbers{0, 0});
  CHECK(simplified(stop_gradient(x)) == x);
}

// ---- random

TEST_CASE("philox: the published vectors for 10 rounds") {
  using Block = Philox::Block;
  constexpr std::uint32_t all = 0xffffffff;
  CHECK(Philox::block({0, 0, 0, 0}, {0, 0}) ==
        Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(Philox::block({all, all, all, all}, {all, all}) ==
        Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(Philox::block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: as a generator it counts through the blocks") {
  static_assert(std::uniform_random_bit_generator<Philox>);
  Philox generator({1, 2}, 3);
  for (std::uint32_t i = 0; i < 3; ++i) {
    for (const std::uint32_t expected : Philox::block({i, 0, 3, 0}, {1, 2})) {
      CHECK(generator() == expected);
    }
  }
  std::vector<int> order(100);
  std::iota(order.begin(), order.end(), 0);
  std::vector<int> shuffled = order;
  std::shuffle(shuffled.begin(), shuffled.end(), generator);
  CHECK(shuffled != order);
  CHECK(std::is_permutation(shuffled.begin(), shuffled.end(), order.begin()));
}

TEST_CASE("random: element i is made of number i of the generator") {
  Graph graph;
  const Value key = integers(graph, {2}, {7, -1});
  Philox generator({7, 0xffffffff}, 5);
  for (const double number : numbers_of(random_uniform(key, {3, 3}, 5))) {
    CHECK(number == (generator() >> 8) * 0x1p-24);
  }
}

TEST_CASE("random: one key and stream, one result, another, another") {
  Graph graph;
  const Value key = integers(graph, {2}, {7, 0}), next = integers(graph, {2}, {7, 1});
  const Shape shape{50};
  const Numbers numbers = numbers_of(random_normal(key, shape, 0));
  CHECK(numbers == numbers_of(random_normal(key, shape, 0)));
  CHECK(numbers != numbers_of(random_normal(key, shape, 1)));
  CHECK(numbers != numbers_of(random_normal(next, shape, 0)));
  const Numbers more = numbers_of(random_normal(key, {60}, 0));
  CHECK(std::equal(numbers.begin(), numbers.end(), more.begin()));
}

TEST_CASE("random: moments and ranges of 40000 numbers") {
  Graph graph;
  const Value key = integers(graph, {2}, {1, 2});
  const Shape shape{200, 200};
  constexpr double count = 40000;
  // Five standard deviations of the estimates: the key is fixed, so this does not fail by chance.
  const auto mean_of = [](const Numbers& x) { return std::reduce(x.begin(), x.end()) / count; };
  const auto variance_of = [&](const Numbers& x) {
    const double mean = mean_of(x);
    return std::accumulate(x.begin(), x.end(), 0.0, [=](double sum, double number) {
      return sum + (number - mean) * (number - mean) / count;
    });
  };
  const Numbers uniform = numbers_of(random_uniform(key, shape, 0, -1, 3));
  CHECK(std::ranges::all_of(uniform, [](double x) { return x >= -1 && x < 3; }));
  CHECK(std::abs(mean_of(uniform) - 1) < 5 * std::sqrt(16 / 12.0 / count));
  CHECK(std::abs(variance_of(uniform) - 16 / 12.0) < 5 * 1.2 / std::sqrt(count));

  const Numbers normal = numbers_of(random_normal(key, shape, 1, 2, 3));
  CHECK(std::abs(mean_of(normal) - 2) < 5 * 3 / std::sqrt(count));
  CHECK(std::abs(variance_of(normal) - 9) < 5 * 9 * std::sqrt(2 / count));

  const Numbers coins = numbers_of(random_bernoulli(key, shape, 2, 0.25f));
  CHECK(std::ranges::all_of(coins, [](double x) { return x == 0 || x == 1; }));
  CHECK(std::abs(mean_of(coins) - 0.25) < 5 * std::sqrt(0.25 * 0.75 / count));
  CHECK(mean_of(numbers_of(random_bernoulli(key, shape, 3, 0))) == 0);
  CHECK(mean_of(numbers_of(random_bernoulli(key, shape, 3, 1))) == 1);
}

TEST_CASE("random: rounding never reaches the upper end") {
  Graph graph;
  const Value key = integers(graph, {2}, {3, 4});
  // One float apart: half of the numbers would round up to `high`.
  const float low = 1, high = std::nextafter(low, 2.0f);
  for (const double number : numbers_of(random_uniform(key, {100}, 0, low, high))) {
    CHECK(number == low);
  }
}

TEST_CASE("random: errors") {
  Graph graph;
  const Value key = s32(graph, {2});
  CHECK_THROWS_WITH_AS(random_uniform(f32(graph, {2}), {3}, 0),
                       "random_uniform: the key must be s32[2], f32[2] was given; see cast",
                       TypeError);
  CHECK_THROWS_WITH_AS(random_normal(s32(graph, {3}), {3}, 0),
                       "random_normal: the key must be s32[2], s32[3] was given", ShapeError);
  CHECK_THROWS_WITH_AS(random_uniform(key, {3}, 0, 1, 1),
                       "random_uniform: low 1 must be less than high 1, and both finite",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(random_normal(key, {3}, 0, 0, -1),
                       "random_normal: stddev -1 must be at least 0, and it and mean 0 finite",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(random_bernoulli(key, {3}, 0, 1.5f),
                       "random_bernoulli: probability 1.5 must be in 0 to 1", ArgumentError);
}

}  // namespace weft
