// Functional models: symbols, several inputs and outputs, shared layers, models in models.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "bench/models.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

/// Numbers around 0 that look random and are not.
Tensor numbers(const Shape& shape, std::uint64_t seed) {
  nn::Random random(seed);
  Tensor result(Type{DType::f32, shape});
  for (float& number : result.data<float>()) number = static_cast<float>(random.uniform(-1, 1));
  return result;
}

std::vector<std::string> layer_names(const nn::Model& model) {
  std::vector<std::string> names;
  for (const auto& member : model.layers()) names.push_back(member.name);
  return names;
}

std::vector<std::string> weight_names(nn::Model& model) {
  std::vector<std::string> names;
  for (const auto& weight : model.weights()) names.push_back(weight.name);
  return names;
}

using Names = std::vector<std::string>;

// What has a name and might be called again is an nn::Layer: a struct is called where it stands.
static_assert(std::is_invocable_v<nn::Dense, nn::Symbol>);
static_assert(!std::is_invocable_v<nn::Dense&, nn::Symbol>);
static_assert(!std::is_invocable_v<const nn::Dense&, nn::Symbol>);
static_assert(std::is_invocable_v<const nn::Layer&, nn::Symbol>);

/// Cuts a sample's features in two.
struct Halves {
  static std::string_view name() { return "Halves"; }
  std::vector<Value> operator()(nn::Scope&, Value x) const {
    const std::int64_t half = x.shape()[-1] / 2;
    return split(x, {half, half}, 1);
  }
};

/// Two inputs that share a layer, and two outputs.
nn::Model siamese(const nn::ModelConfig& config = {}) {
  auto left = nn::Input({4}, {.name = "left"}), right = nn::Input({4}, {.name = "right"});
  const nn::Layer shared = nn::Dense(3, {.activation = "tanh", .name = "shared"});
  auto both = nn::Concatenate()({shared(left), shared(right)});
  auto a = nn::Dense(1, {.name = "a"})(both);
  auto b = nn::Dense(2, {.activation = "softmax", .name = "b"})(both);
  return nn::Model({left, right}, {a, b}, config);
}

nn::Dataset pairs(std::int64_t count) {
  const Tensor x1 = numbers({count, 4}, 1), x2 = numbers({count, 4}, 2);
  Tensor sum(Type{DType::f32, {count, 1}}), larger(Type{DType::u8, {count}});
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const float p = x1.data<float>()[4 * i], q = x2.data<float>()[4 * i];
    sum.data<float>()[i] = p + q;
    larger.data<std::uint8_t>()[i] = p > q ? 1 : 0;
  }
  return nn::Dataset({x1, x2}, {sum, larger});
}

}  // namespace

TEST_CASE("functional: a chain is what a Sequential is") {
  auto x = nn::Input({8, 8, 1});
  auto y = nn::Conv2D(4, 3, {.padding = "same", .activation = "relu"})(x);
  y = nn::MaxPooling2D(2)(y);
  y = nn::Flatten()(y);
  y = nn::Dense(3, {.activation = "softmax"})(y);
  CHECK(y.shape() == Shape{3});
  CHECK(y.dtype() == DType::f32);
  nn::Model model(x, y);
  nn::Sequential same{nn::Input({8, 8, 1}),
                      nn::Conv2D(4, 3, {.padding = "same", .activation = "relu"}),
                      nn::MaxPooling2D(2), nn::Flatten(), nn::Dense(3, {.activation = "softmax"})};
  CHECK(weight_names(model) == weight_names(same));
  CHECK(layer_names(model) == Names{"conv2d", "max_pooling2d", "flatten", "dense"});
  CHECK(model.input_names() == Names{"input_layer"});
  CHECK(model.output_names() == Names{"dense"});
  CHECK(model.output_shape() == Shape{3});
  CHECK(model.name() == "functional");
  const nn::Dataset data(numbers({20, 8, 8, 1}, 1),
                         nn::to_categorical(Tensor(Type{DType::u8, {20}}), 3));
  std::vector<double> losses[2];
  for (nn::Model* each : {&model, static_cast<nn::Model*>(&same)}) {
    each->compile({.optimizer = "adam", .loss = "categorical_crossentropy"});
    losses[each == &model] = each->fit(data, {.epochs = 3, .verbose = 0})["loss"];
  }
  CHECK(losses[0] == losses[1]);
}

