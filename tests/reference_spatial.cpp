// The spatial layers against Keras 3, on the numbers that tests/reference/spatial.py wrote.
#include <numeric>

#include "ops/all_reduce.hpp"
#include "tests/reference_testing.hpp"

namespace weft::test {
namespace {

constexpr const char* first = "channels_first";

// Gradients of weights are sums of up to 2000 products of numbers around 1, of either sign, so that
// some 60 remain, rounded to 6e-8 each in another order; relative to 1 or to the number itself. The
// least mistake, one step of a window more or less, makes 1e-1.
constexpr double gradient_tolerance = 5e-5;

Tensor part(const Tensor& numbers, std::size_t begin, const Shape& shape) {
  return Tensor::of<float>(
      shape, numbers.data<float>().subspan(begin, static_cast<std::size_t>(shape.elements())));
}

/// A layer in training, on weights that are the first of `numbers`: y, and the gradients of
/// sum(y * slope) and of what the layer adds to the loss, by x and by each weight.
std::vector<Tensor> trained(const nn::Layer& layer, const Tensor& x, const Tensor& numbers,
                            std::size_t replicas) {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, true, replicas, 1.0f / static_cast<float>(replicas)};
  nn::Scope scope(trace);
  const auto slice = x.shape().with(0, x.shape()[0] / static_cast<std::int64_t>(replicas));
  const Value in = graph.input({DType::f32, slice}, "x");
  const Value y = layer(scope, in);
  const Value slope = graph.input(y.type(), "slope");
  Value loss = sum(y * slope);
  for (const Value& added : trace.losses) loss = loss + added;
  std::vector<Value> wrt{in};
  std::size_t begin = 0;
  for (const auto& weight : trace.weights) {
    wrt.push_back(weight.value);
    variables.set(weight.name, part(numbers, begin, weight.value.shape()));
    begin += static_cast<std::size_t>(weight.value.shape().elements());
  }
  std::vector<Value> outputs = gradients(loss, wrt);
  for (std::size_t i = 1; i < outputs.size(); ++i) outputs[i] = all_reduce(outputs[i]);
  outputs.insert(outputs.begin(), y);
  const Shape whole = y.shape().with(0, x.shape()[0]);
  const std::size_t last = numbers.data<float>().size();
  const Tensor slopes = part(numbers, last - static_cast<std::size_t>(whole.elements()), whole);
  return compile(outputs, variables, {.replicas = replicas}).run({{"x", x}, {"slope", slopes}});
}

void check(const std::string& name, const std::string& input, const nn::Layer& layer) {
  CAPTURE(name);
  const Tensor x = read("spatial/" + input), numbers = read("spatial/numbers"),
               wanted = read("spatial/" + name);
  for (const std::size_t replicas : {1, 2}) {
    CAPTURE(replicas);
    std::size_t begin = 0;
    for (const Tensor& got : trained(layer, x, numbers, replicas)) {
      CAPTURE(begin);
      const double tolerance = begin == 0 ? layer_tolerance : gradient_tolerance;
      REQUIRE(begin + got.data<float>().size() <= wanted.data<float>().size());
      CHECK(difference(got, part(wanted, begin, got.shape()), 1) < tolerance);
      begin += got.data<float>().size();
    }
    CHECK(begin == wanted.data<float>().size());
  }
}

}  // namespace

TEST_CASE("reference: spatial: convolutions in two formats, and what they add to the loss") {
  check(
      "conv2d_groups_dilation", "images",
      nn::Conv2D(6, {3, 2},
                 {.padding = "same", .dilation_rate = {1, 2}, .groups = 2, .activation = "relu"}));
  check("conv2d_bare", "images",
        nn::Conv2D(3, 2, {.strides = {2, 1}, .use_bias = false, .activity_regularizer = "l2"}));
  check("conv2d_softmax", "images", nn::Conv2D(3, 2, {.activation = "softmax"}));
  check("conv2d_first", "images",
        nn::Conv2D(3, 3,
                   {.strides = 2,
                    .padding = "same",
                    .data_format = first,
                    .activation = "tanh",
                    .activity_regularizer = "l1"}));
  check("conv2d_first_softmax", "images",
        nn::Conv2D(3, 2, {.data_format = first, .activation = "softmax"}));
  check("conv2d_first_groups", "images", nn::Conv2D(10, 3, {.data_format = first, .groups = 5}));
}

