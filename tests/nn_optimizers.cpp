#include "nn/optimizers.hpp"

#include <cmath>
#include <functional>

#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

/// Runs an optimizer in double precision on one parameter with the gradient g(w), and returns the
/// parameter after each of some steps.
std::vector<double> descend(const nn::Optimizer& optimizer, double w,
                            const std::function<double(double)>& g, int steps) {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, true};
  nn::Scope root(trace);
  const Value parameter = root.parameter("w", {1}, "zeros");
  const Value gradient = graph.input({DType::f32, {1}}, "g");
  nn::OptimizerScope scope(trace, optimizer.name, optimizer.learning_rate);
  scope.for_parameter(trace.weights[0]);
  trace.updates.push_back({parameter, optimizer(scope, parameter, gradient)});

  std::unordered_map<std::string, Array> feeds;
  for (const std::string& name : variables.names()) feeds[name] = to_array(variables.get(name));
  feeds["w"].data[0] = w;
  std::vector<double> result;
  for (int i = 0; i < steps; ++i) {
    feeds["g"] = Array({1}, {g(feeds["w"].data[0])});
    std::vector<Value> wanted;
    for (const Update& update : trace.updates) wanted.push_back(update.next);
    const std::vector<Array> next = evaluate(wanted, feeds);
    for (std::size_t u = 0; u < next.size(); ++u) feeds[trace.updates[u].variable.name()] = next[u];
    result.push_back(feeds["w"].data[0]);
  }
  return result;
}

// The gradient of w^2, and of something that is not symmetric.
double twice(double w) { return 2 * w; }
double uneven(double w) { return w * w - 0.3; }

}  // namespace

TEST_CASE("optimizers: sgd") {
  check_close(descend("sgd", 1, twice, 3), {0.98, 0.9604, 0.941192});
  check_close(descend(nn::SGD{.learning_rate = 0.1}, 1, twice, 2), {0.8, 0.64});
}

TEST_CASE("optimizers: sgd with momentum, and Nesterov's") {
  // m = -0.2, w = 0.8; m = -0.18 - 0.16, w = 0.46; m = -0.306 - 0.092, w = 0.062.
  check_close(descend(nn::SGD{.learning_rate = 0.1, .momentum = 0.9}, 1, twice, 3),
              {0.8, 0.46, 0.062}, 1e-5);
  // m = -0.2, w = 1 - 0.18 - 0.2 = 0.62; m = -0.18 - 0.124 = -0.304, w = 0.62 - 0.2736 - 0.124.
  check_close(
      descend(nn::SGD{.learning_rate = 0.1, .momentum = 0.9, .nesterov = true}, 1, twice, 2),
      {0.62, 0.2224}, 1e-5);
}

TEST_CASE("optimizers: adam") {
  const nn::Adam adam{.learning_rate = 0.1, .epsilon = 1e-3};
  double w = 1, m = 0, v = 0;
  std::vector<double> wanted;
  for (int t = 1; t <= 5; ++t) {
    const double g = uneven(w);
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    w -= 0.1 * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t)) * m /
         (std::sqrt(v) + 1e-3);
    wanted.push_back(w);
  }
  check_close(descend(adam, 1, uneven, 5), wanted, 1e-5);
  // The first step is learning_rate long, but for epsilon.
  CHECK(descend("adam", 1, twice, 1)[0] == doctest::Approx(0.999).epsilon(1e-5));
}

TEST_CASE("optimizers: adam keeps the largest v for amsgrad") {
  const nn::Adam adam{.learning_rate = 0.5, .beta_2 = 0.5, .amsgrad = true};
  double w = 1, m = 0, v = 0, largest = 0;
  std::vector<double> wanted;
  for (int t = 1; t <= 6; ++t) {
    const double g = twice(w);
    m += (g - m) * 0.1;
    v += (g * g - v) * 0.5;
    largest = std::max(largest, v);
    w -= 0.5 * std::sqrt(1 - std::pow(0.5, t)) / (1 - std::pow(0.9, t)) * m /
         (std::sqrt(largest) + 1e-7);
    wanted.push_back(w);
  }
  check_close(descend(adam, 1, twice, 6), wanted, 1e-5);
}

TEST_CASE("optimizers: adamw takes off decay first") {
  const nn::AdamW adamw{.learning_rate = 0.1, .weight_decay = 0.5};
  double w = 1, m = 0, v = 0;
  std::vector<double> wanted;
  for (int t = 1; t <= 4; ++t) {
    const double g = uneven(w);
    w -= w * 0.5 * 0.1;
    m += (g - m) * 0.1;
    v += (g * g - v) * 0.001;
    w -= 0.1 * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t)) * m /
         (std::sqrt(v) + 1e-7);
    wanted.push_back(w);
  }
  check_close(descend(adamw, 1, uneven, 4), wanted, 1e-5);
}

TEST_CASE("optimizers: rmsprop, with epsilon inside the root") {
  for (const bool centered : {false, true}) {
    for (const double momentum : {0.0, 0.8}) {
      const nn::RMSprop rmsprop{
          .learning_rate = 0.01, .momentum = momentum, .epsilon = 1e-2, .centered = centered};
      double w = 1, v = 0, a = 0, b = 0;
      std::vector<double> wanted;
      for (int t = 1; t <= 4; ++t) {
        const double g = uneven(w);
        v = 0.9 * v + 0.1 * g * g;
        a = 0.9 * a + 0.1 * g;
        b = momentum * b + 0.01 * g / std::sqrt((centered ? v - a * a : v) + 1e-2);
        w -= b;
        wanted.push_back(w);
      }
      check_close(descend(rmsprop, 1, uneven, 4), wanted, 1e-5);
    }
  }
}

TEST_CASE("optimizers: what they keep is named after them and the parameter") {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, true};
  nn::Scope root(trace);
  const Value w = root.parameter("conv2d/kernel", {2}, "zeros");
  nn::OptimizerScope scope(trace, "adam", 0.25);
  scope.for_parameter(trace.weights[0]);
  nn::Adam{}(scope, w, graph.input({DType::f32, {2}}, "g"));
  CHECK(variables.names() == std::vector<std::string>{"conv2d/kernel", "adam/learning_rate",
                                                      "adam/iteration", "adam/m/conv2d/kernel",
                                                      "adam/v/conv2d/kernel"});
  CHECK(variables.get("adam/learning_rate").item<float>() == 0.25f);
}

TEST_CASE("optimizers: by name, by object, of the user's own") {
  CHECK(nn::Optimizer("RMSprop").name == "rmsprop");
  CHECK(nn::Optimizer("Adam").as<nn::Adam>()->beta_2 == 0.999);
  CHECK(message_of<ArgumentError>([] { nn::Optimizer("lamb"); }) ==
        "optimizer: unknown name \"lamb\"; known are sgd, adam, adamw, rmsprop");

  struct SignDescent {
    double learning_rate = 0.5;
    static std::string_view name() { return "sign_descent"; }
    Value operator()(nn::OptimizerScope& scope, Value w, Value g) const {
      return w - scope.learning_rate() * sign(g);
    }
  };
  check_close(descend(SignDescent{}, 2, twice, 3), {1.5, 1, 0.5});
}

}  // namespace weft::test
