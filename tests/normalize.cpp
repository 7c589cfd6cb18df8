// Normalisation: how exact it is, what it costs in steps, and slices of a batch against the
// whole.
#include "ops/normalize.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "autodiff/gradients.hpp"
#include "graph/array.hpp"
#include "graph/evaluate.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "tests/messages.hpp"

namespace weft {
namespace {

using test::message_of;

Tensor normal(const Shape& shape, float mean, float deviation, std::uint32_t seed = 5) {
  std::mt19937 random(seed);
  std::normal_distribution<float> numbers(mean, deviation);
  Tensor tensor(Type{DType::f32, shape});
  for (float& number : tensor.data<float>()) number = numbers(random);
  return tensor;
}

TEST_CASE("batch_moments: exact where the mean is large and the batch too") {
  const std::int64_t rows = 100'000, channels = 20;
  const Tensor x = normal({rows, channels}, 1000, 1);
  Graph graph;
  const Moments moments = batch_moments(graph.input(x.type(), "x"));
  const auto got = compile({moments.mean, moments.variance}).run({{"x", x}});
  for (std::int64_t c = 0; c < channels; ++c) {
    double mean = 0, variance = 0;
    const auto at = [&](std::int64_t r) {
      return static_cast<double>(x.data<float>()[static_cast<std::size_t>(r * channels + c)]);
    };
    for (std::int64_t r = 0; r < rows; ++r) mean += at(r) / static_cast<double>(rows);
    for (std::int64_t r = 0; r < rows; ++r) {
      variance += (at(r) - mean) * (at(r) - mean) / static_cast<double>(rows);
    }
    const auto k = static_cast<std::size_t>(c);
    // The mean is good to the last bit of 1000. The sum of squares over x itself would lose 1e6
    // times the precision of f32, and so all of the variance.
    CHECK(std::abs(got[0].data<float>()[k] - mean) < 1e-4);
    CHECK(std::abs(got[1].data<float>()[k] - variance) < 1e-5);
  }
}

TEST_CASE("batch_norm: what does not fit is refused") {
  Graph graph;
  const auto input = [&](const Shape& shape) { return graph.input({DType::f32, shape}, "x"); };
  const Value x = input({4, 3}), c = input({3});
  CHECK(message_of<ShapeError>([&] { batch_moments(c); }) ==
        "batch_moments: x must have a batch axis and a channel axis: f32[3]");
  CHECK(message_of<ShapeError>([&] {
          batch_moments(input({0, 3}));
        }) == "batch_moments: x is empty: f32[0,3]");
  CHECK(message_of<ArgumentError>([&] { batch_moments(x, 0); }) ==
        "batch_moments: share must be above 0 and at most 1, not 0");
  CHECK(
      message_of<ShapeError>([&] { batch_norm(x, c, c, input({4}), c); }) ==
      "batch_norm: gamma must have one number for each of the 3 channels of f32[4,3], not f32[4]");
  CHECK(message_of<ArgumentError>([&] { batch_norm(x, c, c, c, c, -1); }) ==
        "batch_norm: epsilon must be at least 0, not -1");
}

/// A residual block, and the gradients of the batch's mean square.
struct Block {
  Graph graph;
  Variables variables;
  std::vector<Value> parameters, outputs;

