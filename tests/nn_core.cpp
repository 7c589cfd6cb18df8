// Core, activation, normalization and dropout layers: their gradients, what they draw, what they
// say of arguments and inputs that do not fit. reference_core.cpp compares their numbers with
// Keras'.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "autodiff/check_gradients.hpp"
#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

Tensor normal(const Shape& shape, std::uint32_t seed) {
  Tensor tensor(Type{DType::f32, shape});
  std::mt19937 random(seed);
  std::normal_distribution<float> numbers(0, 1);
  for (float& number : tensor.data<float>()) number = numbers(random);
  return tensor;
}

/// Checks the gradients of a layer in training, by its inputs and its weights, in double precision.
/// Kinks lie far enough from random inputs for the steps of a difference.
void check_layer_gradients(const nn::Layer& layer, const std::vector<Shape>& shapes) {
  CAPTURE(layer.type());
  CAPTURE(shapes[0]);
  std::vector<Tensor> inputs;
  Variables variables;
  Graph first;
  nn::Trace made{first, variables, 1, true};
  {
    nn::Scope scope(made);
    std::vector<Value> x;
    for (const Shape& shape : shapes) {
      inputs.push_back(normal(shape, static_cast<std::uint32_t>(inputs.size() + 1)));
      x.push_back(first.input({DType::f32, shape}, "x" + std::to_string(x.size())));
    }
    layer(scope, x);
  }
  std::vector<nn::Trace::Weight> weights = made.weights;
  for (const auto& weight : weights) {
    inputs.push_back(normal(weight.value.shape(), static_cast<std::uint32_t>(inputs.size() + 1)));
  }
  // Moments that are kept are no matter of this gradient, and a variance is not negative.
  std::erase_if(weights, [](const auto& weight) { return !weight.is_parameter; });
  inputs.resize(shapes.size() + weights.size());
  const auto function = [&](const std::vector<Value>& in) {
    Graph& graph = Graph::of(in[0]);
    nn::Trace trace{graph, variables, 1, true};
    trace.random_key = graph.constant(Tensor::of<std::int32_t>({2}, {3, 4}));
    trace.random_step = graph.constant(Tensor::of<std::int32_t>({2}, {5, 0}));
    for (std::size_t i = 0; i < weights.size(); ++i) {
      trace.index.emplace(std::pair{&variables.store(), weights[i].name}, i);
      trace.weights.push_back(weights[i]);
      trace.weights[i].value = in[shapes.size() + i];
    }
    nn::Scope scope(trace);
    return layer(scope, std::vector<Value>(in.begin(), in.begin() + std::ssize(shapes)));
  };
  const CheckReport report = check_gradients(function, inputs);
  CHECK(report.comparisons == 2 * inputs.size());
}

/// What a layer makes of x in training.
struct Run {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, true};
  nn::Scope scope{trace};
  Feeds feeds{{"random_key", Tensor::of<std::int32_t>({2}, {3, 4})},
              {"random_step", Tensor::of<std::int32_t>({2}, {5, 0})}};

  Value input(const Tensor& x) {
    feeds["x"] = x;
    return graph.input(x.type(), "x");
  }
  Tensor operator()(Value y) {
    Feeds used;
    Executable executable = compile({y}, variables);
    for (const auto& [name, tensor] : feeds) {
      try {
        executable.input(name);
        used[name] = tensor;
      } catch (const ArgumentError&) {
      }
    }
    return executable.run(used)[0];
  }
  Tensor operator()(const nn::Layer& layer, const Tensor& x) {
    return (*this)(layer(scope, input(x)));
  }
};

Tensor train(const nn::Layer& layer, const Tensor& x) {
  Run run;
  return run(layer, x);
}

struct Moments {
  double mean = 0, variance = 0;
};
Moments moments_of(const Tensor& tensor) {
  Moments m;
  const auto n = static_cast<double>(tensor.data<float>().size());
  for (const float x : tensor.data<float>()) m.mean += x / n;
  for (const float x : tensor.data<float>()) m.variance += (x - m.mean) * (x - m.mean) / n;
  return m;
}

Shape shape_after(const nn::Layer& layer, const Shape& input, bool training = false) {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, training};
  nn::Scope scope(trace);
  return layer(scope, graph.input({DType::f32, input}, "x")).shape();
}