TEST_CASE("functional: two inputs, a shared layer and two outputs train") {
  nn::Model model = siamese();
  CHECK(layer_names(model) == Names{"shared", "concatenate", "a", "b"});
  CHECK(weight_names(model) ==
        Names{"shared/kernel", "shared/bias", "a/kernel", "a/bias", "b/kernel", "b/bias"});
  CHECK(model.count_params() == 15 + 7 + 14);
  CHECK(model.input_names() == Names{"left", "right"});
  CHECK(model.output_names() == Names{"a", "b"});
  CHECK(model.output_shapes() == std::vector<Shape>{{1}, {2}});

  model.compile({.optimizer = nn::Adam{.learning_rate = 0.02},
                 .outputs = {{"a", {.loss = "mse", .metrics = {"mae"}}},
                             {"b",
                              {.loss = "sparse_categorical_crossentropy",
                               .loss_weight = 0.5,
                               .metrics = {"accuracy"}}}}});
  const nn::Dataset data = pairs(200);
  const nn::History history =
      model.fit(data, {.epochs = 20, .validation_split = 0.2, .verbose = 0});
  CHECK(history.names() == Names{"loss", "a_loss", "b_loss", "a_mae", "b_accuracy", "val_loss",
                                 "val_a_loss", "val_b_loss", "val_a_mae", "val_b_accuracy"});
  for (const std::string kind : {"", "val_"}) {
    for (std::size_t i = 0; i < 20; ++i) {
      CHECK(history[kind + "loss"][i] ==
            doctest::Approx(history[kind + "a_loss"][i] + 0.5 * history[kind + "b_loss"][i])
                .epsilon(1e-5));
    }
  }
  CHECK(history["loss"].back() < history["loss"].front() / 4);
  CHECK(history["val_b_accuracy"].back() > 0.85);
  CHECK(model.evaluate(data, {.verbose = 0}).begin()->name == "loss");

  const std::vector<Tensor> predictions = model.predict_all(data, {.verbose = 0});
  REQUIRE(predictions.size() == 2);
  CHECK(predictions[0].shape() == Shape{200, 1});
  CHECK(predictions[1].shape() == Shape{200, 2});
  // In other batches, which end with a smaller one, the same.
  const std::vector<Tensor> again = model.predict_all(data, {.batch_size = 70, .verbose = 0});
  for (std::size_t i = 0; i < 400; ++i) {
    CHECK(again[1].data<float>()[i] ==
          doctest::Approx(predictions[1].data<float>()[i]).epsilon(1e-5));
  }
}

TEST_CASE("functional: one loss and metric for every output") {
  auto x = nn::Input({4});
  nn::Model model(x, {nn::Dense(2)(x), nn::Dense(2)(x)});
  model.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"mae"}});
  const Tensor y = numbers({16, 2}, 3);
  const nn::Logs logs = model.evaluate(nn::Dataset({numbers({16, 4}, 1)}, {y, y}), {.verbose = 0});
  Names names;
  for (const auto& entry : logs) names.push_back(entry.name);
  CHECK(names == Names{"loss", "dense_loss", "dense_1_loss", "dense_mae", "dense_1_mae"});
}

TEST_CASE("functional: a residual block is the graph that it says") {
  auto x = nn::Input({6});
  auto y = nn::Dense(6, {.activation = "relu"})(x);
  y = nn::Dense(6)(y);
  y = nn::Add()({y, x});
  y = nn::Activation("relu")(y);
  nn::Model model(x, y);
  const Tensor data = numbers({5, 6}, 7);
  const std::vector<Tensor> w = model.get_weights();

  Graph graph;
  const Value in = graph.input(data.type(), "x");
  const auto constant = [&](std::size_t i) { return graph.constant(w[i]); };
  Value hidden = relu(matmul(in, constant(0)) + constant(1));
  hidden = matmul(hidden, constant(2)) + constant(3);
  const auto wanted = evaluate({relu(hidden + in)}, {{"x", to_array(data)}})[0].data;
  const Tensor got = model.predict(data, {.verbose = 0});
  for (std::size_t i = 0; i < 30; ++i) {
    CHECK(got.data<float>()[i] == doctest::Approx(wanted[i]).epsilon(1e-5));
  }
}