TEST_CASE("reference: spatial: convolution along one axis") {
  const std::string x = "sequences";
  check("conv1d_valid", x, nn::Conv1D(6, 3, {.strides = 2}));
  check("conv1d_same", x,
        nn::Conv1D(6, 4, {.strides = 3, .padding = "same", .activation = "relu"}));
  check("conv1d_causal", x, nn::Conv1D(6, 3, {.padding = "causal", .dilation_rate = 2}));
  check("conv1d_causal_stride", x, nn::Conv1D(6, 3, {.strides = 2, .padding = "causal"}));
  check("conv1d_groups", x,
        nn::Conv1D(6, 3,
                   {.padding = "same",
                    .dilation_rate = 2,
                    .groups = 3,
                    .activity_regularizer = nn::L1L2{.l1 = 0.01, .l2 = 0.02}}));
  check("conv1d_first", x,
        nn::Conv1D(4, 3, {.padding = "causal", .data_format = first, .activation = "softmax"}));
}

TEST_CASE("reference: spatial: depthwise and separable convolution") {
  const std::string x = "images";
  check("depthwise", x, nn::DepthwiseConv2D(3, {.activation = "relu"}));
  check("depthwise_same", x,
        nn::DepthwiseConv2D({3, 4}, {.strides = 2, .padding = "same", .depth_multiplier = 2}));
  check("depthwise_dilation", x, nn::DepthwiseConv2D(2, {.dilation_rate = 2, .use_bias = false}));
  check("depthwise_stride_dilation", x,
        nn::DepthwiseConv2D(3, {.strides = 2, .padding = "same", .dilation_rate = 2}));
  check("depthwise_wide", "wide",
        nn::DepthwiseConv2D(3, {.padding = "same", .activity_regularizer = "l2"}));
  check("depthwise_first", x,
        nn::DepthwiseConv2D(3, {.padding = "same", .depth_multiplier = 3, .data_format = first}));
  check("separable", x, nn::SeparableConv2D(5, 3, {.activation = "tanh"}));
  check(
      "separable_same", x,
      nn::SeparableConv2D(
          5, {2, 3},
          {.strides = 2, .padding = "same", .depth_multiplier = 2, .activity_regularizer = "l2"}));
  check(
      "separable_first", x,
      nn::SeparableConv2D(
          5, 3, {.padding = "same", .data_format = first, .dilation_rate = 2, .use_bias = false}));
}

TEST_CASE("reference: spatial: transposed convolution") {
  const auto check_transposed = [](const std::string& name, nn::Size2D size,
                                   const nn::Conv2DTransposeConfig& config) {
    check("transposed_" + name, "images", nn::Conv2DTranspose(3, size, config));
  };
  check_transposed("valid", 3, {.strides = 2, .activation = "relu"});
  check_transposed("valid_small", {2, 1}, {.strides = {3, 2}});
  check_transposed("valid_output", 3, {.strides = {3, 2}, .output_padding = nn::Size2D(2, 0)});
  check_transposed("same", 3, {.strides = 2, .padding = "same"});
  check_transposed("same_even", 4, {.strides = {2, 3}, .padding = "same"});
  check_transposed("same_small", {1, 2}, {.strides = {3, 4}, .padding = "same"});
  check_transposed("same_output", {4, 3},
                   {.strides = {3, 2}, .padding = "same", .output_padding = 1});
  check_transposed("same_output_0", {2, 5}, {.strides = 2, .padding = "same", .output_padding = 0});
  check_transposed("same_output_small", {1, 2},
                   {.strides = 3, .padding = "same", .output_padding = 2});
  check_transposed("dilation", {3, 2}, {.padding = "same", .dilation_rate = {2, 3}});
  check_transposed("dilation_valid", {3, 2}, {.dilation_rate = 2});
  check_transposed("first", 3,
                   {.strides = 2,
                    .padding = "same",
                    .data_format = first,
                    .activation = "sigmoid",
                    .activity_regularizer = "l1"});
}

namespace {

template <class Pool2D, class Pool1D, class All2D, class All1D>
void check_poolings(const std::string& name) {
  check(name + "2d_first", "images", Pool2D(2, {.data_format = first}));
  check(name + "2d_first_same", "images",
        Pool2D({2, 3}, {.strides = {1, 2}, .padding = "same", .data_format = first}));
  check(name + "1d", "sequences", Pool1D(2));
  check(name + "1d_same", "sequences", Pool1D(4, {.strides = 3, .padding = "same"}));
  check(name + "1d_first", "sequences",
        Pool1D(3, {.strides = 2, .padding = "same", .data_format = first}));
  check(name + "_all2d_first", "images", All2D({.data_format = first}));
  check(name + "_all2d_first_kept", "images", All2D({.data_format = first, .keepdims = true}));
  check(name + "_all1d", "sequences", All1D());
  check(name + "_all1d_kept", "sequences", All1D({.keepdims = true}));
  check(name + "_all1d_first", "sequences", All1D({.data_format = first}));
}

}  // namespace

