#include "nn/layers.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

/// A model's trace outside any model.
struct Traced {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, false};
  nn::Scope scope{trace};

  Value input(const Shape& shape) { return graph.input({DType::f32, shape}, "x"); }
  /// In double precision, with the weights of now.
  std::vector<double> run(Value y, const Array& x) {
    std::unordered_map<std::string, Array> feeds{{"x", x}};
    for (const std::string& name : variables.names()) feeds[name] = to_array(variables.get(name));
    return evaluate({y}, feeds)[0].data;
  }
};

Shape shape_after(const nn::Layer& layer, const Shape& input) {
  Traced t;
  return layer(t.scope, t.input(input)).shape();
}

template <class F>
std::string argument_error(F f) {
  return message_of<ArgumentError>(f);
}

Array counted(const Shape& shape) {
  Array array(shape);
  std::iota(array.data.begin(), array.data.end(), 1);
  return array;
}

}  // namespace

TEST_CASE("layers: shapes") {
  CHECK(shape_after(nn::Dense(7), {2, 5}) == Shape{2, 7});
  CHECK(shape_after(nn::Dense(7), {2, 3, 5}) == Shape{2, 3, 7});
  CHECK(shape_after(nn::Conv2D(8, {3, 3}), {2, 28, 28, 1}) == Shape{2, 26, 26, 8});
  CHECK(shape_after(nn::Conv2D(8, 3, {.padding = "same"}), {2, 28, 27, 1}) == Shape{2, 28, 27, 8});
  CHECK(shape_after(nn::Conv2D(8, 3, {.strides = 2, .padding = "same"}), {2, 28, 27, 1}) ==
        Shape{2, 14, 14, 8});
  CHECK(shape_after(nn::Conv2D(8, {3, 2}, {.dilation_rate = {2, 1}, .groups = 2}), {2, 9, 9, 4}) ==
        Shape{2, 5, 8, 8});
  CHECK(shape_after(nn::MaxPooling2D(), {2, 7, 8, 3}) == Shape{2, 3, 4, 3});
  CHECK(shape_after(nn::MaxPooling2D({3, 2}, {.strides = 1, .padding = "same"}), {2, 7, 8, 3}) ==
        Shape{2, 7, 8, 3});
  CHECK(shape_after(nn::AveragePooling2D({2, 2}), {2, 7, 8, 3}) == Shape{2, 3, 4, 3});
  CHECK(shape_after(nn::GlobalAveragePooling2D(), {2, 7, 8, 3}) == Shape{2, 3});
  CHECK(shape_after(nn::GlobalMaxPooling2D({.keepdims = true}), {2, 7, 8, 3}) == Shape{2, 1, 1, 3});
  CHECK(shape_after(nn::BatchNormalization(), {2, 7, 8, 3}) == Shape{2, 7, 8, 3});
  CHECK(shape_after(nn::BatchNormalization({.axis = 1}), {2, 7}) == Shape{2, 7});
  CHECK(shape_after(nn::ReLU(), {2, 7}) == Shape{2, 7});
  CHECK(shape_after(nn::Flatten{}, {2, 3, 4, 5}) == Shape{2, 60});
  CHECK(shape_after(nn::Flatten{}, {2}) == Shape{2, 1});
  CHECK(shape_after(nn::Reshape({4, -1}), {2, 3, 8}) == Shape{2, 4, 6});
  CHECK(shape_after(nn::Dropout(0.5), {2, 3}) == Shape{2, 3});
  CHECK(shape_after(nn::Activation("relu"), {2, 3}) == Shape{2, 3});
}

TEST_CASE("layers: dense computes activation(x kernel + bias)") {
  Traced t;
  const nn::Layer dense = nn::Dense(2, {.activation = "relu"});
  const Value y = dense(t.scope, t.input({2, 3}));
  CHECK(t.variables.names() == std::vector<std::string>{"dense/kernel", "dense/bias"});
  t.variables.set("dense/kernel", Tensor::of<float>({3, 2}, {1, -1, 2, 0, 0, 1}));
  t.variables.set("dense/bias", Tensor::of<float>({2}, {0.5f, -4}));
  check_close(t.run(y, counted({2, 3})), {5.5, 0, 14.5, 0});
}