TEST_CASE("functional: dense connections concatenate") {
  auto x = nn::Input({4, 4, 2});
  std::vector<nn::Symbol> parts{x};
  for (int i = 0; i < 3; ++i) {
    parts.push_back(nn::Conv2D(3, 3, {.padding = "same"})(nn::Concatenate()(parts)));
  }
  auto y = nn::Concatenate()(parts);
  CHECK(y.shape() == Shape{4, 4, 11});
  nn::Model model(x, y);
  CHECK(model.weights()[4].shape == Shape{3, 3, 8, 3});
  CHECK(model.predict(numbers({2, 4, 4, 2}, 1), {.verbose = 0}).shape() == Shape{2, 4, 4, 11});
}

TEST_CASE("functional: merging layers") {
  const auto merged = [](const nn::Layer& layer, const std::vector<Shape>& shapes) {
    std::vector<nn::Symbol> inputs;
    std::vector<Tensor> data;
    for (const Shape& shape : shapes) {
      inputs.push_back(nn::Input(shape));
      std::vector<std::int64_t> sizes{2};
      sizes.insert(sizes.end(), shape.begin(), shape.end());
      data.push_back(numbers(Shape(sizes), data.size() + 1));
    }
    nn::Model model(inputs, layer(inputs));
    const Tensor y = model.predict(nn::Dataset(data, {}), {.verbose = 0});
    data.push_back(y);
    return data;
  };
  const auto check = [&](const nn::Layer& layer, float (*f)(float, float, float)) {
    CAPTURE(layer.type());
    const auto t = merged(layer, {{3, 2}, {3, 2}, {3, 2}});
    for (std::size_t i = 0; i < 12; ++i) {
      const auto at = [&](std::size_t k) { return t[k].data<float>()[i]; };
      CHECK(at(3) == doctest::Approx(f(at(0), at(1), at(2))));
    }
  };
  check(nn::Add(), [](float a, float b, float c) { return a + b + c; });
  check(nn::Multiply(), [](float a, float b, float c) { return a * b * c; });
  check(nn::Average(), [](float a, float b, float c) { return (a + b + c) / 3; });
  check(nn::Maximum(), [](float a, float b, float c) { return std::max({a, b, c}); });
  check(nn::Minimum(), [](float a, float b, float c) { return std::min({a, b, c}); });

  const auto difference = merged(nn::Subtract(), {{2}, {2}});
  CHECK(difference[2].data<float>()[3] ==
        difference[0].data<float>()[3] - difference[1].data<float>()[3]);
  CHECK(merged(nn::Concatenate(), {{2, 3}, {2, 1}})[2].shape() == Shape{2, 2, 4});
  CHECK(merged(nn::Concatenate(1), {{2, 3}, {1, 3}})[2].shape() == Shape{2, 3, 3});
  // An input of lower rank is repeated along the axes behind the batch.
  const auto scaled = merged(nn::Multiply(), {{4, 4, 3}, {3}});
  CHECK(scaled[2].shape() == Shape{2, 4, 4, 3});
  CHECK(scaled[2].data<float>()[95] ==
        doctest::Approx(scaled[0].data<float>()[95] * scaled[1].data<float>()[5]));
}

TEST_CASE("functional: a layer of several outputs") {
  auto x = nn::Input({6});
  const nn::Layer halves = Halves{};
  const std::vector<nn::Symbol> parts = halves.call_all(x);
  REQUIRE(parts.size() == 2);
  CHECK(parts[1].shape() == Shape{3});
  nn::Model model(x, {parts[1], parts[0]});
  CHECK(model.output_names() == Names{"halves", "halves_1"});
  const Tensor data = Tensor::of<float>({1, 6}, {1, 2, 3, 4, 5, 6});
  CHECK(to_floats(model.predict_all(data, {.verbose = 0})[0]) == std::vector<float>{4, 5, 6});
  CHECK(message_of<ArgumentError>([&] { halves(x); }) ==
        "Halves: it has 2 outputs, where one is needed: a layer is called for all of them by "
        "call_all() on symbols, and with a vector of inputs in a scope");
  CHECK(message_of<ArgumentError>([&] { model.predict(data); }) ==
        "predict: model \"functional\" has 2 outputs: predict_all() returns all of them");
  CHECK(message_of<ArgumentError>([&] { model.output_shape(); }) ==
        "output_shape: model \"functional\" has 2 outputs: output_shapes() returns those of all");
}

