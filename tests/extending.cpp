// What docs/extending.md shows, and that it works. Sections between marks are shown there word for
// word (tests/readme.cpp compares them), so they are written as a user's program would be.
#include <algorithm>
#include <cmath>
#include <span>

#include "autodiff/check_gradients.hpp"
#include "io/model_files.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"
#include "tests/io_files.hpp"
#include "tests/nn_testing.hpp"
// [headers]
#include "nn/nn.hpp"
#include "ops/ops.hpp"

using namespace weft;
// [end]

namespace {

// [layer]
/// A highway: y = g relu(x A + a) + (1 - g) x, where g = sigmoid(x B + b). See Srivastava et al.,
/// 2015.
///   x        f32[N,C]
///   returns  f32[N,C]
struct Highway {
  double gate_bias = -1;  // at first, most of x passes

  static std::string_view name() { return "Highway"; }
  void fields(nn::Fields& fields) { fields("gate_bias", gate_bias); }  // for files
  Value operator()(nn::Scope& scope, Value x) const {
    const std::int64_t units = x.shape()[-1];
    const auto dense = [&](const std::string& part, const nn::Initializer& bias) {
      const Value kernel = scope.parameter(part + "_kernel", {units, units});
      return matmul(x, kernel) + scope.parameter(part + "_bias", {units}, bias);
    };
    const Value gate = sigmoid(dense("gate", nn::Constant{gate_bias}));
    return gate * relu(dense("carry", "zeros")) + (1 - gate) * x;
  }
};
// [end]

// [state]
/// x minus its running mean: each feature has mean 0 over the data, not over the batch.
struct Centering {
  double momentum = 0.9;

  static std::string_view name() { return "Centering"; }
  Value operator()(nn::Scope& scope, Value x) const {
    const auto kept = static_cast<float>(momentum);
    const Value before = scope.state("mean", {x.shape()[-1]});
    scope.update(before, kept * before + (1 - kept) * mean(x, {0}));
    return x - before;
  }
};
// [end]

// [loss]
/// q e where the prediction is e too low, (1 - q) e where it is e too high: least for the number
/// below which a part q of the targets lies. See Koenker and Bassett, 1978.
struct Pinball {
  double quantile = 0.5;

  static std::string_view name() { return "pinball"; }
  Value operator()(Value prediction, Value target) const {
    const auto q = static_cast<float>(quantile);
    const Value error = nn::dense_target(name(), prediction, target) - prediction;
    return mean(maximum(q * error, (q - 1) * error), {-1});
  }
};
// [end]

// [metric]
/// How many predictions are off by less than a tolerance.
struct Within {
  double tolerance = 0.1;

  static std::string_view name() { return "within"; }
  Value operator()(Value prediction, Value target) const {
    const Value off = abs(nn::dense_target(name(), prediction, target) - prediction);
    return mean(less(off, static_cast<float>(tolerance)), {-1});
  }
};
// [end]

// [sums]
/// What predictions are off by, over what targets amount to: sum |p - t| / sum |t|.
struct RelativeError {
  static std::string_view name() { return "relative_error"; }
  Value sums(Value prediction, Value target, Value weight) const {
    const Value t = nn::dense_target(name(), prediction, target);
    Value off = abs(prediction - t), size = abs(t);
    if (weight) {
      weight = nn::aligned_weight(name(), off, weight);
      off = off * weight;
      size = size * weight;
    }
    return concat({reshape(sum(off), {1}), reshape(sum(size), {1})}, 0);
  }
  double result(std::span<const double> sums) const { return sums[0] / sums[1]; }
};
// [end]

// [optimizer]
/// m = momentum m + (1 - momentum) g; w -= learning_rate sign(m). See Bernstein et al., 2018.
struct Signum {
  nn::LearningRate learning_rate = 0.001;
  double momentum = 0.9;

