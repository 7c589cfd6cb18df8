// Weft against Keras 3: activations, normalization and other layers in training and otherwise, and
// models with regularizers, constraints and frozen layers, on the numbers that
// tests/reference/core.py wrote.
#include <utility>

#include "tests/reference_testing.hpp"

namespace weft::test {
namespace {

/// A file's arrays, one after the other.
class Parts {
 public:
  explicit Parts(const std::string& name) : all_(read("core/" + name)) {}
  ~Parts() { CHECK(at_ == all_.data<float>().size()); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  Tensor next(const Shape& shape) {
    const auto count = static_cast<std::size_t>(shape.elements());
    REQUIRE(at_ + count <= all_.data<float>().size());
    at_ += count;
    return Tensor::of<float>(shape, all_.data<float>().subspan(at_ - count, count));
  }

 private:
  Tensor all_;
  std::size_t at_ = 0;
};

// What is normalized is a sum of a few dozen numbers of up to 10, times 1 / deviation, at most 3;
// gradients are sums of as many of these products.
constexpr double normalization_tolerance = 2e-5;
// 12 steps, each through a normalization of 6 samples.
constexpr double training_tolerance = 2e-5;

struct Weight {
  std::string name;
  Shape shape;
  bool trainable;
};

/// The weights that a layer makes, by their names in a scope.
std::vector<Weight> weights_of(const nn::Layer& layer, const Shape& x) {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, false};
  nn::Scope scope(trace);
  layer(scope, graph.input({DType::f32, x}, "x"));
  std::vector<Weight> weights;
  for (const nn::Trace::Weight& weight : trace.weights) {
    weights.push_back({weight.name, weight.value.shape(), weight.trainable});
  }
  return weights;
}

/// y and its gradients by x and by weights in training, whole and cut into two; and y otherwise.
void check_case(const std::string& name, const nn::Layer& layer, const Shape& shape,
                double tolerance = layer_tolerance) {
  CAPTURE(name);
  Parts parts(name);
  const Tensor x = parts.next(shape), slope = parts.next(shape);
  const std::vector<Weight> weights = weights_of(layer, shape);
  std::vector<Tensor> values;
  for (const auto& weight : weights) values.push_back(parts.next(weight.shape));
  const Tensor y = parts.next(shape), dx = parts.next(shape);
  std::vector<Tensor> slopes;
  for (const auto& weight : weights) {
    if (weight.trainable) slopes.push_back(parts.next(weight.shape));
  }
  for (const std::size_t replicas : {1, 2}) {
    CAPTURE(replicas);
    Variables variables;
    for (std::size_t i = 0; i < weights.size(); ++i) variables.set(weights[i].name, values[i]);
    const std::vector<Tensor> got = train(layer, variables, x, slope, replicas);
    CHECK(difference(got[0], y, 1) < tolerance);
    CHECK(difference(got[1], dx, 1) < tolerance);
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      CAPTURE(i);
      CHECK(difference(got[2 + i], slopes[i], 1) < tolerance);
    }
  }
  CHECK(difference(predict(layer, x, values), parts.next(shape), 1) < tolerance);
}

const Shape rows{6, 12}, sequences{4, 5, 12}, images{4, 3, 2, 12}, images_first{4, 12, 3, 2};

}  // namespace

TEST_CASE("reference core: activations and their gradients as in Keras") {
  namespace a = nn::activations;
  const std::vector<nn::Activation> all{
      "linear",
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
      "glu",
      [](Value x) { return a::relu(x, 0.1, 2.0, 0.7); },
      [](Value x) { return a::leaky_relu(x, 0.05); },
      [](Value x) { return a::elu(x, 0.7); },
      [](Value x) { return a::celu(x, 0.7); },
      [](Value x) { return a::soft_shrink(x, 1.2); },
      [](Value x) { return a::hard_shrink(x, 1.2); },
      [](Value x) { return a::threshold(x, 0.8, -3); },
      [](Value x) { return a::squareplus(x, 1.5); },
      [](Value x) { return a::gelu(x, true); },
      [](Value x) { return a::softmax(x, 0); },
      [](Value x) { return a::log_softmax(x, 0); },
      [](Value x) { return a::sparsemax(x, 0); },
      [](Value x) { return a::glu(x, 0); },
  };
  Parts parts("activations");
  const Tensor x = parts.next({8, 8}), slope = parts.next({8, 8});
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    CAPTURE(all[i].identifier);
    Graph graph;
    const Value in = graph.input({DType::f32, {8, 8}}, "x");
    const Value y = all[i](in);
    const auto size = [&](int axis) { return y.shape()[axis]; };
    const Value weight =
        slice(graph.input({DType::f32, {8, 8}}, "slope"), {0, 0}, {size(0), size(1)});
    const Value dx = gradients(sum(y * weight), {in})[0];
    const std::vector<Tensor> got = compile({y, dx}).run({{"x", x}, {"slope", slope}});
    CHECK(difference(got[0], parts.next(y.shape()), 1) < layer_tolerance);
    CHECK(difference(got[1], parts.next({8, 8}), 1) < layer_tolerance);
  }
}