template <class F>
std::string argument_error(F f) {
  return message_of<ArgumentError>(f);
}
std::string shape_error(const nn::Layer& layer, const Shape& input) {
  return message_of<ShapeError>([&] { shape_after(layer, input); });
}
std::string axis_error(const nn::Layer& layer, const Shape& input) {
  return argument_error([&] { shape_after(layer, input); });
}

}  // namespace

TEST_CASE("core layers: gradients in training") {
  const Shape rows{5, 6}, sequences{3, 4, 6}, images{3, 4, 2, 6};
  const auto check = [](const nn::Layer& layer, const Shape& x) {
    check_layer_gradients(layer, {x});
  };
  check(nn::Dense(4, {.activation = "tanh"}), rows);
  check(nn::Dense(4, {.activation = "swish", .use_bias = false}), sequences);
  check(nn::Rescaling(0.5, 2), rows);
  check(nn::Identity(), rows);
  check(nn::ReLU({.max_value = 1.5, .negative_slope = 0.25, .threshold = 0.5}), rows);
  check(nn::LeakyReLU(), rows);
  check(nn::PReLU({.shared_axes = {1}}), images);
  check(nn::ELU({.alpha = 0.5}), rows);
  check(nn::Softmax(), rows);
  check(nn::Softmax({.axis = {1, 2}}), images);
  check(nn::BatchNormalization(), rows);
  check(nn::BatchNormalization({.axis = 1}), images);
  check(nn::LayerNormalization(), rows);
  check(nn::LayerNormalization({.axis = {1, 3}}), images);
  check(nn::LayerNormalization({.rms_scaling = true}), sequences);
  check(nn::GroupNormalization({.groups = 3}), images);
  check(nn::GroupNormalization({.groups = 2, .axis = 1}), images);
  check(nn::RMSNormalization(), sequences);
  check(nn::UnitNormalization(), sequences);
  check(nn::Dropout(0.4), rows);
  check(nn::Dropout(0.4, {.noise_shape = {-1, 1, 6}, .seed = 3}), sequences);
  check(nn::SpatialDropout1D(0.4), sequences);
  check(nn::SpatialDropout2D(0.4), images);
  check(nn::GaussianNoise(0.4), rows);
  check(nn::GaussianDropout(0.4), rows);
  check(nn::AlphaDropout(0.4), rows);
  check_layer_gradients(nn::Dot(2), {{3, 4, 5}, {3, 2, 5}});
  check_layer_gradients(nn::Dot({1, -1}, {.normalize = true}), {{3, 5, 4}, {3, 5}});
  // By the vectors alone: numbers that are looked up have no gradient.
  const nn::Layer embedding = nn::Embedding(4, 3);
  check_gradients(
      [&](const std::vector<Value>& in) {
        Graph& graph = Graph::of(in[0]);
        return gather(in[0], graph.constant(Tensor::of<std::int32_t>({2, 2}, {3, 0, 3, 1})));
      },
      {normal({4, 3}, 1)});
}

TEST_CASE("core layers: every activation's gradient") {
  for (const std::string name : {"linear",
                                 "relu",
                                 "relu6",
                                 "leaky_relu",
                                 "elu",
                                 "selu",
                                 "celu",
                                 "sigmoid",
                                 "hard_sigmoid",
                                 "log_sigmoid",
                                 "sparse_sigmoid",
                                 "tanh",
                                 "hard_tanh",
                                 "tanh_shrink",
                                 "soft_shrink",
                                 "hard_shrink",
                                 "softplus",
                                 "squareplus",
                                 "sparse_plus",
                                 "softsign",
                                 "swish",
                                 "silu",
                                 "hard_silu",
                                 "hard_swish",
                                 "mish",
                                 "gelu",
                                 "exponential",
                                 "softmax",
                                 "log_softmax",
                                 "sparsemax",
                                 "glu"}) {
    CAPTURE(name);
    check_layer_gradients(nn::Activation(name), {{4, 6}});
  }
  CHECK(message_of<ShapeError>([] {
          shape_after(nn::Activation("glu"), {2, 5});
        }) == "glu: axis -1 of f32[2,5] must have an even size, to be halved");
}

