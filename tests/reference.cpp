// Weft against Keras 3: layers, losses and training steps on the numbers that
// tests/reference/generate.py wrote.
#include "tests/reference_testing.hpp"

namespace weft::test {
namespace {

// A loss is a short sum, with a logarithm or two.
constexpr double loss_tolerance = 1e-6;
// 20 steps add up rounding of 3e-7. The least mistake, an epsilon that Adam adds after instead of
// before the correction of its second moment, makes 6e-5.
constexpr double training_tolerance = 1e-5;

// Outputs and gradients are sums of a few dozen numbers around 1, times 1 / deviation, at most 2; a
// mean of 6, rounded to f32, shifts each of them by another 1e-6.
constexpr double normalization_tolerance = 2e-5;

void check_normalization(const std::string& name, const nn::BatchNormalizationConfig& config) {
  CAPTURE(name);
  const auto stored = [&](const std::string& what) { return read("normalization/" + name + what); };
  const nn::Layer layer = nn::BatchNormalization(config);
  std::vector<std::string> trained;
  if (config.scale) trained.push_back("gamma");
  if (config.center) trained.push_back("beta");
  for (const std::size_t replicas : {1, 2, 4}) {
    CAPTURE(replicas);
    Variables variables;
    const std::string prefix = "batch_normalization/";
    for (std::size_t i = 0; i < trained.size(); ++i) {
      variables.set(prefix + trained[i], stored("_weight" + std::to_string(i)));
    }
    variables.set(prefix + "moving_mean", stored("_mean"));
    variables.set(prefix + "moving_variance", stored("_variance"));
    const auto got = train(layer, variables, stored("_x"), stored("_slope"), replicas);
    CHECK(difference(got[0], stored("_y"), 1) < normalization_tolerance);
    CHECK(difference(got[1], stored("_dx"), 1) < normalization_tolerance);
    for (std::size_t i = 0; i < trained.size(); ++i) {
      CHECK(difference(got[2 + i], stored("_gradient" + std::to_string(i)), 1) <
            normalization_tolerance);
    }
    CHECK(difference(variables.get(prefix + "moving_mean"), stored("_next_mean"), 1) <
          normalization_tolerance);
    CHECK(difference(variables.get(prefix + "moving_variance"), stored("_next_variance"), 1) <
          normalization_tolerance);
  }
  std::vector<Tensor> weights;
  for (std::size_t i = 0; i < trained.size(); ++i) {
    weights.push_back(stored("_weight" + std::to_string(i)));
  }
  weights.push_back(stored("_mean"));
  weights.push_back(stored("_variance"));
  CHECK(difference(predict(layer, stored("_x"), weights), stored("_inference"), 1) <
        normalization_tolerance);
}

}  // namespace

TEST_CASE("reference: batch normalization as in Keras, however the batch is cut") {
  check_normalization("rows", {});
  check_normalization("images", {.momentum = 0.75, .epsilon = 0.01});
  check_normalization("bare", {.center = false, .scale = false});
}

TEST_CASE("reference: global pooling and ReLU as in Keras") {
  check_layer("global_max", nn::GlobalMaxPooling2D(), "images");
  check_layer("global_max_kept", nn::GlobalMaxPooling2D({.keepdims = true}), "images");
  check_layer("global_average", nn::GlobalAveragePooling2D(), "images");
  check_layer("global_average_kept", nn::GlobalAveragePooling2D({.keepdims = true}), "images");
  check_layer("relu_plain", nn::ReLU(), "activation_x");
  check_layer("relu_max", nn::ReLU({.max_value = 2.5}), "activation_x");
  check_layer("relu_slope", nn::ReLU({.negative_slope = 0.3}), "activation_x");
  check_layer("relu_all", nn::ReLU({.max_value = 4, .negative_slope = 0.25, .threshold = 1.5}),
              "activation_x");
}

TEST_CASE("reference: convolution as in Keras") {
  const auto check = [](const std::string& name, const nn::Conv2DConfig& config) {
    check_layer("conv2d_" + name, nn::Conv2D(6, {4, 3}, config), "images",
                {config.groups == 1 ? "conv2d_kernel" : "conv2d_kernel_of_groups", "conv2d_bias"});
  };
  check("same", {.padding = "same"});
  check("valid", {});
  check("same_strides", {.strides = 2, .padding = "same"});
  check("valid_strides", {.strides = {2, 3}});
  check("same_dilation", {.padding = "same", .dilation_rate = 2});
  check("valid_dilation", {.dilation_rate = 2});
  check("groups", {.padding = "same", .groups = 2});
}

TEST_CASE("reference: pooling as in Keras") {
  for (const std::string padding : {"same", "valid"}) {
    const nn::Pooling2DConfig overlapping{.strides = 2, .padding = padding};
    const nn::Pooling2DConfig mixed{.strides = {3, 1}, .padding = padding};
    check_layer("max_3_" + padding, nn::MaxPooling2D(3, overlapping), "images");
    check_layer("max_2x4_" + padding, nn::MaxPooling2D({2, 4}, mixed), "images");
    check_layer("average_3_" + padding, nn::AveragePooling2D(3, overlapping), "images");
    check_layer("average_2x4_" + padding, nn::AveragePooling2D({2, 4}, mixed), "images");
  }
}

TEST_CASE("reference: dense as in Keras, on vectors and on sequences of them") {
  const std::vector<Tensor> weights{read("layers/dense_kernel"), read("layers/dense_bias")};
  const Tensor x = read("layers/dense_x");
  const Tensor vectors = Tensor::of<float>({3, 5}, x.data<float>().subspan(0, 15));
  const Tensor y2 = predict(nn::Dense(7), vectors, weights);
  const Tensor y3 = predict(nn::Dense(7), x, weights);
  CHECK(difference(y2, read("layers/dense_rank2"), 1) < layer_tolerance);
  CHECK(difference(y3, read("layers/dense_rank3"), 1) < layer_tolerance);
}

TEST_CASE("reference: activations as in Keras") {
  for (const std::string name : {"linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid",
                                 "log_sigmoid", "tanh", "softplus", "softsign", "swish", "silu",
                                 "mish", "gelu", "exponential", "softmax", "log_softmax"}) {
    check_layer("activation_" + name, nn::Activation(name), "activation_x");
  }
}

TEST_CASE("reference: losses as in Keras") {
  struct Case {
    std::string reference;
    nn::Loss loss;
    std::string prediction, target;
  };
  using nn::BinaryCrossentropy, nn::CategoricalCrossentropy, nn::SparseCategoricalCrossentropy;
  for (const Case& c : {
           Case{"categorical", CategoricalCrossentropy{}, "probabilities", "one_hot"},
           Case{"categorical_logits", CategoricalCrossentropy{.from_logits = true}, "logits",
                "one_hot"},
           Case{"categorical_smooth", CategoricalCrossentropy{.label_smoothing = 0.1},
                "probabilities", "one_hot"},
           Case{"categorical_logits_smooth",
                CategoricalCrossentropy{.from_logits = true, .label_smoothing = 0.1}, "logits",
                "one_hot"},
           Case{"sparse", SparseCategoricalCrossentropy{}, "probabilities", "labels"},
           Case{"sparse_logits", SparseCategoricalCrossentropy{.from_logits = true}, "logits",
                "labels"},
           Case{"binary", BinaryCrossentropy{}, "probabilities", "binary"},
           Case{"binary_logits", BinaryCrossentropy{.from_logits = true}, "logits", "binary"},
           Case{"binary_smooth", BinaryCrossentropy{.label_smoothing = 0.1}, "probabilities",
                "binary"},
           Case{"mse", nn::MeanSquaredError{}, "logits", "numbers"},
           Case{"mae", nn::MeanAbsoluteError{}, "logits", "numbers"},
       }) {
    CAPTURE(c.reference);
    const Tensor p = read("losses/" + c.prediction), t = read("losses/" + c.target);
    Graph graph;
    const Value loss = c.loss(graph.input(p.type(), "p"), graph.input(t.type(), "t"));
    const Tensor got = compile({loss}).run({{"p", p}, {"t", t}})[0];
    CHECK(difference(got, read("losses/" + c.reference + "_loss"), 0) < loss_tolerance);
  }
}

TEST_CASE("reference: 20 steps of training as in Keras, by optimizer") {
  struct Case {
    std::string reference;
    nn::Optimizer optimizer;
  };
  const nn::Dataset data(read("training/x"), read("training/y"));
  for (const Case& c : {
           Case{"sgd", nn::SGD{.learning_rate = 0.1}},
           Case{"momentum", nn::SGD{.learning_rate = 0.01, .momentum = 0.9}},
           Case{"nesterov", nn::SGD{.learning_rate = 0.01, .momentum = 0.9, .nesterov = true}},
           Case{"adam", nn::Adam{.learning_rate = 0.01}},
           Case{"adamw", nn::AdamW{.learning_rate = 0.01}},
           Case{"rmsprop", nn::RMSprop{.learning_rate = 0.01}},
       }) {
    CAPTURE(c.reference);
    nn::Sequential model{nn::Input({8, 8, 1}),
                         nn::Conv2D(4, 3, {.padding = "same", .activation = "relu"}),
                         nn::MaxPooling2D(2),
                         nn::Flatten{},
                         nn::Dense(8, {.activation = "relu"}),
                         nn::Dense(3, {.activation = "softmax"})};
    set_flat(model, read("training/initial"));
    model.compile({.optimizer = c.optimizer, .loss = "categorical_crossentropy"});
    const std::vector<float> losses = losses_of_batches(model, data, 8);
    const std::string reference = "training/" + c.reference;
    CHECK(difference(Tensor::of<float>({20}, losses), read(reference + "_losses"), 0) <
          training_tolerance);
    CHECK(difference(flat(model.get_weights()), read(reference + "_weights"), 1) <
          training_tolerance);
  }
}

TEST_CASE("reference: a model of two inputs and two outputs trains as in Keras") {
  auto left = nn::Input({6, 6, 2}), right = nn::Input({6, 6, 2});
  const nn::Layer shared = nn::Conv2D(4, 3, {.padding = "same", .activation = "relu"});
  const nn::Symbol a = shared(left), b = shared(right);
  const nn::Symbol y = nn::Add()({a, b});
  nn::Symbol z = nn::Conv2D(4, 3, {.padding = "same", .use_bias = false})(y);
  z = nn::BatchNormalization()(z);
  z = nn::ReLU()(nn::Add()({z, y}));
  z = nn::GlobalAveragePooling2D()(z);
  const nn::Symbol classes = nn::Dense(3, {.activation = "softmax", .name = "classes"})(z);
  const nn::Symbol value =
      nn::Dense(1, {.name = "value"})(nn::Concatenate()({z, nn::GlobalAveragePooling2D()(a)}));
  nn::Model model({left, right}, {classes, value});

  const auto stored = [](const std::string& name) { return read("functional/" + name); };
  set_flat(model, stored("initial"));
  model.compile({.optimizer = nn::SGD{.learning_rate = 0.05, .momentum = 0.9},
                 .outputs = {{"classes", {.loss = "categorical_crossentropy"}},
                             {"value", {.loss = "mse", .loss_weight = 0.5}}}});
  const nn::Dataset data({stored("left"), stored("right")}, {stored("classes"), stored("value")});
  std::vector<float> losses;
  for (std::int64_t first = 0; first < 80; first += 8) {
    const nn::History history =
        model.fit(data.rows(first, first + 8), {.batch_size = 8, .shuffle = false, .verbose = 0});
    for (const std::string name : {"loss", "classes_loss", "value_loss"}) {
      losses.push_back(static_cast<float>(history[name][0]));
    }
  }
  CHECK(difference(Tensor::of<float>({10, 3}, losses), stored("losses"), 0) < training_tolerance);
  CHECK(difference(flat(model.get_weights()), stored("weights"), 1) < training_tolerance);
}

TEST_CASE("reference: layers of a graph are in Keras' order") {
  const Tensor calls = read("functional/graph_calls"), outputs = read("functional/graph_outputs"),
               orders = read("functional/graph_orders");
  for (std::size_t graph = 0; graph < 40; ++graph) {
    CAPTURE(graph);
    const auto call = calls.data<std::int32_t>().subspan(graph * 36, 36);
    const auto output = outputs.data<std::int32_t>().subspan(graph * 2, 2);
    const auto order = orders.data<std::int32_t>().subspan(graph * 12, 12);
    std::vector<nn::Symbol> tensors{nn::Input({2}), nn::Input({2})};
    std::vector<nn::Layer> layers;
    const auto tensor = [&](std::int32_t i) { return tensors[static_cast<std::size_t>(i)]; };
    for (std::size_t i = 0; i < call.size(); i += 3) {
      const auto which = static_cast<std::size_t>(call[i]);
      if (which == layers.size()) {
        layers.push_back(nn::Add({.name = "layer" + std::to_string(which)}));
      }
      std::vector<nn::Symbol> inputs{tensor(call[i + 1])};
      if (call[i + 2] >= 0) inputs.push_back(tensor(call[i + 2]));
      tensors.push_back(layers[which](inputs));
    }
    const nn::Model model({tensors[0], tensors[1]}, {tensor(output[0]), tensor(output[1])});
    std::vector<std::string> wanted, got;
    for (const std::int32_t layer : order) {
      if (layer >= 0) wanted.push_back("layer" + std::to_string(layer));
    }
    for (const auto& member : model.layers()) got.push_back(member.name);
    CHECK(got == wanted);
  }
}

}  // namespace weft::test
