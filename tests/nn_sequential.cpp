#include "nn/sequential.hpp"

#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

nn::Sequential tutorial() {
  nn::Sequential model;
  model.add(nn::Conv2D(32, {3, 3},
                       {.padding = "same", .activation = "relu", .input_shape = {28, 28, 1}}));
  model.add(nn::MaxPooling2D({2, 2}));
  model.add(nn::Flatten());
  model.add(nn::Dense(16, {.activation = "relu"}));
  model.add(nn::Dense(10, {.activation = "softmax"}));
  return model;
}

}  // namespace

TEST_CASE("sequential: the summary is Keras'") {
  CHECK(tutorial().summary() ==
        R"(Model: "sequential"
_________________________________________________________________
 Layer (type)                Output Shape              Param #   
=================================================================
 conv2d (Conv2D)             (None, 28, 28, 32)        320       
                                                                 
 max_pooling2d (MaxPooling2  (None, 14, 14, 32)        0         
 D)                                                              
                                                                 
 flatten (Flatten)           (None, 6272)              0         
                                                                 
 dense (Dense)               (None, 16)                100368    
                                                                 
 dense_1 (Dense)             (None, 10)                170       
                                                                 
=================================================================
Total params: 100858 (393.98 KB)
Trainable params: 100858 (393.98 KB)
Non-trainable params: 0 (0.00 Byte)
_________________________________________________________________
)");
}

TEST_CASE("sequential: weights, in Keras' order") {
  nn::Sequential model = tutorial();
  CHECK(model.count_params() == 100858);
  CHECK(model.output_shape() == Shape{10});
  std::vector<std::string> names;
  for (const auto& weight : model.weights()) names.push_back(weight.name);
  CHECK(names == std::vector<std::string>{"conv2d/kernel", "conv2d/bias", "dense/kernel",
                                          "dense/bias", "dense_1/kernel", "dense_1/bias"});
  std::vector<Tensor> weights = model.get_weights();
  REQUIRE(weights.size() == 6);
  CHECK(weights[0].shape() == Shape{3, 3, 1, 32});
  CHECK(weights[5].data<float>()[0] == 0);
  weights[5] = Tensor::full({10}, 2);
  model.set_weights(weights);
  CHECK(model.get_weights()[5].data<float>()[9] == 2);
  weights[5] = Tensor::full({11}, 2);
  CHECK(message_of<ShapeError>([&] { model.set_weights(weights); }) ==
        "set_weights: \"dense_1/bias\" is f32[10], but f32[11] was given");
  weights.pop_back();
  CHECK(message_of<ShapeError>([&] { model.set_weights(weights); }) ==
        "set_weights: model \"sequential\" has 6 weights, but 5 were given");
}

TEST_CASE("sequential: where the input's shape comes from") {
  nn::Sequential with_input{nn::Input({5}), nn::Dense(2)};
  CHECK(with_input.layers().size() == 1);
  CHECK(with_input.count_params() == 12);
  nn::Sequential built{nn::Dense(2)};
  CHECK(
      message_of<Error>([&] { built.summary(); }) ==
      "summary: model \"sequential\" does not know its input's shape yet: give the first layer an "
      "input_shape, begin with nn::Input, or call build() or fit()");
  built.build({7});
  CHECK(built.count_params() == 16);
  CHECK(message_of<ArgumentError>([&] { built.add(nn::Input({3})); }) ==
        "add: an Input must be the first layer, but 1 are there");
}

TEST_CASE("sequential: names are unique") {
  nn::Sequential model({nn::Dense(1), nn::Dense(1, {.name = "dense_1"}), nn::Dense(1)},
                       {.name = "mine"});
  CHECK(model.layers()[2].name == "dense_2");
  CHECK(model.get_layer("dense_1").type() == "Dense");
  CHECK(message_of<ArgumentError>([&] { model.add(nn::Dense(1, {.name = "dense"})); }) ==
        "add: a layer named \"dense\" is there already");
  CHECK(message_of<ArgumentError>([&] { model.get_layer("conv"); }) ==
        "get_layer: there is no \"conv\"; there are: dense, dense_1, dense_2");
  model.build({2});
  CHECK(model.summary().starts_with("Model: \"mine\"\n"));
}

