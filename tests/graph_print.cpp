// How programs read, and how they are drawn.
#include "graph/print.hpp"

#include <doctest/doctest.h>

#include <sstream>

#include "graph/dot.hpp"
#include "graph/graph.hpp"
#include "toy_ops.hpp"

namespace weft {
namespace {

/// Something of everything that a line can show.
Program example() {
  Program program;
  Graph& graph = program.graph;
  const Value x = graph.input({DType::f32, {2, 3}}, "x");
  const Value w = graph.variable({DType::f32, {2, 3}}, "w");
  const NameScope scope(graph, "block1");
  const Value y = apply(toy::Plus{}, {x, w});
  const std::vector<Value> fork = apply_all(toy::Fork{}, {apply(toy::Scale{0.5f}, {y})});
  graph.constant(1.5f);
  program.outputs = {fork[1], y};
  return program;
}

}  // namespace

TEST_CASE("print: one line a node") {
  CHECK(to_string(example()) ==
        "%0 = input {name=x} : f32[2,3]\n"
        "%1 = variable {name=w} : f32[2,3]\n"
        "%2 = plus %0 %1 \"block1\" : f32[2,3]\n"
        "%3 = scale %2 {factor=0.5} \"block1\" : f32[2,3]\n"
        "%4 = fork %3 \"block1\" : f32[2,3], f32[2,3]\n"
        "%5 = constant {value=1.5} : f32[]\n"
        "return %4.1 %2\n");
  CHECK(to_string(Value()) == "nothing");
  CHECK(to_string(Program{}) == "return\n");
}

TEST_CASE("dot: the needed part, a box per node, an arrow per use") {
  const Program program = example();
  std::ostringstream out;
  write_dot(out, program);
  const std::string text = out.str();
  INFO(text);
  CHECK(text.starts_with("digraph G {\n"));
  CHECK(text.ends_with("}\n"));
  CHECK(text.find("0[label=\"input\\nx\\nf32[2,3]\", style=filled") != std::string::npos);
  CHECK(text.find("3[label=\"scale\\nblock1\\n{factor=0.5}\\nf32[2,3]\"]") != std::string::npos);
  CHECK(text.find("2[label=\"plus\\nblock1\\nf32[2,3]\", penwidth=2.5]") != std::string::npos);
  CHECK(text.find("2->3 [tooltip=\"f32[2,3]\"]") != std::string::npos);
  CHECK(text.find("constant") == std::string::npos);  // nobody needs it

  std::ostringstream empty;
  write_dot(empty, std::vector<Value>{});
  CHECK(empty.str() == "digraph G {\n}\n");
}

TEST_CASE("dot: names cannot break the text") {
  Graph graph;
  const Value x = graph.input({DType::f32, {}}, "a \"b\" \\c");
  std::ostringstream out;
  write_dot(out, {x});
  CHECK(out.str().find("a \\\"b\\\" \\\\c") != std::string::npos);
}

}  // namespace weft