TEST_CASE("core layers: shapes, names and weights in Keras' order") {
  const auto weights = [](const nn::Layer& layer, const Shape& input) {
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, false};
    nn::Scope scope(trace);
    layer(scope, graph.input({DType::f32, input}, "x"));
    std::string result;
    for (const auto& weight : trace.weights) {
      result += fmt::format("{} {}\n", weight.name, weight.value.type());
    }
    return result;
  };
  CHECK(weights(nn::Embedding(7, 3), {2, 5}) == "embedding/embeddings f32[7,3]\n");
  CHECK(shape_after(nn::Embedding(7, 3), {2, 5}) == Shape{2, 5, 3});
  CHECK(weights(nn::PReLU(), {2, 4, 3, 5}) == "p_re_lu/alpha f32[4,3,5]\n");
  CHECK(weights(nn::PReLU({.shared_axes = {1, 2}}), {2, 4, 3, 5}) == "p_re_lu/alpha f32[1,1,5]\n");
  CHECK(weights(nn::LayerNormalization({.axis = {3, 1}}), {2, 4, 3, 5}) ==
        "layer_normalization/gamma f32[4,5]\nlayer_normalization/beta f32[4,5]\n");
  CHECK(weights(nn::GroupNormalization({.groups = 2, .axis = 1}), {2, 4, 3, 5}) ==
        "group_normalization/gamma f32[4]\ngroup_normalization/beta f32[4]\n");
  CHECK(weights(nn::RMSNormalization(), {2, 5}) == "rms_normalization/scale f32[5]\n");
  CHECK(weights(nn::UnitNormalization(), {2, 5}).empty());
}

TEST_CASE("core layers: arguments out of range") {
  CHECK(argument_error([] { nn::Embedding(0, 3); }) ==
        "Embedding: input_dim must be at least 1, not 0");
  CHECK(argument_error([] { nn::Embedding(3, -1); }) ==
        "Embedding: output_dim must be at least 1, not -1");
  CHECK(
      argument_error([] { nn::Embedding(3, 2, {.mask_zero = true}); }) ==
      "Embedding: mask_zero must be false, since layers pass on no masks; what stands for padding "
      "is seen by the layers that follow, so give it a number of its own");
  CHECK(argument_error([] { nn::Rescaling(std::vector<double>{}); }) ==
        "Rescaling: scale and offset must be a number each, or one per channel");
  CHECK(argument_error([] { nn::ActivityRegularization({.l2 = -1}); }) ==
        "ActivityRegularization: l2 must be finite and at least 0, not -1");
  CHECK(argument_error([] { nn::LeakyReLU({.negative_slope = -1}); }) ==
        "LeakyReLU: negative_slope must be at least 0, not -1");
  CHECK(argument_error([] { nn::Softmax({.axis = std::vector<int>{}}); }) ==
        "Softmax: it needs at least one axis");
  CHECK(argument_error([] { nn::LayerNormalization({.epsilon = -1}); }) ==
        "LayerNormalization: epsilon must be at least 0, not -1");
  CHECK(argument_error([] { nn::LayerNormalization({.axis = std::vector<int>{}}); }) ==
        "LayerNormalization: it needs at least one axis");
  CHECK(argument_error([] { nn::GroupNormalization({.groups = 0}); }) ==
        "GroupNormalization: groups must be at least 1, or -1 for one per channel, not 0");
  CHECK(argument_error([] { nn::Dropout(-0.1); }) == "Dropout: rate must be in [0, 1], not -0.1");
  CHECK(argument_error([] {
          nn::Dropout(0.1, {.noise_shape = {-1, 0}});
        }) == "Dropout: noise_shape must have positive sizes, or -1 for the input's, not [-1,0]");
  CHECK(argument_error([] { nn::SpatialDropout2D(0.5, {.data_format = "NCHW"}); }) ==
        "SpatialDropout2D: data_format must be \"channels_last\" or \"channels_first\", not "
        "\"NCHW\"");
  CHECK(argument_error([] { nn::GaussianNoise(1.5); }) ==
        "GaussianNoise: stddev must be in [0, 1], not 1.5");
  CHECK(argument_error([] { nn::GaussianDropout(1); }) ==
        "GaussianDropout: rate must be in [0, 1), not 1");
  CHECK(argument_error([] { nn::AlphaDropout(1); }) ==
        "AlphaDropout: rate must be in [0, 1), not 1");
  CHECK(argument_error([] {
          nn::Dot({1, 2, 3});
        }) == "Dot: axes must be one for both inputs, or one for each, not 3");
}

