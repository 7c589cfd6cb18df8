// Training with a gradient penalty. A small network is fitted to noisy samples of a curve, and its
// slope is held down: the loss contains the network's derivative by its input, so its own gradient
// is a second derivative. gradients() is called twice; nothing else is special.
#include <fmt/core.h>

#include <cmath>
#include <random>
#include <string>

#include "autodiff/gradients.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

using weft::DType, weft::Shape, weft::Tensor, weft::Value;

namespace {

Tensor normal(const Shape& shape, float deviation, std::mt19937& random) {
  Tensor tensor(weft::Type{DType::f32, shape});
  std::normal_distribution<float> distribution(0, deviation);
  for (float& number : tensor.data<float>()) number = distribution(random);
  return tensor;
}

struct Outcome {
  float error, slope;  // mean squares, after training
};

Outcome train(float lambda) {
  constexpr std::int64_t samples = 32, units = 24;
  std::mt19937 random(7);
  Tensor xs(weft::Type{DType::f32, {samples, 1}});
  Tensor ys = normal({samples, 1}, 0.3f, random);
  for (std::int64_t i = 0; i < samples; ++i) {
    const float x = 4 * static_cast<float>(i) / samples - 2;
    xs.data<float>()[i] = x;
    ys.data<float>()[i] += std::sin(2 * x);
  }

  weft::Graph graph;
  weft::Variables variables;
  std::vector<Value> parameters;
  const auto parameter = [&](const std::string& name, const Shape& shape, float deviation) {
    variables.set(name, normal(shape, deviation, random));
    return parameters.emplace_back(graph.variable({DType::f32, shape}, name));
  };
  const Value x = graph.input(xs.type(), "x");
  const Value y = graph.input(ys.type(), "y");
  const Value w1 = parameter("w1", {1, units}, 2), b1 = parameter("b1", {units}, 1);
  const Value w2 = parameter("w2", {units, 1}, 0.2f), b2 = parameter("b2", {1}, 0);
  const Value output = matmul(tanh(matmul(x, w1) + b1), w2) + b2;

  // Each output depends on its own sample only, so the gradient of their sum holds all slopes.
  const Value slopes = gradients(sum(output), {x})[0];
  const Value error = mean(square(output - y));
  const Value penalty = mean(square(slopes));
  const Value loss = error + lambda * penalty;

  std::vector<weft::Update> updates;
  const std::vector<Value> steps = gradients(loss, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    updates.push_back({parameters[i], parameters[i] - 0.03f * steps[i]});
  }

  weft::Executable step = compile({loss, error, penalty}, variables, {.updates = updates});
  fmt::print("lambda {}:\n", lambda);
  Outcome outcome{};
  for (int i = 0; i <= 4000; ++i) {
    const std::vector<Tensor> now = step.run({{"x", xs}, {"y", ys}});
    outcome = {now[1].item<float>(), now[2].item<float>()};
    if (i % 1000 == 0) {
      fmt::print("  step {:4}: loss {:.4f} = squared error {:.4f} + {} * squared slope {:.4f}\n", i,
                 now[0].item<float>(), outcome.error, lambda, outcome.slope);
    }
  }
  return outcome;
}

}  // namespace

int main() {
  const Outcome free = train(0), held = train(0.05f);
  fmt::print(
      "The penalty made the curve {:.1f} times less steep (mean square), at {:+.4f} in error.\n",
      free.slope / held.slope, held.error - free.error);
}