TEST_CASE("functional: a user's layer of several inputs") {
  struct Gate {
    static std::string_view name() { return "Gate"; }
    Value operator()(nn::Scope& scope, const std::vector<Value>& in) const {
      return in[0] * sigmoid(in[1]) * scope.parameter("factor", {in[0].shape()[-1]}, "ones");
    }
  };
  auto x = nn::Input({3});
  nn::Model model(x, nn::Layer(Gate{})({x, nn::Dense(3)(x)}));
  CHECK(weight_names(model) == Names{"dense/kernel", "dense/bias", "gate/factor"});
  CHECK(message_of<ArgumentError>([&] {
          nn::Dense(3)({x, x});
        }) == "Dense: it takes one input, but 2 were given");
}

TEST_CASE("functional: a user's layer that has a model as a member") {
  struct Twice {
    nn::Sequential body{nn::Dense(3), nn::Dense(3)};
    static std::string_view name() { return "Twice"; }
    Value operator()(nn::Scope& scope, Value x) const { return body(scope, body(scope, x)); }
  };
  auto x = nn::Input({3});
  nn::Model model(x, nn::Layer(Twice{})(x));
  CHECK(weight_names(model) == Names{"twice/dense/kernel", "twice/dense/bias",
                                     "twice/dense_1/kernel", "twice/dense_1/bias"});
  model.compile({.loss = "mse"});
  model.fit(numbers({4, 3}, 1), numbers({4, 3}, 2), {.verbose = 0});
  CHECK(model.count_params() == 24);
}

TEST_CASE("functional: layers of several models have the same weights in all of them") {
  auto x = nn::Input({4});
  auto hidden = nn::Dense(5, {.activation = "relu"})(x);
  auto y = nn::Dense(1)(hidden);
  nn::Model model(x, y), features(x, hidden);
  nn::Model head(hidden, y);  // begins behind the first layer
  const Tensor data = numbers({8, 4}, 1);
  model.compile({.optimizer = nn::SGD{.learning_rate = 0.1}, .loss = "mse"});
  for (int round = 0; round < 2; ++round) {
    const Tensor whole = model.predict(data, {.verbose = 0});
    const Tensor parts = head.predict(features.predict(data, {.verbose = 0}), {.verbose = 0});
    for (std::size_t i = 0; i < 8; ++i) {
      CHECK(parts.data<float>()[i] == doctest::Approx(whole.data<float>()[i]));
    }
    model.fit(data, numbers({8, 1}, 2), {.verbose = 0});
  }
}

TEST_CASE("functional: a model within a model trains with it") {
  nn::Sequential inner({nn::Input({3}), nn::Dense(2)}, {.name = "inner"});
  auto x = nn::Input({3});
  nn::Model outer(x, nn::Dense(1, {.name = "head"})(inner(x)));
  CHECK(weight_names(outer) ==
        Names{"inner/dense/kernel", "inner/dense/bias", "head/kernel", "head/bias"});
  inner.set_weights(std::vector{Tensor::full({3, 2}, 0.5f), Tensor::full({2}, 1)});
  CHECK(outer.get_weights()[0].data<float>()[0] == 0.5f);
  outer.compile({.optimizer = nn::SGD{.learning_rate = 0.1}, .loss = "mse"});
  outer.fit(numbers({8, 3}, 1), numbers({8, 1}, 2), {.verbose = 0});
  CHECK(inner.get_weights()[0].data<float>()[0] != 0.5f);
  CHECK(to_floats(inner.get_weights()[0]) == to_floats(outer.get_weights()[0]));
  // And the other way.
  inner.compile({.optimizer = nn::SGD{.learning_rate = 0.1}, .loss = "mse"});
  inner.fit(numbers({8, 3}, 1), numbers({8, 2}, 2), {.verbose = 0});
  CHECK(to_floats(inner.get_weights()[0]) == to_floats(outer.get_weights()[0]));

  // A copy of either has weights of its own.
  nn::Model copy = outer;
  CHECK(to_floats(copy.get_weights()[0]) == to_floats(inner.get_weights()[0]));
  copy.set_weights(std::vector{Tensor::full({3, 2}, 7), Tensor::full({2}, 7),
                               Tensor::full({2, 1}, 7), Tensor::full({1}, 7)});
  CHECK(inner.get_weights()[0].data<float>()[0] != 7);
  CHECK(outer.get_weights()[2].data<float>()[0] != 7);
}