  Block(const Shape& slice, std::size_t replicas) {
    const float share = 1 / static_cast<float>(replicas);
    const std::int64_t channels = slice[-1];
    const Value x = graph.input({DType::f32, slice}, "x");
    const auto parameter = [&](const std::string& name, const Tensor& first) {
      variables.set(name, first);
      parameters.push_back(graph.variable(first.type(), name));
      return parameters.back();
    };
    const auto layer = [&](const std::string& name, Value in) {
      const Value kernel = parameter(name + "/kernel", normal({3, 3, channels, channels}, 0, 0.1f)),
                  gamma = parameter(name + "/gamma", normal({channels}, 1, 0.2f)),
                  beta = parameter(name + "/beta", normal({channels}, 0, 0.2f));
      const Value y = conv2d(in, kernel, {.padding = {1, 1, 1, 1}});
      const Moments moments = batch_moments(y, share);
      outputs.push_back(moments.mean);
      outputs.push_back(moments.variance);
      return batch_norm(y, moments.mean, moments.variance, gamma, beta);
    };
    const Value y = relu(layer("b", relu(layer("a", x))) + x);
    const Value loss = mean(square(y)) * share;
    for (const Value& slope : gradients(loss, parameters)) outputs.push_back(all_reduce(slope));
    outputs.push_back(all_reduce(loss));
    outputs.push_back(y);
  }
};

TEST_CASE("batch_norm: the slices of a batch have its moments, gradients and result") {
  // In blocks of channels, and with a few that do not fill a block.
  for (const std::int64_t channels : {16, 5}) {
    const Tensor x = normal({16, 6, 6, channels}, 0.5f, 1);
    Block whole({16, 6, 6, channels}, 1);
    const auto wanted = compile(whole.outputs, whole.variables).run({{"x", x}});
    for (const std::size_t replicas : {2, 4}) {
      Block slice({16 / static_cast<std::int64_t>(replicas), 6, 6, channels}, replicas);
      Executable executable = compile(slice.outputs, slice.variables, {.replicas = replicas});
      // By layer, two for the moments and one for their gradients; one for those of parameters.
      CHECK(executable.statistics().meetings == 2 * 3 + 1);
      const auto got = executable.run({{"x", x}});
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        CAPTURE(i);
        REQUIRE(got[i].type() == wanted[i].type());
        double largest = 0, error = 0;
        for (std::size_t k = 0; k < got[i].data<float>().size(); ++k) {
          const double want = wanted[i].data<float>()[k];
          largest = std::max(largest, std::abs(want));
          error = std::max(error, std::abs(got[i].data<float>()[k] - want));
        }
        // Sums of some hundred numbers in another order: 1e-6 of the largest.
        CHECK(error <= 3e-6 * std::max(largest, 0.1));
      }
    }
  }
}

TEST_CASE("batch_norm: raw data with large means, cut among replicas") {
  // Channels: a year that is the same everywhere, and one that varies.
  Tensor x(Type{DType::f32, {64, 2}});
  for (std::int64_t r = 0; r < 64; ++r) {
    x.data<float>()[static_cast<std::size_t>(2 * r)] = 2015;
    x.data<float>()[static_cast<std::size_t>(2 * r + 1)] = static_cast<float>(1990 + r % 32);
  }
  Graph graph;
  const Value slice = graph.input({DType::f32, {32, 2}}, "x");
  const Moments moments = batch_moments(slice, 0.5f);
  const Value one = graph.constant(Tensor::full({2}, 1)),
              zero = graph.constant(Tensor::full({2}, 0));
  const auto got = compile({moments.mean, moments.variance,
                            batch_norm(slice, moments.mean, moments.variance, one, zero)},
                           {.replicas = 2, .check_numbers = true})
                       .run({{"x", x}});
  CHECK(to_floats(got[0]) == std::vector<float>{2015, 2005.5f});
  CHECK(to_floats(got[1]) == std::vector<float>{0, 85.25f});
  CHECK(got[2].data<float>()[0] == 0);
  // 2005.5 / 9.2, which cancels, is rounded to 1e-5.
  CHECK(std::abs(got[2].data<float>()[1] - -15.5f / std::sqrt(85.251f)) < 5e-5f);
}

TEST_CASE("batch_norm: a residual block in training reads and writes what it must") {
  Block block({8, 8, 8, 16}, 1);
  Executable executable = compile(block.outputs, block.variables);
  const std::string steps = executable.to_string();
  CAPTURE(steps);
  const auto count = [&](const std::string& label) {
    std::size_t found = 0;
    for (const auto& step : executable.profile_steps()) found += step.label == label;
    return found;
  };
  CHECK(count("batch_moments") == 2);
  CHECK(count("batch_norm_sums") == 2);
  // Nothing is broadcast or summed by itself.
  for (const std::string label : {"broadcast_to", "batch_norm", "square", "sub"}) {
    CAPTURE(label);
    CHECK(count(label) == 0);
  }
  CHECK(steps.find("ref:") == std::string::npos);
}

TEST_CASE("standardize: exact where the mean is large, whatever lies side by side") {
  struct Case {
    Shape x;
    std::vector<int> axes;
  };
  for (const Case& c : std::vector<Case>{{{3, 5000}, {1}},
                                         {{2, 700, 9, 3}, {1, 3}},
                                         {{2, 3000, 5}, {1}},
                                         {{2, 40, 2, 600}, {1, 3}},
                                         {{2, 3, 4, 5, 6}, {1, 3}}}) {
    CAPTURE(c.x);
    const Tensor x = normal(c.x, 1000, 1);
    Graph graph;
    const Value y = standardize(graph.input(x.type(), "x"), c.axes, 0);
    const auto got = to_floats(compile({y}).run({{"x", x}})[0]);
    const auto exact = evaluate({y}, {{"x", to_array(x)}})[0].data;
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      worst = std::max(worst, std::abs(double{got[i]} - exact[i]));
    }
    // The mean is good to the last bits of 1000. By sums of x and of x^2, the variance would be off
    // by 0.1.
    CHECK(worst < 2e-4);
  }
}

TEST_CASE("standardize: what does not fit is refused") {
  Graph graph;
  const auto input = [&](const Shape& shape) { return graph.input({DType::f32, shape}, "x"); };
  CHECK(message_of<ArgumentError>([&] {
          standardize(input({2, 3}), {}, 0);
        }) == "standardize: it needs at least one axis");
  CHECK(message_of<ArgumentError>([&] {
          standardize(input({2, 3}), {1}, -1);
        }) == "standardize: epsilon must be at least 0, not -1");
  CHECK(message_of<ShapeError>([&] {
          standardize(input({2, 3}), {2}, 0);
        }) == "standardize: axis 2 is outside a shape of rank 2: [2,3]");
  CHECK(message_of<ShapeError>([&] {
          standardize(input({2, 0}), {1}, 0);
        }) == "standardize: x is empty: f32[2,0]");
}

}  // namespace
}  // namespace weft