TEST_CASE("layers: initial weights depend on seed and name only") {
  const auto kernel = [](std::uint64_t seed, bool other_first) {
    Traced t;
    t.trace.seed = seed;
    const Value x = t.input({1, 4});
    if (other_first) t.scope.call("other", nn::Dense(3), x);
    t.scope.call("dense", nn::Dense(3), x);
    return to_floats(t.variables.get("dense/kernel"));
  };
  CHECK(kernel(1, false) == kernel(1, true));
  CHECK(kernel(1, false) != kernel(2, false));
}

TEST_CASE("layers: activations by name") {
  const auto at = [](const nn::Activation& activation, double x) {
    Graph graph;
    const Value in = graph.input({DType::f32, {1}}, "x");
    return evaluate({activation(in)}, {{"x", Array({1}, {x})}})[0].data[0];
  };
  CHECK(at("linear", -2) == -2);
  CHECK(at("relu", -2) == 0);
  CHECK(at("relu6", 9) == 6);
  CHECK(at("leaky_relu", -2) == doctest::Approx(-0.4));
  CHECK(at("elu", -1) == doctest::Approx(std::exp(-1) - 1));
  CHECK(at("selu", 1) == doctest::Approx(1.05070098));
  CHECK(at("sigmoid", 1) == doctest::Approx(0.7310586));
  CHECK(at("log_sigmoid", 1) == doctest::Approx(std::log(0.7310586)));
  CHECK(at("tanh", 1) == doctest::Approx(std::tanh(1)));
  CHECK(at("softplus", 1) == doctest::Approx(std::log(1 + std::exp(1))));
  CHECK(at("softsign", -3) == doctest::Approx(-0.75));
  CHECK(at("swish", 1) == doctest::Approx(0.7310586));
  CHECK(at("silu", 1) == doctest::Approx(0.7310586));
  CHECK(at("mish", 1) == doctest::Approx(std::tanh(std::log(1 + std::exp(1)))));
  CHECK(at("gelu", 1) == doctest::Approx(0.8413447));
  CHECK(at("exponential", 1) == doctest::Approx(std::exp(1)));
  CHECK(at("softmax", 3) == 1);
  CHECK(at("log_softmax", 3) == doctest::Approx(0));
  CHECK(at([](Value x) { return x * x; }, 3) == 9);
  CHECK(argument_error([] {
          nn::Activation("rleu");
        }).starts_with("activation: unknown name \"rleu\"; known are linear, relu, relu6"));
}

TEST_CASE("layers: dropout keeps the mean in training, and does nothing else") {
  Traced t;
  const nn::Layer dropout = nn::Dropout(0.25);
  const Value x = t.input({100, 100});
  CHECK(dropout(t.scope, x) == x);
  t.trace.training = true;
  CHECK(nn::Dropout(0)(t.scope, x) == x);
  const Value y = dropout(t.scope, x);
  Array ones({100, 100});
  std::fill(ones.data.begin(), ones.data.end(), 1);
  const auto result = evaluate({y}, {{"x", ones}, {"random_key", Array({2}, {3, 4})}})[0].data;
  double sum = 0;
  for (const double number : result) {
    CHECK((number == 0 || number == doctest::Approx(1 / 0.75)));
    sum += number;
  }
  CHECK(sum / 10000 == doctest::Approx(1).epsilon(0.03));
  // A second one draws other numbers of the same key.
  const Value z = nn::Layer(nn::Dropout(0.25))(t.scope, x);
  CHECK(evaluate({z}, {{"x", ones}, {"random_key", Array({2}, {3, 4})}})[0].data != result);
}

TEST_CASE("layers: arguments out of range") {
  CHECK(argument_error([] { nn::Dense(0); }) == "Dense: units must be at least 1, not 0");
  CHECK(argument_error([] { nn::Conv2D(-1, 3); }) == "Conv2D: filters must be at least 1, not -1");
  CHECK(argument_error([] {
          nn::Conv2D(1, {3, 0});
        }) == "Conv2D: kernel_size must be at least 1, not 3x0");
  CHECK(argument_error([] { nn::Conv2D(1, 3, {.padding = "full"}); }) ==
        "Conv2D: padding must be \"valid\" or \"same\", not \"full\"");
  CHECK(argument_error([] { nn::Conv2D(1, 3, {.strides = 2, .dilation_rate = 2}); }) ==
        "Conv2D: strides 2x2 and dilation_rate 2x2: one of the two must be 1");
  CHECK(argument_error([] { nn::Conv2D(3, 3, {.groups = 2}); }) ==
        "Conv2D: 3 filters cannot be cut into 2 groups");
  CHECK(argument_error([] {
          nn::MaxPooling2D({0, 2});
        }) == "MaxPooling2D: pool_size must be at least 1, not 0x2");
  CHECK(argument_error([] { nn::AveragePooling2D(2, {.strides = -1}); }) ==
        "AveragePooling2D: strides must be at least 1, not -1x-1");
  CHECK(argument_error([] {
          nn::Reshape({-1, -1});
        }) == "Reshape: sizes must be at least 1, and one may be -1, not [-1,-1]");
  CHECK(argument_error([] { nn::Dropout(1.5); }) == "Dropout: rate must be in [0, 1], not 1.5");
}