TEST_CASE("functional: a model in a model before any has weights") {
  nn::Sequential inner({nn::Dense(2)}, {.name = "inner"});
  nn::Sequential outer({inner, nn::Dense(1)});
  const nn::Sequential unbuilt = outer;
  outer.build({3});
  inner.build({3});
  CHECK(to_floats(inner.get_weights()[0]) == to_floats(outer.get_weights()[0]));
  nn::Sequential copy = unbuilt;
  copy.build({5});  // nothing of the others' first input
  CHECK(copy.weights()[0].shape == Shape{5, 2});
}

TEST_CASE("functional: a layer that is reached by two ways has one set of weights") {
  const nn::Layer dense = nn::Dense(3, {.name = "d"});
  nn::Sequential inner({nn::Input({3}), dense}, {.name = "inner"});
  auto x = nn::Input({3});
  nn::Model model(x, dense(inner(inner(x))));
  CHECK(model.count_params() == 12);
  CHECK(layer_names(model) == Names{"inner", "d"});
  nn::Model copy = model;
  CHECK(copy.count_params() == 12);
  copy.compile({.loss = "mse"});
  copy.fit(numbers({4, 3}, 1), numbers({4, 3}, 2), {.verbose = 0});
  CHECK(copy.count_params() == 12);
  nn::Sequential twice{nn::Input({3}), dense, dense};
  CHECK(twice.count_params() == 12);
  CHECK(twice.layers().size() == 1);
}

TEST_CASE("functional: a copy of a model") {
  nn::Model model = siamese();
  const nn::Dataset data = pairs(40);
  model.compile(
      {.optimizer = "adam",
       .outputs = {{"a", {.loss = "mse"}}, {"b", {.loss = "sparse_categorical_crossentropy"}}}});
  model.fit(data, {.epochs = 2, .verbose = 0});
  nn::Model copy = model;
  const auto before = to_floats(model.get_weights()[0]);
  const auto next = copy.fit(data, {.verbose = 0})["loss"];
  CHECK(to_floats(model.get_weights()[0]) == before);
  CHECK(to_floats(copy.get_weights()[0]) != before);
  CHECK(model.fit(data, {.verbose = 0})["loss"] == next);  // with the same state of Adam
  model = siamese();
  CHECK(model.count_params() == 36);
  CHECK(to_floats(model.get_weights()[0]) != to_floats(copy.get_weights()[0]));
}

TEST_CASE("functional: a layer called twice in a step keeps state once for each call") {
  struct Counter {
    static std::string_view name() { return "Counter"; }
    Value operator()(nn::Scope& scope, Value x) const {
      const Value calls = scope.state("calls", {});
      scope.update(calls, calls + 1.0f);
      return x;
    }
  };
  auto x = nn::Input({2});
  const nn::Layer counter = Counter{};
  nn::Model model(x, nn::Dense(1)(counter(counter(x))));
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.fit(numbers({4, 2}, 1), numbers({4, 1}, 2), {.epochs = 3, .verbose = 0});
  CHECK(model.variables().get("counter/calls").item<float>() == 6);
}

TEST_CASE("functional: names follow the order of calls, weights the depth, as in Keras") {
  auto x = nn::Input({4});
  auto early = nn::Dense(2)(x);               // dense
  auto deep = nn::Dense(3)(nn::Dense(5)(x));  // dense_1, dense_2
  auto y = nn::Concatenate()({early, deep});
  nn::Model model(x, y);
  CHECK(layer_names(model) == Names{"dense_1", "dense", "dense_2", "concatenate"});
}

TEST_CASE("functional: a very long chain") {
  constexpr int length = 10000;
  auto x = nn::Input({2});
  nn::Symbol y = x;
  for (int i = 0; i < length; ++i) y = nn::Add()({y, x});
  nn::Model model(x, y);
  CHECK(model.layers().back().name == "add_9999");
  y = {};
  nn::Model copy = model;
  CHECK(copy.count_params() == 0);
  nn::Sequential layers;
  for (int i = 0; i < length; ++i) layers.add(nn::Flatten());
  CHECK(layers.layers().back().name == "flatten_9999");
}