TEST_CASE("reference core: batch normalization of any axis as in Keras") {
  const auto check = [](const std::string& name, const nn::BatchNormalizationConfig& config,
                        const Shape& shape) {
    check_case("batch_" + name, nn::BatchNormalization(config), shape, normalization_tolerance);
  };
  check("first", {.axis = 1}, images_first);
  check("middle", {.axis = 2, .epsilon = 0.01}, sequences);
  check("negative", {.axis = -2, .scale = false}, sequences);
}

TEST_CASE("reference core: layer normalization as in Keras") {
  const auto check = [](const std::string& name, const nn::LayerNormalizationConfig& config,
                        const Shape& shape) {
    check_case("layer" + name, nn::LayerNormalization(config), shape, normalization_tolerance);
  };
  check("", {}, rows);
  check("_images", {.epsilon = 0.01}, images);
  check("_bare", {.center = false, .scale = false}, sequences);
  check("_axes", {.axis = {1, 2}}, images);
  check("_negative", {.axis = {-1, -2, -3}, .scale = false}, images);
  check("_first", {.axis = 1}, images_first);
  check("_rms", {.rms_scaling = true}, sequences);
}

TEST_CASE("reference core: group normalization as in Keras") {
  const auto check = [](const std::string& name, const nn::GroupNormalizationConfig& config,
                        const Shape& shape) {
    check_case("group" + name, nn::GroupNormalization(config), shape, normalization_tolerance);
  };
  check("", {.groups = 4}, images);
  check("_rows", {.groups = 3, .center = false}, rows);
  check("_one", {.groups = 1, .epsilon = 0.01}, sequences);
  check("_instance", {.groups = -1}, images);
  check("_first", {.groups = 4, .axis = 1}, images_first);
  check("_middle", {.groups = 5, .axis = -2, .scale = false}, sequences);
}

TEST_CASE("reference core: unit and RMS normalization as in Keras") {
  check_case("unit", nn::UnitNormalization(), sequences);
  check_case("unit_axes", nn::UnitNormalization({.axis = {1, 2}}), images);
  check_case("rms", nn::RMSNormalization(), sequences, normalization_tolerance);
  check_case("rms_axes", nn::RMSNormalization({.axis = {-2, -1}, .epsilon = 0.01}), images,
             normalization_tolerance);
}

TEST_CASE("reference core: activation layers and simple ones as in Keras") {
  check_case("leaky_relu", nn::LeakyReLU(), rows);
  check_case("leaky_relu_slope", nn::LeakyReLU({.negative_slope = 0.1}), rows);
  check_case("elu", nn::ELU({.alpha = 0.6}), rows);
  check_case("prelu", nn::PReLU(), images);
  check_case("prelu_shared", nn::PReLU({.shared_axes = {1, 2}}), images);
  check_case("softmax", nn::Softmax(), rows);
  check_case("softmax_axis", nn::Softmax({.axis = 1}), images);
  check_case("softmax_axes", nn::Softmax({.axis = {1, 3}}), images);
  check_case("rescaling", nn::Rescaling(0.25, -1.5), images);
  std::vector<double> quarters;
  for (int i = 0; i < 12; ++i) quarters.push_back(i / 4.0);
  check_case("rescaling_channels", nn::Rescaling(quarters, {0.5}), images);
  check_case("identity", nn::Identity(), rows);
  check_case("dense", nn::Dense(12, {.activation = "gelu"}), sequences);
}

