// What hangs on weights alone is computed when they change, not in every run.
#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

namespace weft {
namespace {

std::vector<float> run(Executable& executable, const Tensor& x) {
  return to_floats(executable.run({{"x", x}})[0]);
}

Tensor ramp(const Shape& shape) {
  Tensor tensor(Type{DType::f32, shape});
  float number = 0.1f;
  for (float& v : tensor.data<float>()) v = (number = 3.9f * number * (1 - number)) - 0.5f;
  return tensor;
}

std::size_t calls_of_once(const Executable& executable) {
  std::size_t calls = 0;
  for (std::size_t s = 0; s < executable.statistics().once; ++s) {
    calls += executable.profile_steps()[s].calls;
  }
  return calls;
}

/// A normalised convolution, by kept moments.
struct Normalized {
  Graph graph;
  Variables variables;
  Value x, y;

  explicit Normalized(std::int64_t rows, bool bias = true) {
    const auto variable = [&](const std::string& name, const Tensor& first) {
      variables.set(name, first);
      return graph.variable(first.type(), name);
    };
    x = graph.input({DType::f32, {rows, 8, 8, 16}}, "x");
    y = conv2d(x, variable("kernel", ramp({3, 3, 16, 32})));
    if (bias) y = y + variable("bias", ramp({32}));
    y = batch_norm(y, variable("mean", ramp({32})), variable("variance", Tensor::full({32}, 2)),
                   variable("gamma", ramp({32})), variable("beta", ramp({32})));
    y = relu(y);
  }
};

TEST_CASE("prologue: a normalisation vanishes into the convolution before it") {
  for (const bool bias : {false, true}) {
    Normalized n(4, bias);
    const Tensor x = ramp({4, 8, 8, 16});
    Executable fused = compile({n.y}, n.variables),
               apart = compile({n.y}, n.variables, {.fuse = false});
    const std::string steps = fused.to_string();
    CAPTURE(steps);
    CHECK(fused.statistics().once > 0);
    std::size_t each_run = 0;  // but for bringing x and y into and out of blocks
    for (std::size_t s = fused.statistics().once; s < fused.statistics().steps; ++s) {
      each_run += fused.profile_steps()[s].label != "reorder";
    }
    CHECK(each_run == 1);
    CHECK(steps.find("conv2d+mul+add+relu") != std::string::npos);
    const auto got = run(fused, x), want = run(apart, x);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - want[i]) < 1e-5f);
  }
}

TEST_CASE("prologue: runs once, and again when a variable is set") {
  for (const std::size_t replicas : {1, 2}) {
    Normalized n(4);
    const Tensor x = ramp({4 * static_cast<std::int64_t>(replicas), 8, 8, 16});
    Executable executable = compile({n.y}, n.variables, {.replicas = replicas, .poison = true});
    const std::size_t once = executable.statistics().once;
    executable.profile(true);
    const auto first = run(executable, x);
    CHECK(run(executable, x) == first);
    CHECK(run(executable, x) == first);
    CHECK(calls_of_once(executable) == once);
    std::size_t sets = 1;
    for (const char* name : {"kernel", "bias", "mean", "variance", "gamma", "beta"}) {
      CAPTURE(name);
      const Tensor before = n.variables.get(name);
      n.variables.set(name, Tensor::full(before.shape(), 0.25f));
      const auto changed = run(executable, x);
      CHECK(changed != first);
      CHECK(changed == run(executable, x));
      Executable fresh = compile({n.y}, n.variables, {.replicas = replicas});
      CHECK(changed == run(fresh, x));
      n.variables.set(name, before);
      CHECK(run(executable, x) == first);
      sets += 2;
    }
    CHECK(calls_of_once(executable) == sets * once);
    // A variable that it does not read is none of its business.
    n.variables.set("other", Tensor::scalar(1.0f));
    run(executable, x);
    CHECK(calls_of_once(executable) == sets * once);
  }
}