TEST_CASE("core layers: inputs that do not fit") {
  CHECK(shape_error(nn::Rescaling({1, 2, 3}), {2, 4}) ==
        "Rescaling: scale has 3 numbers, one per channel, but the input is f32[2,4]");
  CHECK(axis_error(nn::PReLU({.shared_axes = {3}}), {2, 4, 3}) ==
        "PReLU: shared_axes must be among 1 to 2, 0 being the batch, not 3");
  CHECK(shape_error(nn::PReLU(), {2}) == "PReLU: the input must be at least f32[N,C], not f32[2]");
  CHECK(shape_error(nn::LayerNormalization({.axis = 4}), {2, 4, 3}) ==
        "LayerNormalization: axis 4 is outside a shape of rank 3: [2,4,3]");
  CHECK(axis_error(nn::GroupNormalization({.axis = 3}), {2, 4, 3}) ==
        "GroupNormalization: axis 3 must be one of 1 to 2, or -1 to -2, for an input f32[2,4,3]");
  CHECK(shape_error(nn::GroupNormalization(), {2, 4}) ==
        "GroupNormalization: the 4 channels of f32[2,4] cannot be cut into 32 groups");
  CHECK(shape_error(nn::Dropout(0.5, {.noise_shape = {-1, 1}}), {2, 4, 3}) ==
        "Dropout: noise_shape [-1,1] does not fit the input f32[2,4,3]: it needs a size for each "
        "axis, the input's (or -1) or 1");
  CHECK(shape_error(nn::AlphaDropout(0.5, {.noise_shape = {-1, 2}}), {2, 4})
            .starts_with("AlphaDropout: noise_shape [-1,2] does not fit the input f32[2,4]"));
  CHECK(shape_error(nn::SpatialDropout1D(0.5), {2, 4}) ==
        "SpatialDropout1D: the input must be f32[N,T,C], not f32[2,4]");
  CHECK(shape_error(nn::SpatialDropout2D(0.5, {.data_format = "channels_first"}), {2, 4}) ==
        "SpatialDropout2D: the input must be f32[N,C,H,W], not f32[2,4]");
  const auto dot = [](const nn::Axes& axes, const std::vector<Shape>& shapes) {
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, false};
    nn::Scope scope(trace);
    std::vector<Value> inputs;
    for (const Shape& shape : shapes) inputs.push_back(graph.input({DType::f32, shape}, "x"));
    nn::Layer(nn::Dot{axes})(scope, inputs);
  };
  CHECK(argument_error([&] { dot(1, {{2, 3}}); }) == "Dot: it takes two inputs, but 1 were given");
  CHECK(argument_error([&] {
          dot(2, {{2, 3}, {2, 3}});
        }) == "Dot: axis 2 must be one of 1 to 1, or -1 to -1, for an input [N,3]");
  CHECK(
      message_of<ShapeError>([&] {
        dot(1, {{2, 3}, {2, 4}});
      }) ==
      "Dot: inputs [N,3] and [N,4] do not fit: axis 1 of the first and 1 of the second must be of "
      "equal size");
  // What is looked up must be there.
  Run run;
  const Value y =
      nn::Layer(nn::Embedding(4, 3))(run.scope, run.input(Tensor::of<float>({1, 2}, {3, 4})));
  CHECK(argument_error([&] {
          run(y);
        }).find("index 4 (element 1 of the indices) is outside [0, 4)") != std::string::npos);
}

TEST_CASE("core layers: zeros and large means do no harm to normalization") {
  const Tensor zeros = Tensor::full({2, 4}, 0.0f);
  for (const nn::Layer& layer :
       std::vector<nn::Layer>{nn::UnitNormalization(), nn::LayerNormalization(),
                              nn::RMSNormalization(), nn::GroupNormalization({.groups = 2})}) {
    CAPTURE(layer.type());
    Run run;
    const Value x = run.input(zeros), y = layer(run.scope, x);
    const Value dx = gradients(sum(y), {x})[0];
    for (const float number : to_floats(run(y))) CHECK(number == 0);
    for (const float number : to_floats(run(dx))) CHECK(std::isfinite(number));
  }
  // A row of zeros: its direction is any.
  Graph graph;
  const Value w = graph.input({DType::f32, {2, 2}}, "w");
  const Value slope = gradients(nn::OrthogonalRegularizer{}(w), {w})[0];
  for (const float number :
       to_floats(compile({slope}).run({{"w", Tensor::of<float>({2, 2}, {0, 0, 1, 2})}})[0])) {
    CHECK(std::isfinite(number));
  }
  Tensor far = normal({3, 100}, 1);
  for (float& number : far.data<float>()) number += 3000;
  const Moments m = moments_of(train(nn::LayerNormalization(), far));
  CHECK(std::abs(m.mean) < 1e-3);
  CHECK(m.variance == doctest::Approx(1).epsilon(0.01));
}