TEST_CASE("layers: inputs that do not fit") {
  const auto shape_error = [](const nn::Layer& layer, const Shape& input) {
    return message_of<ShapeError>([&] { shape_after(layer, input); });
  };
  CHECK(shape_error(nn::Dense(3), {4}) == "Dense: the input must be at least f32[N,C], not f32[4]");
  CHECK(shape_error(nn::Conv2D(3, 3), {4, 28, 28}) ==
        "Conv2D: the input must be f32[N,H,W,C], not f32[4,28,28]");
  CHECK(shape_error(nn::Conv2D(4, 3, {.groups = 2}), {4, 28, 28, 3}) ==
        "Conv2D: the 3 channels of f32[4,28,28,3] cannot be cut into 2 groups");
  CHECK(shape_error(nn::MaxPooling2D(), {4, 28}) ==
        "MaxPooling2D: the input must be f32[N,H,W,C], not f32[4,28]");
  CHECK(shape_error(nn::Reshape({5, -1}), {2, 3, 8}) ==
        "Reshape: f32[2,3,8] cannot become [2,5,-1]");
  CHECK_FALSE(shape_error(nn::Conv2D(3, 5), {4, 3, 3, 1}).empty());
}

TEST_CASE("layers: what was given can be read back") {
  const nn::Layer layer = nn::Conv2D(
      32, {3, 5},
      {.padding = "same", .activation = "relu", .input_shape = {28, 28, 1}, .name = "c"});
  CHECK(layer.type() == "Conv2D");
  CHECK(layer.name() == "c");
  CHECK(layer.input_shape() == Shape{28, 28, 1});
  const auto* conv = layer.as<nn::Conv2D>();
  REQUIRE(conv != nullptr);
  CHECK(conv->filters == 32);
  CHECK(conv->kernel_size == nn::Size2D(3, 5));
  CHECK(conv->config.activation.identifier == "relu");
  CHECK(conv->config.kernel_initializer.name == "glorot_uniform");
  CHECK(layer.as<nn::Dense>() == nullptr);
  CHECK(nn::MaxPooling2D(3).config.strides == nn::Size2D(3));
}