TEST_CASE("functional: the summary says what is connected to what") {
  auto left = nn::Input({4}, {.name = "left"}), right = nn::Input({4}, {.name = "right"});
  const nn::Layer shared = nn::Dense(3, {.name = "shared"});
  auto both = nn::Concatenate()({shared(left), shared(right)});
  nn::Model model({left, right}, nn::Dense(1)(both), {.name = "siamese"});
  CHECK(model.summary() ==
        R"(Model: "siamese"
__________________________________________________________________________________________________
 Layer (type)                Output Shape                 Param #   Connected to                  
==================================================================================================
 left (InputLayer)           [(None, 4)]                  0         []                            
                                                                                                  
 right (InputLayer)          [(None, 4)]                  0         []                            
                                                                                                  
 shared (Dense)              (None, 3)                    15        ['left[0][0]',                
                                                                     'right[0][0]']               
                                                                                                  
 concatenate (Concatenate)   (None, 6)                    0         ['shared[0][0]',              
                                                                     'shared[1][0]']              
                                                                                                  
 dense (Dense)               (None, 1)                    7         ['concatenate[0][0]']         
                                                                                                  
==================================================================================================
Total params: 22 (88.00 Byte)
Trainable params: 22 (88.00 Byte)
Non-trainable params: 0 (0.00 Byte)
__________________________________________________________________________________________________
)");
  auto x = nn::Input({4});
  const std::string chain = nn::Model(x, nn::Dense(2)(x)).summary();
  CHECK(chain.find("\n input_layer (InputLayer)    [(None, 4)]               0 ") !=
        std::string::npos);
  CHECK(chain.find("Connected to") == std::string::npos);
}

TEST_CASE("functional: whole numbers as an input") {
  struct Lookup {
    static std::string_view name() { return "Lookup"; }
    Value operator()(nn::Scope& scope, Value x) const {
      return reshape(gather(scope.parameter("table", {3, 2}, "glorot_uniform"), x),
                     {x.shape()[0], 2});
    }
  };
  auto x = nn::Input({1}, {.dtype = DType::s32});
  nn::Model model(x, nn::Layer(Lookup{})(x));
  const Tensor y = model.predict(Tensor::of<std::int32_t>({2, 1}, {2, 0}), {.verbose = 0});
  const Tensor table = model.get_weights()[0];
  CHECK(y.data<float>()[0] == table.data<float>()[4]);
  CHECK(y.data<float>()[3] == table.data<float>()[1]);
}

TEST_CASE("functional: the networks that are measured") {
  CHECK(bench::model_names() == Names{"tutorial", "vgg", "resnet18"});
  bench::Network tutorial = bench::network("tutorial");
  CHECK(tutorial.input == Shape{28, 28, 1});
  CHECK(tutorial.model.count_params() == 100858);
  CHECK(message_of<ArgumentError>([&] { bench::network("alexnet"); }) ==
        "model: unknown name \"alexnet\"; known are tutorial, vgg, resnet18");

  nn::Model resnet = bench::resnet18();
  std::int64_t trained = 0;
  for (const auto& weight : resnet.weights()) {
    trained += weight.trainable ? weight.shape.elements() : 0;
  }
  CHECK(trained == 11173962);  // as counted for it elsewhere
  CHECK(resnet.count_params() == trained + 2 * 4800);
  CHECK(resnet.output_shape() == Shape{10});
}

TEST_CASE("functional: a residual network of two stages learns") {
  const auto block = [](const nn::Symbol& x, int filters, int stride) {
    nn::Symbol y = nn::Conv2D(filters, 3, {.strides = stride, .padding = "same"})(x);
    y = nn::ReLU()(nn::BatchNormalization({.momentum = 0.8})(y));
    y = nn::Conv2D(filters, 3, {.padding = "same"})(y);
    const auto shortcut = stride == 1 ? x : nn::Conv2D(filters, 1, {.strides = stride})(x);
    return nn::ReLU()(nn::Add()({y, shortcut}));
  };
  auto x = nn::Input({8, 8, 4});
  auto y = block(block(x, 4, 1), 8, 2);
  nn::Model model(x, nn::Dense(2, {.activation = "softmax"})(nn::GlobalAveragePooling2D()(y)));
  // Whether the first channel is brighter than the second.
  Tensor images = numbers({192, 8, 8, 4}, 1), labels(Type{DType::u8, {192}});
  for (std::size_t i = 0; i < 192; ++i) {
    labels.data<std::uint8_t>()[i] = i % 2;
    for (std::size_t p = 0; p < 64; ++p) images.data<float>()[(i * 64 + p) * 4 + i % 2] += 0.5f;
  }
  model.compile({.optimizer = nn::Adam{.learning_rate = 0.01},
                 .loss = "sparse_categorical_crossentropy",
                 .metrics = {"accuracy"}});
  const auto history =
      model.fit(images, labels, {.epochs = 6, .validation_split = 0.25, .verbose = 0});
  CHECK(history["val_accuracy"].back() > 0.95);
}