  static std::string_view name() { return "signum"; }
  Value operator()(nn::OptimizerScope& scope, Value w, Value g) const {
    const auto kept = static_cast<float>(momentum);
    const Value before = scope.slot("momentum");
    const Value m = kept * before + (1 - kept) * g;
    scope.update(before, m);
    return w - scope.learning_rate() * sign(m);
  }
};
// [end]

// [activation]
/// x + sin(a x)^2 / a, for what repeats. See Ziyin et al., 2020.
Value snake(Value x, float a = 1) { return x + square(sin(a * x)) / a; }
// [end]

// [schedule]
/// Up in a line for `warmup` steps, and then down as 1 / sqrt(step). See Vaswani et al., 2017.
struct InverseSquareRoot {
  double peak = 0.001;
  double warmup = 4000;

  Value operator()(Value step) const {
    const Value done = (step + 1) / static_cast<float>(warmup);
    return static_cast<float>(peak) * minimum(done, 1 / sqrt(done));
  }
};
// [end]

// [op]
/// Each number and all before it along the last axis; reverse: and all behind it.
struct CumulativeSum {
  bool reverse = false;

  static constexpr auto fields = std::tuple{field("reverse", &CumulativeSum::reverse)};
  static std::string_view name() { return "cumulative_sum"; }
  friend bool operator==(const CumulativeSum&, const CumulativeSum&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    if (in[0].shape.rank() == 0) fail<ShapeError>("{}: a number has no last axis", name());
    return {in[0]};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y = in[0];
    const auto n = static_cast<std::size_t>(y.shape[-1]), count = y.data.size();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = reverse ? count - 1 - i : i;
      if (i % n > 0) y.data[at] += y.data[reverse ? at + 1 : at - 1];
    }
    return {y};
  }
  // x[k] is in y[k] and in all behind it: dx[k] is the sum of their cotangents.
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {apply(CumulativeSum{!reverse}, {args.cotangents[0]})};
  }
  void lower(Lowering& l) const;  // if it is to be fast
};
// [end]

// [builder]
Value cumulative_sum(Value x, bool reverse = false) { return apply(CumulativeSum{reverse}, {x}); }
// [end]

// [lower]
void CumulativeSum::lower(Lowering& l) const {
  const Operand x = l.read_row_major(0);
  const Shape& shape = l.input(0).shape;
  const auto n = static_cast<std::size_t>(std::max<std::int64_t>(shape[-1], 1));
  const auto rows = static_cast<std::size_t>(shape.elements()) / n;
  l.step({x}, {l.write_over(0, x)}, [n, rows, backward = reverse](auto in, auto out) {
    parallel_for(rows, 1 + 4096 / n, [&](std::size_t first, std::size_t last) {
      for (std::size_t row = first; row < last; ++row) {
        const float* from = as<float>(in[0]) + row * n;
        float* to = as<float>(out[0]) + row * n;
        float sum = 0;
        for (std::size_t k = 0; k < n; ++k) {
          const std::size_t at = backward ? n - 1 - k : k;
          sum += from[at];
          to[at] = sum;
        }
      }
    });
  });
}
// [end]

}  // namespace