TEST_CASE("layers: batch normalization keeps moments, and in training moves them") {
  Traced t;
  t.trace.training = true;
  const nn::Layer layer = nn::BatchNormalization({.momentum = 0.75});
  const Value y = layer(t.scope, t.input({4, 2}));
  CHECK(t.variables.names() == std::vector<std::string>{"batch_normalization/gamma",
                                                        "batch_normalization/beta",
                                                        "batch_normalization/moving_mean",
                                                        "batch_normalization/moving_variance"});
  CHECK(to_floats(t.variables.get("batch_normalization/moving_variance")) ==
        std::vector<float>{1, 1});
  REQUIRE(t.trace.weights.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(t.trace.weights[i].trainable == (i < 2));
  const Array x({4, 2}, {1, 0, 2, 0, 3, 0, 6, 0});  // mean 3, variance 3.5
  const double d = std::sqrt(3.501);
  check_close(t.run(y, x), {-2 / d, 0, -1 / d, 0, 0, 0, 3 / d, 0});
  REQUIRE(t.trace.updates.size() == 2);
  check_close(t.run(t.trace.updates[0].next, x), {0.75, 0});
  check_close(t.run(t.trace.updates[1].next, x), {0.75 + 0.25 * 3.5, 0.75});

  Traced bare;
  nn::Layer(nn::BatchNormalization({.center = false, .scale = false}))(bare.scope,
                                                                       bare.input({4, 2}));
  CHECK(bare.variables.names().size() == 2);
  CHECK(bare.trace.updates.empty());

  CHECK(argument_error([] { nn::BatchNormalization({.momentum = 1.5}); }) ==
        "BatchNormalization: momentum must be in [0, 1], not 1.5");
  CHECK(argument_error([] { nn::BatchNormalization({.epsilon = -1}); }) ==
        "BatchNormalization: epsilon must be at least 0, not -1");
  CHECK(argument_error([] {
          shape_after(nn::BatchNormalization({.axis = 0}), {2, 3, 4, 4});
        }) ==
        "BatchNormalization: axis 0 must be one of 1 to 3, or -1 to -3, for an input f32[2,3,4,4]");
  CHECK(message_of<ShapeError>([] { shape_after(nn::BatchNormalization(), {2}); }) ==
        "BatchNormalization: the input must be at least f32[N,C], not f32[2]");
  CHECK(argument_error([] { nn::ReLU({.negative_slope = -0.5}); }) ==
        "ReLU: negative_slope must be at least 0, not -0.5");
  CHECK(message_of<ShapeError>([] {
          shape_after(nn::GlobalMaxPooling2D(), {2, 3});
        }) == "GlobalMaxPooling2D: the input must be f32[N,H,W,C], not f32[2,3]");
}

namespace {

/// Of the user's own: layers inside a layer, and a kept number.
struct Block {
  nn::Layer first = nn::Dense(4, {.activation = "relu"}), second = nn::Dense(4);
  static std::string_view name() { return "Block"; }
  Value operator()(nn::Scope& scope, Value x) const {
    const Value seen = scope.state("seen", {});
    scope.update(seen, seen + 1.0f);
    const Value y = second(scope, first(scope, x));
    return x + y * scope.parameter("weight", {4}, "ones");
  }
};

}  // namespace

TEST_CASE("scope: layers within layers, called once or twice") {
  Traced t;
  t.trace.training = true;
  const nn::Layer block = Block{};
  const Value x = t.input({2, 4});
  block(t.scope, x);
  const std::vector<std::string> names{"block/seen",         "block/dense/kernel",
                                       "block/dense/bias",   "block/dense_1/kernel",
                                       "block/dense_1/bias", "block/weight"};
  CHECK(t.variables.names() == names);
  CHECK_FALSE(t.trace.weights[0].trainable);
  CHECK(t.trace.weights[1].trainable);
  CHECK(t.trace.updates.size() == 1);
  block(t.scope, x);  // the same layer shares its weights
  CHECK(t.variables.names() == names);
  nn::Layer(Block{})(t.scope, x);  // another does not
  CHECK(t.variables.names().size() == 12);
  CHECK(t.variables.contains("block_1/dense_1/bias"));
}

TEST_CASE("scope: mistakes") {
  struct Twice {
    static std::string_view name() { return "Twice"; }
    Value operator()(nn::Scope& scope, Value x) const {
      return nn::Dense(4)(scope, nn::Dense(4)(scope, x));
    }
  };
  CHECK(
      argument_error([] {
        shape_after(Twice{}, {2, 4});
      }) ==
      "scope: \"twice/kernel\" is made twice in one call of a layer; another layer within it needs "
      "a scope of its own: make it an nn::Layer, or call it by scope.call()");
  Traced t;
  const nn::Layer dense = nn::Dense(3, {.name = "d"});
  dense(t.scope, t.input({2, 4}));
  CHECK(message_of<ShapeError>([&] {
          dense(t.scope, t.input({2, 5}));
        }) ==
        "scope: \"d/kernel\" is shared by two calls, but the first needs it as f32[4,3] and the "
        "second as f32[5,3]");
  CHECK(argument_error([&] {
          nn::Layer(nn::Dense(3, {.name = "d"}))(t.scope, t.input({2, 4}));
        }) == "scope: two layers are named \"d\"");

  struct Wrong {
    static std::string_view name() { return "Wrong"; }
    Value operator()(nn::Scope& scope, Value x) const {
      return x + scope.parameter("p", {2},
                                 [](const Shape&, nn::Random&) { return Tensor::scalar(1.0f); });
    }
  };
  CHECK(message_of<ShapeError>([&] {
          shape_after(Wrong{}, {2, 2});
        }) == "initializer \"initializer\": \"wrong/p\" is f32[2], but it returned f32[]");
}

}  // namespace weft::test