TEST_CASE("reference core: dot products as in Keras") {
  struct Case {
    Shape a, b;
    nn::Axes axes;
    bool normalize;
  };
  Parts parts("merging");
  for (const Case& c : {
           Case{{4, 6}, {4, 6}, 1, false},
           Case{{4, 6}, {4, 6}, 1, true},
           Case{{4, 3, 6}, {4, 5, 6}, 2, false},
           Case{{4, 3, 6}, {4, 6, 2, 5}, {2, 1}, false},
           Case{{4, 6, 3}, {4, 6}, {1, -1}, true},
           Case{{4, 6}, {4, 2, 6, 3}, {-1, -2}, false},
       }) {
    CAPTURE(c.a);
    CAPTURE(c.b);
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, true};
    nn::Scope scope(trace);
    const Value a = graph.input({DType::f32, c.a}, "a"), b = graph.input({DType::f32, c.b}, "b");
    const Value y = nn::Dot(c.axes, {.normalize = c.normalize})(scope, {a, b});
    const Value slope = graph.input(y.type(), "slope");
    std::vector<Value> outputs = gradients(sum(y * slope), {a, b});
    outputs.push_back(y);
    const Feeds feeds{
        {"a", parts.next(c.a)}, {"b", parts.next(c.b)}, {"slope", parts.next(y.shape())}};
    const std::vector<Tensor> got = compile(outputs).run(feeds);
    for (const std::size_t i : {2, 0, 1}) {
      CHECK(difference(got[i], parts.next(got[i].shape()), 1) < layer_tolerance);
    }
  }
}

TEST_CASE("reference core: embedding as in Keras, of integers and of whole numbers") {
  Parts parts("embedding");
  const Tensor numbers = parts.next({4, 5}), slope = parts.next({4, 5, 3}),
               weights = parts.next({7, 3}), y = parts.next({4, 5, 3}), dw = parts.next({7, 3});
  Tensor integers(Type{DType::s32, {4, 5}});
  for (std::size_t i = 0; i < 20; ++i) {
    integers.data<std::int32_t>()[i] = static_cast<std::int32_t>(numbers.data<float>()[i]);
  }
  for (const Tensor& x : {numbers, integers}) {
    Graph graph;
    Variables variables;
    variables.set("embedding/embeddings", weights);
    nn::Trace trace{graph, variables, 0, true};
    nn::Scope scope(trace);
    const Value out = nn::Layer(nn::Embedding(7, 3))(scope, graph.input(x.type(), "x"));
    const Value loss = sum(out * graph.input(slope.type(), "slope"));
    const std::vector<Tensor> got =
        compile({out, gradients(loss, {trace.weights[0].value})[0]}, variables)
            .run({{"x", x}, {"slope", slope}});
    CHECK(difference(got[0], y, 1) == 0);
    CHECK(difference(got[1], dw, 1) < layer_tolerance);
  }
}

TEST_CASE("reference core: regularizers and constraints as in Keras") {
  Parts parts("weights");
  const Tensor matrix = parts.next({6, 5}), kernel = parts.next({3, 2, 4, 5});
  for (const nn::Regularizer& regularizer : std::vector<nn::Regularizer>{
           "l1", "l2", "orthogonal_regularizer", nn::L1{0.3}, nn::L2{0.2}, nn::L1L2{0.03, 0.02},
           nn::L1L2{.l2 = 0.5}, nn::OrthogonalRegularizer{0.7, "columns"}}) {
    CAPTURE(regularizer.name);
    Graph graph;
    const Value w = graph.input(matrix.type(), "w"), penalty = regularizer(w);
    const std::vector<Tensor> got =
        compile({penalty, gradients(penalty, {w})[0]}).run({{"w", matrix}});
    CHECK(difference(got[0], parts.next({}), 1) < layer_tolerance);
    CHECK(difference(got[1], parts.next({6, 5}), 1) < layer_tolerance);
  }
  const auto check = [&](const nn::Constraint& constraint, const Tensor& weight) {
    CAPTURE(constraint.name);
    Graph graph;
    const Value held = constraint(graph.input(weight.type(), "w"));
    CHECK(difference(compile({held}).run({{"w", weight}})[0], parts.next(weight.shape()), 1) <
          layer_tolerance);
  };
  for (const nn::Constraint& constraint : std::vector<nn::Constraint>{
           "max_norm", "min_max_norm", "non_neg", "unit_norm", nn::MaxNorm{1.5, 1},
           nn::MinMaxNorm{.min_value = 0.8, .max_value = 1.9, .rate = 0.4}, nn::UnitNorm{1}}) {
    check(constraint, matrix);
  }
  for (const nn::Constraint& constraint : std::vector<nn::Constraint>{
           nn::MaxNorm{2.5, {0, 1, 2}}, nn::UnitNorm{{0, 1, 2}},
           nn::MinMaxNorm{.min_value = 2, .max_value = 4, .axis = {0, 1, 2}}}) {
    check(constraint, kernel);
  }
}