TEST_CASE("functional: mistakes in the graph") {
  const auto argument_error = [](auto f) { return message_of<ArgumentError>(f); };
  const auto shape_error = [](auto f) { return message_of<ShapeError>(f); };
  auto x = nn::Input({4}, {.name = "left"}), other = nn::Input({8, 8, 3});
  auto y = nn::Dense(2)(x);
  CHECK(argument_error([&] {
          nn::Model(other, {nn::Dense(1)(other), y}, {.name = "m"});
        }) ==
        "model \"m\": output 1 depends on the Input \"left\" [N,4], which is not among the model's "
        "inputs");
  CHECK(argument_error([&] { nn::Model(x, nn::Flatten()(other)); }) ==
        "model \"functional\": output 0 depends on the Input [N,8,8,3], which is not among the "
        "model's inputs");
  CHECK(argument_error([&] {
          nn::Model({x, x}, y);
        }) == "model \"functional\": input 1 is there twice");
  CHECK(argument_error([&] { nn::Model(x, std::vector<nn::Symbol>{}); }) ==
        "model \"functional\": it needs inputs and outputs, but 1 and 0 were given");
  CHECK(argument_error([&] { nn::Model(x, nn::Symbol()); }) ==
        "model \"functional\": an output is an empty nn::Symbol");
  CHECK(argument_error([&] { nn::Model(nn::Symbol(), y); }) ==
        "model \"functional\": an input is an empty nn::Symbol");
  CHECK(argument_error([&] {
          nn::Model(x, nn::Dense(1, {.name = "d"})(nn::Dense(1, {.name = "d"})(x)));
        }) == "model \"functional\": two layers are named \"d\"");
  CHECK(argument_error([&] { nn::Dense(1)(nn::Symbol()); }) ==
        "Dense: it was called on an empty nn::Symbol");
  CHECK(argument_error([&] { nn::Add()(std::vector<nn::Symbol>{}); }) ==
        "Add: it was called on nothing");
  CHECK(argument_error([&] { nn::Input(Shape{}); }) ==
        "Input: a sample needs at least one axis; mere numbers are {1}");
  CHECK(argument_error([&] { nn::Input({1}, {.dtype = DType::u8}); }) ==
        "Input: dtype must be f32 or s32, not u8");

  auto small = nn::Input({4, 4, 3});
  CHECK(shape_error([&] {
          nn::Add()({other, small});
        }) ==
        "Add: inputs [N,8,8,3] and [N,4,4,3] do not fit: along each axis, sizes must be equal, or "
        "1 to be repeated");
  CHECK(shape_error([&] {
          nn::Concatenate()({other, small});
        }) ==
        "Concatenate: inputs [N,8,8,3] and [N,4,4,3] do not fit: sizes must be equal but along "
        "axis -1");
  CHECK(argument_error([&] {
          nn::Concatenate(4)({small, small});
        }) ==
        "Concatenate: axis 4 must be one of 1 to 3, or -1 to -3, for inputs [N,4,4,3] and "
        "[N,4,4,3]");
  CHECK(argument_error([&] { nn::Concatenate(0); }) ==
        "Concatenate: axis 0 is the batch, which stays as it is");
  CHECK(argument_error([&] {
          nn::Subtract()({x, x, x});
        }) == "Subtract: it takes two inputs, but 3 were given");
  CHECK(shape_error([&] { nn::Conv2D(3, 3)(x); }) ==
        "Conv2D: the input must be f32[N,H,W,C], not f32[1,4]");

  nn::Sequential chain{nn::Input({4}), Halves{}, nn::Flatten()};
  CHECK(
      argument_error([&] { chain.weights(); }).starts_with("Halves: it has 2 outputs, where one"));
  const nn::Layer shared = nn::Dense(3, {.name = "shared"});
  nn::Model unequal({x, small}, {shared(x), shared(small)});
  CHECK(shape_error([&] { unequal.weights(); }) ==
        "scope: \"shared/kernel\" is shared by two calls, but the first needs it as f32[4,3] and "
        "the second as f32[3,3]");

  nn::Sequential inner{nn::Input({5}), nn::Dense(1)};
  CHECK(shape_error([&] { inner(x); }) ==
        "model: input \"input_layer\" is [N,5], but [N,4] was given");
  CHECK(argument_error([&] { inner({x, x}); }) == "model: it has 1 inputs, but 2 were given");
  struct Mean {
    static std::string_view name() { return "Mean"; }
    Value operator()(nn::Scope&, Value v) const { return mean(v); }
  };
  CHECK(shape_error([&] { nn::Layer(Mean{})(x); }) ==
        "Mean: it must return one row per sample, but makes f32[] of f32[1,4]");
}