TEST_CASE("dropout layers: mean and variance") {
  const Tensor ones = Tensor::full({400, 400}, 1.0f);
  const auto check = [&](const nn::Layer& layer, const Tensor& x, double mean, double variance) {
    CAPTURE(layer.type());
    const Moments m = moments_of(train(layer, x));
    CHECK(m.mean == doctest::Approx(mean).epsilon(0.02).scale(1));
    CHECK(m.variance == doctest::Approx(variance).epsilon(0.02));
  };
  check(nn::Dropout(0.2), ones, 1, 0.25);
  check(nn::Dropout(0.8), ones, 1, 4);
  check(nn::GaussianDropout(0.2), ones, 1, 0.25);
  check(nn::GaussianNoise(0.5), ones, 1, 0.25);
  const Tensor units = normal({400, 400}, 2);
  check(nn::AlphaDropout(0.1), units, 0, 1);
  check(nn::AlphaDropout(0.5), units, 0, 1);
  for (const float number : to_floats(train(nn::Dropout(1), ones))) REQUIRE(number == 0);
  // Outside training, and with nothing to do, they are not there.
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, false};
  nn::Scope scope(trace);
  const Value x = graph.input({DType::f32, {2, 3, 4, 5}}, "x");
  CHECK(nn::SpatialDropout2D(0.5)(scope, x) == x);
  CHECK(nn::GaussianNoise(0.5)(scope, x) == x);
  CHECK(nn::GaussianDropout(0.5)(scope, x) == x);
  CHECK(nn::AlphaDropout(0.5)(scope, x) == x);
  trace.training = true;
  CHECK(nn::GaussianNoise(0)(scope, x) == x);
  CHECK(nn::AlphaDropout(0)(scope, x) == x);
}

TEST_CASE("dropout layers: what is drawn once holds along its axes") {
  // The elements of y[n,h,w,c] that go with the same channel, or the same place, are equal.
  const auto groups = [](const nn::Layer& layer, std::array<bool, 4> own) {
    CAPTURE(layer.type());
    const Shape shape{6, 4, 5, 7};
    const Tensor y = train(layer, Tensor::full(shape, 1.0f));
    std::map<std::int64_t, float> seen;
    std::int64_t at = 0;
    for (std::int64_t n = 0; n < 6; ++n) {
      for (std::int64_t h = 0; h < 4; ++h) {
        for (std::int64_t w = 0; w < 5; ++w) {
          for (std::int64_t c = 0; c < 7; ++c, ++at) {
            const std::int64_t key =
                own[0] * n * 1000 + own[1] * h * 100 + own[2] * w * 10 + own[3] * c;
            const float number = y.data<float>()[static_cast<std::size_t>(at)];
            const bool fits = seen.emplace(key, number).first->second == number;
            REQUIRE(fits);
          }
        }
      }
    }
    // Dropped and kept ones.
    std::set<float> numbers;
    for (const auto& [_, number] : seen) numbers.insert(number);
    CHECK(numbers.size() == 2);
  };
  groups(nn::SpatialDropout2D(0.5), {true, false, false, true});
  groups(nn::SpatialDropout2D(0.5, {.data_format = "channels_first"}), {true, true, false, false});
  groups(nn::Dropout(0.5, {.noise_shape = {-1, 4, 1, 1}}), {true, true, false, false});
  groups(nn::Dropout(0.5, {.noise_shape = {1, 1, -1, -1}}), {false, false, true, true});
  groups(nn::Dropout(0.5, {.noise_shape = {64, 1, 5, 1}}), {true, false, true, false});
  groups(nn::AlphaDropout(0.5, {.noise_shape = {-1, 1, 1, -1}}), {true, false, false, true});
}

