// Graph, Value, NameScope, Op, verify, rewrite, evaluate.
#include <doctest/doctest.h>

#include <string>
#include <unordered_map>

#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "graph/rewrite.hpp"
#include "graph/verify.hpp"
#include "toy_ops.hpp"

namespace weft {
namespace {

const Type pair{DType::f32, {2}};

/// Infers another type each time it is asked: what verify must notice.
struct Fickle {
  std::vector<std::int64_t>* answers = nullptr;
  static constexpr Traits traits{.differentiable = false};
  static std::string_view name() { return "fickle"; }
  friend bool operator==(const Fickle&, const Fickle&) = default;
  std::vector<Type> infer(std::span<const Type>) const {
    answers->push_back(0);
    return {Type{DType::f32, {static_cast<std::int64_t>(answers->size())}}};
  }
  std::vector<Array> evaluate(std::span<const Array> inputs) const { return {inputs[0]}; }
};

}  // namespace

TEST_CASE("graph: nodes, types, uses") {
  Graph graph;
  const Value x = graph.input(pair, "x"), w = graph.variable(pair, "w");
  const Value y = apply(toy::Plus{}, {x, w}), z = apply(toy::Plus{}, {y, y});
  CHECK(graph.size() == 4);
  CHECK(z.type() == pair);
  CHECK(z.node() == 3);
  CHECK(z.inputs() == std::vector<Value>{y, y});
  CHECK(y.op() == Op(toy::Plus{}));
  CHECK(x.name() == "x");
  CHECK(y.name().empty());
  CHECK(y.named("sum").name() == "sum");
  REQUIRE(graph.uses(y).size() == 2);
  CHECK(graph.uses(y)[1].user == 3);
  CHECK(graph.uses(y)[1].input == 1);
  CHECK(graph.uses(z).empty());
  CHECK(graph.owns(z));
  CHECK_FALSE(graph.owns(Value()));
  CHECK(&Graph::of(z) == &graph);
  CHECK(graph.value(3) == z);
  const std::vector<Value> both = apply_all(toy::Fork{}, {z});
  CHECK(both[1].port() == 1);
  CHECK(both[0] != both[1]);
}

TEST_CASE("graph: constants know their number if they have one") {
  Graph graph;
  CHECK(constant_scalar(graph.constant(2.5f)) == 2.5);
  CHECK(constant_scalar(graph.constant(Tensor::full({1, 1}, 3))) == 3.0);
  CHECK(constant_scalar(graph.constant(Tensor::scalar(std::int32_t{4}))) == 4.0);
  CHECK_FALSE(constant_scalar(graph.constant(Tensor::full({2}, 3))));
  CHECK_FALSE(constant_scalar(graph.input(pair, "x")));
  const Tensor t = Tensor::full({2}, 3);
  CHECK(graph.constant(t).op() == graph.constant(t.clone()).op());
  CHECK(graph.constant(t).op() != graph.constant(Tensor::full({2}, 4)).op());
  CHECK(graph.constant(t).op() != graph.constant(t.reshaped({2, 1})).op());
}

TEST_CASE("graph: values survive a move") {
  Graph graph;
  const Value x = graph.input(pair, "x");
  Graph moved = std::move(graph);
  const Value y = apply(toy::Plus{}, {x, x});
  CHECK(&Graph::of(y) == &moved);
  CHECK(moved.size() == 2);
  Graph assigned;
  assigned = std::move(moved);
  CHECK(assigned.owns(y));
  CHECK(y.type() == pair);
  std::vector<Program> programs;  // grows, and so moves its graphs
  programs.push_back({std::move(assigned), {y}});
  programs.emplace_back();
  programs.emplace_back();
  CHECK(apply(toy::Scale{}, {programs[0].outputs[0]}).node() == 2);
}

TEST_CASE("graph: errors name the op and its scope") {
  Graph graph, other;
  const Value x = graph.input(pair, "x"), far = other.input(pair, "x");
  CHECK_THROWS_WITH_AS(apply(toy::Plus{}, {x, far}), "plus: input 1 belongs to another graph",
                       Error);
  CHECK_THROWS_WITH_AS(apply(toy::Plus{}, {x, Value()}), "plus: input 1 is an empty Value", Error);
  CHECK_THROWS_WITH_AS(apply(toy::Plus{}, {Value(), x}), "plus: input 0 is an empty Value", Error);
  CHECK_THROWS_WITH_AS(apply(toy::Plus{}, {}), "plus: an op without inputs has no graph to go to",
                       Error);
  CHECK_THROWS_WITH_AS(apply(toy::Scale{}, {x, x}), "scale: takes 1 inputs, 2 were given",
                       ShapeError);
  const Value integer = graph.input({DType::s32, {2}}, "i");
  CHECK_THROWS_WITH_AS(apply(toy::Scale{}, {integer}),
                       "scale: inputs must be f32 or bf16, s32[2] was given; see cast", TypeError);
  const NameScope scope(graph, "block1");
  CHECK_THROWS_WITH_AS(apply(toy::Scale{}, {integer}),
                       "scale \"block1\": inputs must be f32 or bf16, s32[2] was given; see cast",
                       TypeError);
  CHECK_THROWS_WITH_AS(apply(toy::Plus{}, {x, integer}), "plus \"block1\": operands differ",
                       ShapeError);
  CHECK_THROWS_WITH_AS(Graph::of(Value()), "graph: an empty Value belongs to no graph", Error);
  CHECK(graph.size() == 2);  // what failed left nothing behind
}

TEST_CASE("graph: scopes name what is built in them, and nest") {
  Graph graph;
  const Value x = graph.input(pair, "x");
  Value inner, outer;
  {
    const NameScope block(graph, "block1");
    {
      const NameScope conv(graph, "conv");
      inner = apply(toy::Scale{}, {x});
    }
    outer = apply(toy::Scale{}, {x});
  }
  CHECK(inner.name() == "block1/conv");
  CHECK(outer.name() == "block1");
  CHECK(apply(toy::Scale{}, {x}).name().empty());
}

TEST_CASE("op: a value with equality, hash, attributes and a type") {
  const Op op = toy::Scale{3};
  CHECK(op == Op(toy::Scale{3}));
  CHECK(op != Op(toy::Scale{4}));
  CHECK(op != Op(toy::Plus{}));
  CHECK(op.hash() == Op(toy::Scale{3}).hash());
  CHECK(op.hash() != Op(toy::Scale{4}).hash());
  CHECK(op.name() == "scale");
  CHECK(op.attributes() == "{factor=3}");
  CHECK(Op(toy::Plus{}).attributes().empty());
  REQUIRE(op.as<toy::Scale>() != nullptr);
  CHECK(op.as<toy::Scale>()->factor == 3);
  CHECK(op.as<toy::Plus>() == nullptr);
  CHECK(op.has_vjp());
  CHECK_FALSE(op.has_decompose());
  CHECK_FALSE(op.has_lower());
  CHECK(Op(toy::Fork{}).has_decompose());
  CHECK_THROWS_WITH_AS(op.decompose({}),
                       "scale: has no `decompose` (an error in Weft: the caller should have asked "
                       "first)",
                       Error);
}

TEST_CASE("verify: what construction promises") {
  Program program;
  const Value x = program.graph.input(pair, "x");
  program.outputs = {apply(toy::Plus{}, {x, x})};
  CHECK_NOTHROW(verify(program, "test"));

  std::vector<std::int64_t> answers;
  apply(Fickle{&answers}, {x});
  CHECK_THROWS_WITH_AS(verify(program, "test"),
                       "verify after test: %2 (fickle) is f32[1], but its inputs give f32[2]",
                       CompileError);

  Program wrong;
  wrong.graph.input(pair, "x");
  wrong.outputs = {x};
  CHECK_THROWS_WITH_AS(verify(wrong, "test"),
                       "verify after test: an output belongs to another graph", CompileError);
}

TEST_CASE("rewrite: copies what is needed, replaces what the rule says, keeps names") {
  Graph graph;
  const Value x = graph.input(pair, "x");
  apply(toy::Scale{7}, {x});  // nobody needs it
  const Value y = apply(toy::Scale{2}, {x}).named("double");
  const Value z = apply(toy::Plus{}, {y, x});
  const auto copy = [](const Rewriting&) -> std::optional<std::vector<Value>> { return {}; };
  const Program same = rewrite({z}, copy);
  CHECK(to_string(same) ==
        "%0 = input {name=x} : f32[2]\n"
        "%1 = scale %0 {factor=2} \"double\" : f32[2]\n"
        "%2 = plus %1 %0 : f32[2]\n"
        "return %2\n");
  CHECK_NOTHROW(verify(same, "rewrite"));

  const Rule unscale = [](const Rewriting& r) -> std::optional<std::vector<Value>> {
    if (r.node.op.as<toy::Scale>() == nullptr) return std::nullopt;
    return std::vector<Value>{apply(toy::Plus{}, {r.inputs[0], r.inputs[0]})};
  };
  CHECK(to_string(rewrite(same, unscale)) ==
        "%0 = input {name=x} : f32[2]\n"
        "%1 = plus %0 %0 \"double\" : f32[2]\n"
        "%2 = plus %1 %0 : f32[2]\n"
        "return %2\n");

  // A rule may also change its mind about an earlier value: later users get the new one.
  const Rule insert = [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
    CHECK_FALSE(r.moved(same.outputs[0]));
    CHECK(&r.node == &same.graph[r.id]);
    if (r.id == 1)
      r.move(same.graph.value(0), apply(toy::Scale{9}, {r.moved(same.graph.value(0))}));
    return std::nullopt;
  };
  CHECK(to_string(rewrite(same, insert)) ==
        "%0 = input {name=x} : f32[2]\n"
        "%1 = scale %0 {factor=9} : f32[2]\n"
        "%2 = scale %0 {factor=2} \"double\" : f32[2]\n"
        "%3 = plus %2 %1 : f32[2]\n"
        "return %3\n");
  CHECK(rewrite(std::vector<Value>{}, copy).graph.size() == 0);
}

TEST_CASE("evaluate: ops by meaning or decomposition, feeds by name") {
  Graph graph;
  const Value x = graph.input(pair, "x"), w = graph.variable(pair, "w");
  const std::vector<Value> fork = apply_all(toy::Fork{}, {apply(toy::Plus{}, {x, w})});
  const std::unordered_map<std::string, Array> feeds{{"x", Array({2}, {1, 2})},
                                                     {"w", Array({2}, {10, 20})}};
  const std::vector<Array> results = evaluate({fork[1], fork[0], x}, feeds);
  CHECK(results[0].data == std::vector<double>{33, 66});
  CHECK(results[1].data == std::vector<double>{11, 22});
  CHECK(results[2].data == std::vector<double>{1, 2});
  CHECK(evaluate({}, feeds).empty());
  CHECK_THROWS_WITH_AS(evaluate({x}, {}), "input \"x\": no value was given for it", Error);
  CHECK_THROWS_WITH_AS(evaluate({w}, {}), "variable \"w\": no value was given for it", Error);
  CHECK_THROWS_WITH_AS(evaluate({x}, {{"x", Array({3})}}),
                       "evaluate: \"x\" is f32[2], but the numbers given have shape [3]",
                       ShapeError);
}

}  // namespace weft