TEST_CASE("functional: mistakes in training") {
  const auto argument_error = [](auto f) { return message_of<ArgumentError>(f); };
  nn::Model model = siamese({.name = "m"});
  CHECK(argument_error([&] {
          model.compile({.outputs = {{"a", {.loss = "mse"}}}});
        }) == "compile: output \"b\" has no loss");
  CHECK(argument_error([&] {
          model.compile({.loss = "mse", .outputs = {{"c", {}}}});
        }) == "compile: there is no output \"c\"; there are: a, b");
  CHECK(argument_error([&] {
          model.compile({.loss = "mse", .outputs = {{"a", {}}, {"a", {}}}});
        }) == "compile: output \"a\" is there twice");
  CHECK(argument_error([&] {
          model.compile(
              {.loss = "mse", .metrics = {"mae"}, .outputs = {{"b", {.metrics = {"mae"}}}}});
        }) == "compile: the name \"b_mae\" is taken; metrics need names of their own");
  model.compile(
      {.outputs = {{"a", {.loss = "mse"}}, {"b", {.loss = "sparse_categorical_crossentropy"}}}});
  const Tensor x = numbers({4, 4}, 1), y = numbers({4, 1}, 2), wide = numbers({4, 3}, 3);
  const Tensor labels = Tensor::of<std::uint8_t>({4}, {0, 1, 1, 0});
  CHECK(argument_error([&] { model.fit(x, y); }) ==
        "fit: model \"m\" has 2 inputs (left, right), but the data set has 1");
  CHECK(argument_error([&] {
          model.fit(nn::Dataset({x, x}, {y}));
        }) == "fit: model \"m\" has 2 outputs (a, b), but the data set has 1 targets");
  CHECK(message_of<ShapeError>([&] {
          model.fit(nn::Dataset({x, wide}, {y, labels}));
        }) == "fit: the model's input \"right\" is [4], but a sample of x is [3]");
  CHECK(message_of<ShapeError>([&] {
          model.fit(nn::Dataset({x, x}, {wide, labels}));
        }) ==
        "output \"a\": mean_squared_error: the output is [N,1], so targets must be [N,1] too, but "
        "they are [N,3]");
  const Tensor none = Tensor::of<std::uint8_t>({4}, {0, 1, 2, 0});
  CHECK(argument_error([&] {
          model.fit(nn::Dataset({x, x}, {y, none}));
        }) == "output \"b\": labels: label 2 at position 2 is not one of the 2 classes 0 to 1");
  CHECK(message_of<ShapeError>([&] {
          nn::Dataset({x, numbers({3, 4}, 1)}, {y});
        }) == "dataset: x has 4 samples, but x 1 has 3");
  nn::Sequential grown{nn::Dense(1, {.name = "first"})};
  grown.compile({.outputs = {{"first", {.loss = "mse"}}}});
  grown.add(nn::Dense(1, {.name = "second"}));
  CHECK(argument_error([&] { grown.fit(x, y); }) ==
        "fit: output \"second\" has no loss; compile() again");
  CHECK(argument_error([&] { nn::Dataset(x).y(); }) == "dataset: there is no y 0, there are 0");
  CHECK(argument_error([&] { nn::Dataset(x).x(1); }) == "dataset: there is no x 1, there are 1");
}

}  // namespace weft::test