TEST_CASE("dropout layers: a seed is a stream of its own") {
  const Tensor ones = Tensor::full({8, 8}, 1.0f);
  const auto drawn = [&](std::optional<std::int64_t> seed, std::vector<std::int32_t> key,
                         std::vector<std::int32_t> step, bool other_first) {
    Run run;
    run.feeds["random_key"] = Tensor::of<std::int32_t>({2}, key);
    run.feeds["random_step"] = Tensor::of<std::int32_t>({2}, step);
    const Value x = run.input(ones);
    if (other_first) nn::Layer(nn::Dropout(0.5))(run.scope, x);
    return to_floats(run(nn::Layer(nn::Dropout(0.5, {.seed = seed}))(run.scope, x)));
  };
  const auto mine = drawn(7, {1, 2}, {2, 0}, false);
  CHECK(drawn(7, {1, 2}, {2, 0}, false) == mine);
  CHECK(drawn(7, {9, 2}, {2, 0}, true) == mine);  // neither fit's seed nor other layers matter
  CHECK(drawn(8, {1, 2}, {2, 0}, false) != mine);
  CHECK(drawn(7, {1, 2}, {3, 0}, false) != mine);  // the next step
  CHECK(drawn(7, {1, 2}, {2, 1}, false) != mine);  // another replica
  const auto shared = drawn({}, {1, 2}, {2, 0}, false);
  CHECK(drawn({}, {9, 2}, {2, 0}, false) != shared);
  CHECK(drawn({}, {1, 2}, {2, 0}, true) != shared);
  CHECK(drawn({}, {1, 2}, {9, 0}, false) == shared);
  // A layer that is called twice draws twice; two layers of one seed draw the same.
  Run run;
  const Value x = run.input(ones);
  const nn::Layer twice = nn::GaussianNoise(0.5, {.seed = 3});
  const auto first = to_floats(run(twice(run.scope, x)));
  CHECK(to_floats(run(twice(run.scope, x))) != first);
  CHECK(to_floats(run(nn::Layer(nn::GaussianNoise(0.5, {.seed = 3}))(run.scope, x))) == first);
}

TEST_CASE("dropout layers: fit is repeatable, and a seed of one's own is no matter of fit's") {
  nn::Random random(1);
  Tensor x(Type{DType::f32, {32, 4}}), y(Type{DType::f32, {32, 1}});
  for (float& number : x.data<float>()) number = static_cast<float>(random.normal());
  for (float& number : y.data<float>()) number = static_cast<float>(random.normal());
  const auto losses = [&](std::optional<std::int64_t> own, std::uint64_t seed,
                          std::size_t replicas) {
    nn::Sequential model({nn::Input({4}), nn::Dropout(0.5, {.seed = own}),
                          nn::GaussianNoise(0.2, {.seed = own}), nn::Dense(1)},
                         {.replicas = replicas});
    model.compile({.optimizer = "sgd", .loss = "mse"});
    return model.fit(
        x, y, {.epochs = 3, .batch_size = 8, .shuffle = false, .verbose = 0, .seed = seed})["loss"];
  };
  for (const std::size_t replicas : {1, 2}) {
    CAPTURE(replicas);
    CHECK(losses({}, 1, replicas) == losses({}, 1, replicas));
    CHECK(losses({}, 1, replicas) != losses({}, 2, replicas));
    CHECK(losses(5, 1, replicas) == losses(5, 2, replicas));
    CHECK(losses(5, 1, replicas) != losses(6, 1, replicas));
  }
}

TEST_CASE("embedding: words are learnt, of s32 and of f32") {
  // Whether the larger of two numbers comes first.
  Tensor x(Type{DType::s32, {64, 2}}), y(Type{DType::f32, {64, 1}});
  for (std::int32_t i = 0; i < 64; ++i) {
    const auto at = static_cast<std::size_t>(i);
    x.data<std::int32_t>()[2 * at] = i / 8;
    x.data<std::int32_t>()[2 * at + 1] = i % 8;
    y.data<float>()[at] = i / 8 > i % 8 ? 1.0f : 0.0f;
  }
  for (const DType dtype : {DType::s32, DType::f32}) {
    nn::Sequential model({nn::Input({2}, {.dtype = dtype}), nn::Embedding(8, 4), nn::Flatten(),
                          nn::Dense(1, {.activation = "sigmoid"})},
                         {.replicas = 2});
    model.compile({.optimizer = nn::Adam{.learning_rate = 0.05}, .loss = "binary_crossentropy"});
    const nn::History history = model.fit(x, y, {.epochs = 60, .batch_size = 16, .verbose = 0});
    CHECK(history["loss"].front() > 0.6);
    CHECK(history["loss"].back() < 0.2);
  }
}

}  // namespace weft::test