TEST_CASE("sequential: the same seed means the same weights, another other ones") {
  const auto kernel = [](std::uint64_t seed) {
    nn::Sequential model({nn::Input({4}), nn::Dense(3)}, {.seed = seed});
    return to_floats(model.get_weights()[0]);
  };
  CHECK(kernel(0) == kernel(0));
  CHECK(kernel(0) != kernel(1));
}

TEST_CASE("sequential: a copy has weights of its own") {
  nn::Sequential model{nn::Input({2}), nn::Dense(1)};
  model.set_weights(std::vector{Tensor::of<float>({2, 1}, {1, 2}), Tensor::full({1}, 3)});
  nn::Sequential copy = model;
  copy.set_weights(std::vector{Tensor::of<float>({2, 1}, {5, 6}), Tensor::full({1}, 7)});
  CHECK(to_floats(model.get_weights()[0]) == std::vector<float>{1, 2});
  model = copy;
  CHECK(to_floats(model.get_weights()[0]) == std::vector<float>{5, 6});
}

TEST_CASE("sequential: a model is a layer, and brings its weights") {
  nn::Sequential inner({nn::Input({2}), nn::Dense(2)}, {.name = "inner"});
  const auto weights = std::vector{Tensor::of<float>({2, 2}, {1, 2, 3, 4}), Tensor::full({2}, 3)};
  inner.set_weights(weights);
  nn::Sequential outer;
  outer.add(inner).add(nn::Dense(1));
  CHECK(outer.weights()[0].name == "inner/dense/kernel");
  CHECK(outer.weights()[2].name == "dense/kernel");
  CHECK(to_floats(outer.get_weights()[0]) == to_floats(weights[0]));
  CHECK(outer.summary().find(" inner (Sequential)          (None, 2)                 6 ") !=
        std::string::npos);
}

TEST_CASE("sequential: state that is not trained comes after what is, and is counted apart") {
  struct Counted {
    static std::string_view name() { return "Counted"; }
    Value operator()(nn::Scope& scope, Value x) const {
      return x + scope.state("mean", {4}) * scope.parameter("factor", {4}, "ones");
    }
  };
  nn::Sequential model{nn::Input({4}), Counted{}, nn::Dense(1)};
  CHECK(model.weights()[0].name == "counted/factor");
  CHECK(model.weights()[1].name == "counted/mean");
  CHECK_FALSE(model.weights()[1].trainable);
  const std::string summary = model.summary();
  CHECK(summary.find("Total params: 13 (52.00 Byte)\nTrainable params: 9 (36.00 Byte)\n"
                     "Non-trainable params: 4 (16.00 Byte)\n") != std::string::npos);
}

TEST_CASE("sequential: layers may have a / in their names, as in files of Keras 2") {
  nn::Sequential model({nn::Dense(2, {.input_shape = {3}, .name = "block"}),
                        nn::Dense(4, {.name = "block/one"}), nn::Dense(1, {.name = "two/"})});
  const std::string summary = model.summary();
  CAPTURE(summary);
  for (const char* row : {" block (Dense)               (None, 2)                 8         \n",
                          " block/one (Dense)           (None, 4)                 12        \n",
                          " two/ (Dense)                (None, 1)                 5         \n"}) {
    CHECK(summary.find(row) != std::string::npos);
  }
  const std::string drawing = model.to_dot();
  for (const char* note : {"8 parameters", "12 parameters", "5 parameters"}) {
    CHECK(drawing.find(note) != std::string::npos);
  }
}

}  // namespace weft::test