TEST_CASE("reference: spatial: pooling in two formats and along one axis") {
  check_poolings<nn::MaxPooling2D, nn::MaxPooling1D, nn::GlobalMaxPooling2D,
                 nn::GlobalMaxPooling1D>("max");
  check_poolings<nn::AveragePooling2D, nn::AveragePooling1D, nn::GlobalAveragePooling2D,
                 nn::GlobalAveragePooling1D>("average");
}

TEST_CASE("reference: spatial: what moves elements") {
  check("flatten_first", "images", nn::Flatten({.data_format = first}));
  check("flatten_first_sequences", "sequences", nn::Flatten({.data_format = first}));
  check("permute", "images", nn::Permute({3, 1, 2}));
  check("repeat_vector", "rows", nn::RepeatVector(3));
  check("zeros2d", "images", nn::ZeroPadding2D());
  check("zeros2d_sides", "images", nn::ZeroPadding2D({{1, 0}, {2, 3}}));
  check("zeros2d_first", "images", nn::ZeroPadding2D({2, 1}, {.data_format = first}));
  check("zeros1d", "sequences", nn::ZeroPadding1D({1, 2}));
  check("zeros1d_first", "sequences", nn::ZeroPadding1D(1, {.data_format = first}));
  check("cropping2d", "images", nn::Cropping2D({{1, 0}, {2, 1}}));
  check("cropping2d_first", "images", nn::Cropping2D({2, 1}, {.data_format = first}));
  check("cropping1d", "sequences", nn::Cropping1D({2, 0}));
  check("upsampling2d", "images", nn::UpSampling2D({2, 3}));
  check("upsampling2d_first", "images", nn::UpSampling2D(2, {.data_format = first}));
  for (const std::string interpolation : {"bilinear", "bicubic", "lanczos3", "lanczos5"}) {
    check("upsampling2d_" + interpolation, "images",
          nn::UpSampling2D({2, 3}, {.interpolation = interpolation}));
  }
  check("upsampling2d_bilinear_first", "images",
        nn::UpSampling2D({1, 4}, {.data_format = first, .interpolation = "bilinear"}));
  check("upsampling1d", "sequences", nn::UpSampling1D(3));
}

TEST_CASE("reference: spatial: training with every penalty and constraint, cut or not") {
  for (const std::size_t replicas : {1, 2}) {
    CAPTURE(replicas);
    nn::Sequential model(
        {nn::Input({5, 5, 2}),
         nn::Conv2D(3, 3,
                    {.kernel_regularizer = nn::L2{0.05},
                     .bias_regularizer = "l2",
                     .activity_regularizer = nn::L1L2{.l1 = 0.01, .l2 = 0.02},
                     .kernel_constraint = nn::MaxNorm{.max_value = 1, .axis = {0, 1, 2}},
                     .bias_constraint = "non_neg"}),
         nn::DepthwiseConv2D(2, {.depthwise_regularizer = "l2",
                                 .activity_regularizer = "l2",
                                 .depthwise_constraint = "unit_norm"}),
         nn::SeparableConv2D(3, 2,
                             {.depthwise_regularizer = "l1",
                              .pointwise_regularizer = "l2",
                              .pointwise_constraint = "non_neg"}),
         nn::Conv2DTranspose(3, 2, {.bias_regularizer = "l2", .activity_regularizer = "l1"}),
         nn::GlobalAveragePooling2D()},
        {.replicas = replicas});
    set_flat(model, read("spatial/penalized_initial"));
    model.compile({.optimizer = nn::SGD{.learning_rate = 0.05}, .loss = "mse"});
    std::vector<float> got =
        losses_of_batches(model, {read("spatial/penalized_x"), read("spatial/penalized_y")}, 4);
    const Tensor weights = flat(model.get_weights());
    got.insert(got.end(), weights.data<float>().begin(), weights.data<float>().end());
    const Tensor all = Tensor::of<float>({static_cast<std::int64_t>(got.size())}, got);
    CHECK(difference(all, read("spatial/penalized"), 1) < layer_tolerance);
  }
}

}  // namespace weft::test
