// Programs of thousands of nodes compile in about linear time. No clock is asked: what takes n
// squared would take minutes here.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/passes/space.hpp"
#include "tests/nn_testing.hpp"

namespace weft {
namespace {

TEST_CASE("compile time: 5,000 layers are built, compiled and trained") {
  constexpr int layers = 5000;
  nn::Sequential model(nn::ModelConfig{.replicas = 1, .threads = 1});
  model.add(nn::Input({4}));
  for (int i = 0; i < layers; ++i) model.add(nn::Dense(4, {.kernel_initializer = "identity"}));
  model.compile({.optimizer = "adam", .loss = "mse"});
  const nn::Dataset data(Tensor::full({8, 4}, 1), Tensor::full({8, 4}, 1));
  Executable& step = model.training_step(data, 8);
  step.step();
  CHECK(model.count_params() == layers * (4 * 4 + 4));
  CHECK(model.summary().size() > layers);
}

TEST_CASE("compile time: 20,000 products in a row") {
  Graph graph;
  const Value k = graph.constant(Tensor::of<float>({2, 2}, {1, 0, 0, 1}));
  Value y = graph.input({DType::f32, {2, 2}}, "x");
  for (int i = 0; i < 20000; ++i) y = matmul(y, k);
  Executable executable = compile({y}, {.threads = 1});
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  CHECK(to_floats(executable.run({{"x", x}})[0]) == to_floats(x));
}

TEST_CASE("compile time: many inputs, outputs and updates") {
  constexpr int count = 3000;
  Graph graph;
  Variables variables;
  std::vector<Value> outputs;
  std::vector<Update> updates;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    const Value x = graph.input({DType::f32, {3}}, "x" + number);
    const Value v = graph.variable({DType::f32, {3}}, "v" + number);
    variables.set("v" + number, Tensor::full({3}, 1));
    outputs.push_back(exp(x) * v);
    updates.push_back({v, v + x});
  }
  Executable executable = compile(outputs, variables, {.updates = updates, .threads = 1});
  executable.step();
  CHECK(executable.output(count - 1).data<float>()[0] == 1);
}

TEST_CASE("memory: the lowest free offset, as comparing with every other finds it") {
  struct Taken {
    std::size_t first, last, offset, bytes;
  };
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    const std::size_t steps = 1 + random() % 60;
    Space space(steps);
    std::vector<Taken> taken;
    for (int i = 0; i < 80; ++i) {
      std::size_t first = random() % steps, last = random() % steps;
      if (first > last) std::swap(first, last);
      const std::size_t bytes = 64 * (random() % 5);
      std::size_t offset = 0;
      const auto overlaps = [&](const Taken& other) {
        return first <= other.last && other.first <= last && offset < other.offset + other.bytes &&
               other.offset < offset + bytes;
      };
      while (std::any_of(taken.begin(), taken.end(), overlaps)) offset += 64;
      REQUIRE(space.take(first, last, bytes) == offset);
      taken.push_back({first, last, offset, bytes});
    }
  }
}

}  // namespace
}  // namespace weft
