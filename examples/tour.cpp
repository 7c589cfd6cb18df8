// A first walk through Weft, without layers: build a graph, differentiate it, compile it, run it,
// print it and draw it. The graph is one artificial neuron that learns the logical AND.
#include <fmt/core.h>

#include <fstream>

#include "autodiff/gradients.hpp"
#include "graph/dot.hpp"
#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

using weft::DType, weft::Tensor, weft::Value;

int main() {
  // A graph begins with inputs, which are fed at each run, and variables, which are kept between
  // runs. Each value has a type: here, four samples of two numbers.
  weft::Graph graph;
  const Value x = graph.input({DType::f32, {4, 2}}, "x");
  const Value target = graph.input({DType::f32, {4, 1}}, "target");
  const Value weights = graph.variable({DType::f32, {2, 1}}, "weights");
  const Value bias = graph.variable({DType::f32, {1}}, "bias");

  // Calling an op computes nothing: it appends a node, and checks shapes as it does so.
  const Value prediction = tanh(matmul(x, weights) + bias).named("prediction");
  const Value loss = mean(square(prediction - target)).named("loss");

  // Derivatives are more nodes of the same graph.
  const std::vector<Value> slopes = gradients(loss, {weights, bias});
  const Value next_weights = weights - 0.5f * slopes[0];
  const Value next_bias = bias - 0.5f * slopes[1];

  // A graph with the values wanted of it is a program. It can be read, and drawn.
  const weft::Program program{std::move(graph), {loss, next_weights, next_bias}};
  fmt::print("The program:\n{}\n", to_string(program));
  std::ofstream drawing("tour.dot");
  write_dot(drawing, program);
  fmt::print(
      "A drawing is in tour.dot; `dot -Tsvg tour.dot -o tour.svg` makes an image of it.\n\n");

  // compile() turns it into steps for this machine: ops are fused, memory is planned. With updates,
  // a run ends by storing new values in variables, so that one run is one step of training.
  weft::Variables variables;
  variables.set("weights", Tensor::of<float>({2, 1}, {0.1f, -0.2f}));
  variables.set("bias", Tensor::of<float>({1}, {0.0f}));
  weft::Executable step =
      compile({loss}, variables, {.updates = {{weights, next_weights}, {bias, next_bias}}});
  fmt::print("Its steps:\n{}\n{}\n", step.to_string(), step.report());

  const weft::Feeds feeds{
      {"x", Tensor::of<float>({4, 2}, {0, 0, 0, 1, 1, 0, 1, 1})},
      {"target", Tensor::of<float>({4, 1}, {-1, -1, -1, 1})},
  };
  for (int i = 0; i <= 200; ++i) {
    const float now = step.run(feeds)[0].item<float>();
    if (i % 50 == 0) fmt::print("step {:3}: loss {:.4f}\n", i, now);
  }

  // Another executable of the same graph shares the variables.
  const Tensor answers = compile({prediction}, variables).run({{"x", feeds.at("x")}})[0];
  for (const int row : {0, 1, 2, 3}) {
    fmt::print("{} and {}: {:+.2f}\n", row / 2, row % 2, answers.data<float>()[row]);
  }
}