namespace weft::test {
namespace {

/// Numbers of a fixed seed, around 0.
Tensor normal(const Shape& shape, std::string_view name) {
  nn::Random random(1, name);
  Tensor numbers({DType::f32, shape});
  for (float& number : numbers.data<float>()) number = static_cast<float>(random.normal());
  return numbers;
}

/// x as it is given is what is predicted.
struct Unchanged {
  static std::string_view name() { return "Unchanged"; }
  Value operator()(nn::Scope&, Value x) const { return x; }
};

/// What evaluate shows of a metric, in batches of two.
double shown(const nn::Metric& metric, const nn::Dataset& data, std::size_t replicas) {
  nn::Sequential model({Unchanged{}}, {.replicas = replicas});
  model.compile({.loss = "mse", .weighted_metrics = {metric}});
  return model.evaluate(data, {.batch_size = 2, .verbose = 0})[metric.name];
}

const Tensor predicted = Tensor::of<float>({5, 1}, {1, 2, 3, 4, 5});
const Tensor truth = Tensor::of<float>({5}, {1.05f, 2, 2, 4.2f, 9});

}  // namespace

TEST_CASE("extending: a layer trains in a Sequential and on symbols") {
  // Whether two numbers are of one sign: no function that is linear in them.
  const Tensor x = normal({256, 2}, "x");
  Tensor y({DType::f32, {256, 1}});
  for (std::size_t i = 0; i < 256; ++i) {
    y.data<float>()[i] = x.data<float>()[2 * i] * x.data<float>()[2 * i + 1] > 0 ? 1.0f : 0.0f;
  }
  nn::Sequential model{nn::Input({2}), nn::Dense(8), Highway{}, Highway{.gate_bias = -2},
                       nn::Dense(1, {.activation = "sigmoid"})};
  model.compile({.optimizer = nn::Adam{.learning_rate = 0.02},
                 .loss = "binary_crossentropy",
                 .metrics = {"accuracy"}});
  const nn::History history = model.fit(x, y, {.epochs = 40, .batch_size = 32, .verbose = 0});
  CHECK(history["accuracy"].back() > 0.9);

  std::vector<std::string> names;
  for (const auto& weight : model.weights()) names.push_back(weight.name);
  CHECK(std::vector(names.begin() + 2, names.begin() + 6) ==
        std::vector<std::string>{"highway/gate_kernel", "highway/gate_bias", "highway/carry_kernel",
                                 "highway/carry_bias"});
  CHECK(names[6] == "highway_1/gate_kernel");

  const nn::Input in({3});
  nn::Model functional(in, nn::Layer(Highway{})(nn::Dense(4)(in)));
  CHECK(functional.output_shape() == Shape{4});
  CHECK(functional.count_params() == 3 * 4 + 4 + 2 * (4 * 4 + 4));

  nn::register_layer<Highway>();
  const TemporaryFolder folder;
  model.save(folder / "highways.keras");
  nn::Model loaded = nn::load_model(folder / "highways.keras");
  CHECK(to_floats(loaded.predict(x, {.verbose = 0})) ==
        to_floats(model.predict(x, {.verbose = 0})));
  CHECK(loaded.get_layer("highway_1").as<Highway>()->gate_bias == -2);
}

TEST_CASE("extending: what a layer keeps follows the data, however a batch is cut") {
  const Tensor x = Tensor::of<float>({4, 1}, {1, 3, 5, 7});
  for (const std::size_t replicas : {1, 2}) {
    nn::Sequential model({nn::Input({1}), Centering{.momentum = 0.5}, nn::Dense(1)},
                         {.replicas = replicas});
    model.compile({.optimizer = "sgd", .loss = "mse"});
    for (int step = 0; step < 2; ++step) model.train_on_batch(x, x);
    CHECK(model.variables().get("centering/mean").data<float>()[0] == 3);  // 0, 2, 3: half of 4
    model.evaluate(x, x, {.verbose = 0});
    CHECK(model.variables().get("centering/mean").data<float>()[0] == 3);
  }
}

TEST_CASE("extending: a loss leads to what makes it small") {
  // Targets 0 to 99 and no inputs that say which: what is predicted is a quantile of them.
  Tensor x = Tensor::full({100, 1}, 0.0f), y({DType::f32, {100}});
  for (std::size_t i = 0; i < 100; ++i) y.data<float>()[i] = static_cast<float>(i);
  nn::Sequential model{nn::Input({1}), nn::Dense(1)};
  model.compile({.optimizer = nn::SGD{.learning_rate = 10}, .loss = Pinball{.quantile = 0.9}});
  model.fit(x, y, {.epochs = 300, .batch_size = 100, .verbose = 0});
  const float quantile = model.predict(x, {.verbose = 0}).data<float>()[0];
  CHECK(quantile > 88);
  CHECK(quantile < 91);

  const Array losses =
      evaluate_pair(Pinball{.quantile = 0.9}, {{2, 2}, {1, 2, 3, 4}}, {{2, 2}, {3, 2, 1, 5}});
  check_close(losses.data, {0.9, (0.2 + 0.9) / 2});
}

TEST_CASE("extending: metrics equal what is counted by hand, however samples are cut") {
  const Tensor weights = Tensor::of<float>({5}, {1, 1, 1, 1, 2});
  const nn::Dataset data(predicted, truth);
  const nn::Dataset weighted({predicted}, {truth}, {weights});
  for (const std::size_t replicas : {1, 2}) {
    CHECK(shown(Within{}, data, replicas) == doctest::Approx(2.0 / 5));
    CHECK(shown(Within{.tolerance = 0.5}, weighted, replicas) == doctest::Approx(3.0 / 6));
    CHECK(shown(RelativeError{}, data, replicas) == doctest::Approx(5.25 / 18.25));
    CHECK(shown(RelativeError{}, weighted, replicas) == doctest::Approx(9.25 / 27.25));
  }
}

TEST_CASE("extending: an optimizer and a schedule move weights as their formulas say") {
  // The loss is the mean of w x, and so the gradient is the mean of x: 3, and then -1.
  const auto train = [](const nn::Optimizer& optimizer) {
    nn::Sequential model{nn::Input({1}),
                         nn::Dense(1, {.use_bias = false, .kernel_initializer = "ones"})};
    model.compile({.optimizer = optimizer, .loss = [](Value p, Value) { return mean(p, {-1}); }});
    std::vector<float> weights;
    for (const float slope : {3.0f, -1.0f, -1.0f, -1.0f}) {
      const Tensor x = Tensor::full({2, 1}, slope);
      model.train_on_batch(x, x);
      weights.push_back(model.get_weights()[0].data<float>()[0]);
    }
    return weights;
  };
  const auto close = [](const std::vector<float>& got, const std::vector<double>& wanted) {
    check_close({got.begin(), got.end()}, wanted);
  };
  // m is 1.5, 0.25, -0.375, -0.6875.
  close(train(Signum{.learning_rate = 0.1, .momentum = 0.5}), {0.9, 0.8, 0.9, 1.0});
  // 0.3, 0.17, 0.053, -0.0523; and w loses a twentieth of itself before.
  close(train({Signum{.learning_rate = 0.1}, {.weight_decay = 0.5}}),
        {0.85, 0.7075, 0.572125, 0.64351875});
  // Rates 0.05, 0.1, 0.1 / sqrt(1.5), 0.1 / sqrt(2).
  const InverseSquareRoot schedule{.peak = 0.1, .warmup = 2};
  close(
      train(Signum{.learning_rate = schedule, .momentum = 0}),
      {0.95, 1.05, 1.05 + 0.1 / std::sqrt(1.5), 1.05 + 0.1 / std::sqrt(1.5) + 0.1 / std::sqrt(2)});
}

TEST_CASE("extending: an activation is any function") {
  const nn::Input x({2});
  nn::Model model(x, nn::Dense(3, {.activation = [](Value v) { return snake(v, 2); },
                                   .kernel_initializer = "ones"})(x));
  const Tensor y = model.predict(Tensor::of<float>({1, 2}, {1, 0.5f}), {.verbose = 0});
  CHECK(y.data<float>()[0] == doctest::Approx(1.5 + std::pow(std::sin(3.0), 2) / 2));
  check_gradients([](const std::vector<Value>& in) { return snake(in[0], 2); },
                  {normal({2, 3}, "x")});
}

TEST_CASE("extending: an op has derivatives of any order, and a kernel that agrees with it") {
  for (const bool reverse : {false, true}) {
    const Tensor x = normal({2, 3, 5}, "x");
    const auto squares = [&](const std::vector<Value>& in) {
      return cumulative_sum(square(in[0]), reverse);
    };
    check_gradients(squares, {x});

    Graph graph;
    const Value in = graph.input(x.type(), "x");
    const Value y = cumulative_sum(in, reverse);
    const std::vector<double> wanted = evaluate({y}, {{"x", to_array(x)}})[0].data;
    const std::vector<float> got = to_floats(compile({y}).run({{"x", x}})[0]);
    check_close({got.begin(), got.end()}, wanted, 1e-5);
  }
  const Array sums = evaluate(CumulativeSum{.reverse = true}, std::vector{Type{DType::f32, {2, 3}}},
                              std::vector{Array({2, 3}, {1, 2, 3, 4, 5, 6})})[0];
  CHECK(sums.data == std::vector<double>{6, 5, 3, 15, 11, 6});

  Graph graph;
  CHECK(message_of<ShapeError>([&] {
          cumulative_sum(graph.input({DType::f32, {}}, "x"));
        }) == "cumulative_sum: a number has no last axis");
}

}  // namespace weft::test