namespace {

/// 12 batches of 6 samples: losses, weights, and the loss of evaluate, by numbers of replicas.
template <class Make>
void check_training(const std::string& name, Make make) {
  for (const std::size_t replicas : {1, 2, 3}) {
    CAPTURE(replicas);
    nn::Sequential model = make();
    model.config.replicas = replicas;
    Parts parts(name);
    const Tensor x = parts.next({72, 10}), y = parts.next({72, 3});
    const nn::Dataset data(x, y);
    std::vector<Tensor> weights;
    for (const auto& weight : model.weights()) weights.push_back(parts.next(weight.shape));
    model.set_weights(weights);
    model.compile({.optimizer = nn::SGD{.learning_rate = 0.05, .momentum = 0.9},
                   .loss = "categorical_crossentropy"});
    const std::vector<float> losses = losses_of_batches(model, data, 6);
    CHECK(difference(Tensor::of<float>({12}, losses), parts.next({12}), 1) < training_tolerance);
    const std::vector<Tensor> after = model.get_weights();
    for (std::size_t i = 0; i < after.size(); ++i) {
      CAPTURE(model.weights()[i].name);
      CHECK(difference(after[i], parts.next(after[i].shape()), 1) < training_tolerance);
    }
    const auto loss =
        static_cast<float>(model.evaluate(data, {.batch_size = 72, .verbose = 0})["loss"]);
    CHECK(difference(Tensor::of<float>({1}, {loss}), parts.next({1}), 1) < training_tolerance);
  }
}

}  // namespace

TEST_CASE("reference core: a model with regularizers and constraints trains as in Keras") {
  check_training("penalized", [] {
    return nn::Sequential{
        nn::Input({10}),
        nn::Dense(8, {.activation = "relu",
                      .kernel_regularizer = nn::L2{0.02},
                      .bias_regularizer = nn::L1{0.01},
                      .activity_regularizer = nn::L2{0.03},
                      .kernel_constraint = nn::MaxNorm{1.1},
                      .bias_constraint = "non_neg"}),
        nn::BatchNormalization(
            {.beta_regularizer = "l2",
             .gamma_regularizer = nn::L1L2{0.01, 0.02},
             .gamma_constraint = nn::MinMaxNorm{.min_value = 1, .max_value = 1.5}}),
        nn::ActivityRegularization({.l1 = 0.01, .l2 = 0.02}),
        nn::Dense(3, {.activation = "softmax",
                      .kernel_regularizer = nn::OrthogonalRegularizer{0.1, "columns"},
                      .kernel_constraint = "unit_norm"})};
  });
}

TEST_CASE("reference core: a model with frozen layers trains as in Keras") {
  check_training("frozen", [] {
    nn::Sequential inner{nn::Input({8}), nn::Dense(8, {.kernel_regularizer = "l2"}),
                         nn::BatchNormalization()};
    inner.set_trainable(false);
    return nn::Sequential{nn::Input({10}),
                          nn::Dense(8, {.activation = "relu", .kernel_regularizer = "l2"}),
                          inner,
                          nn::BatchNormalization({.gamma_regularizer = "l2", .trainable = false}),
                          nn::BatchNormalization(),
                          nn::Dense(3, {.activation = "softmax", .kernel_regularizer = "l1"})};
  });
}

}  // namespace weft::test