TEST_CASE("prologue: sees what another executable's updates did") {
  Normalized n(4);
  const Tensor x = ramp({4, 8, 8, 16});
  Executable predict = compile({n.y}, n.variables);
  const Value kernel = n.graph.variable({DType::f32, {3, 3, 16, 32}}, "kernel");
  Executable train = compile({sum(kernel)}, n.variables, {.updates = {{kernel, kernel * 0.5f}}});
  const auto before = run(predict, x);
  CHECK(run(predict, x) == before);
  train.run();
  const auto after = run(predict, x);
  CHECK(after != before);
  Executable fresh = compile({n.y}, n.variables);
  CHECK(after == run(fresh, x));
  // And a run that changes the variable itself takes nothing of it from before.
  const Value loss = sum(square(n.y));
  const Value mean = n.graph.variable({DType::f32, {32}}, "mean");
  Executable own = compile({loss}, n.variables, {.updates = {{mean, mean + 1.0f}}});
  const auto first = run(own, x);
  CHECK(run(own, x) != first);
}

TEST_CASE("prologue: predictions between epochs, of a model and of its copy") {
  nn::Sequential model{nn::Conv2D(16, 3, {.padding = "same", .use_bias = false}),
                       nn::BatchNormalization({.momentum = 0.5}), nn::ReLU(),
                       nn::GlobalAveragePooling2D(), nn::Dense(3, {.activation = "softmax"})};
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  const Tensor x = ramp({32, 8, 8, 3});
  Tensor labels(Type{DType::s32, {32}});
  for (std::size_t i = 0; i < 32; ++i) labels.data<std::int32_t>()[i] = static_cast<int>(i % 3);
  const nn::Dataset data(x, labels);
  const auto predicted = [&](nn::Sequential& m) { return to_floats(m.predict(x, {.verbose = 0})); };
  model.fit(data, {.batch_size = 32, .verbose = 0});
  const auto first = predicted(model);
  CHECK(predicted(model) == first);
  nn::Sequential copy = model;
  CHECK(predicted(copy) == first);
  model.fit(data, {.batch_size = 32, .verbose = 0});
  const auto second = predicted(model);
  CHECK(second != first);
  CHECK(predicted(copy) == first);
  copy.set_weights(model.get_weights());
  CHECK(predicted(copy) == second);
  // A model that never predicted before says the same.
  nn::Sequential fresh = model;
  CHECK(predicted(fresh) == second);
}

TEST_CASE("prologue: that of the second plan runs too, though the first has none") {
  // Slices of two rows and of one; only the smaller computes something of w alone.
  const auto trace = [](Graph& graph, const Slice& slice) {
    const Value x = graph.input({DType::f32, {slice.rows, 4}}, "x");
    const Value w = graph.variable({DType::f32, {1, 4}}, "w");
    Tensor unit = Tensor::full({4, 4}, 0);
    for (std::size_t i = 0; i < 4; ++i) unit.data<float>()[5 * i] = 1;
    // Read twice, so that the product does not take the sum into its own step.
    const Value own = slice.rows == 1 ? matmul(w, graph.constant(unit)) : w;
    return Traced{{(x + own) * own}, {}};
  };
  Variables variables;
  variables.set("w", Tensor::of<float>({1, 4}, {1, 2, 3, 4}));
  Executable executable = compile_batch(3, trace, variables, {.replicas = 2, .poison = true});
  REQUIRE(executable.statistics().replicas == 2);
  const Tensor x = Tensor::full({3, 4}, 10);
  for (const float more : {0.0f, 5.0f}) {
    variables.set("w", Tensor::of<float>({1, 4}, {1 + more, 2, 3, 4}));
    for (int again = 0; again < 2; ++again) {
      std::vector<float> rows;
      for (int row = 0; row < 3; ++row) {
        for (const float number : {(11 + more) * (1 + more), 24.0f, 39.0f, 56.0f}) {
          rows.push_back(number);
        }
      }
      CHECK(run(executable, x) == rows);
    }
  }
}

}  // namespace
}  // namespace weft
