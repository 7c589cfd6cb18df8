// The spatial layers: shapes, values, gradients, and what they say of mistakes.
#include <cmath>
#include <random>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "nn/layers.hpp"
#include "ops/ops.hpp"
#include "runtime/passes/passes.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

constexpr const char* first = "channels_first";

Value traced(nn::Trace& trace, const nn::Layer& layer, Value x) {
  nn::Scope scope(trace);
  return layer(scope, x);
}
Value traced(nn::Trace& trace, const nn::Layer& layer, const Shape& input) {
  return traced(trace, layer, trace.graph.input({DType::f32, input}, "x"));
}

Shape shape_after(const nn::Layer& layer, const Shape& input) {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, false};
  return traced(trace, layer, input).shape();
}

/// The derivatives of sum(y * slope), and of what the layer adds to the loss, by x and by each
/// weight, along a random direction each, beside central differences; in double precision.
void check_layer_gradients(const nn::Layer& layer, const Shape& input) {
  CAPTURE(layer.type());
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, true};
  const Value x = graph.input({DType::f32, input}, "x"), y = traced(trace, layer, x);
  std::mt19937 random(1);
  const auto numbers = [&](const Shape& shape) {
    Array array(shape);
    for (double& number : array.data) number = std::normal_distribution<double>()(random);
    return array;
  };
  Value loss = sum(y * graph.input(y.type(), "slope"));
  for (const Value& added : trace.losses) loss = loss + added;
  std::vector<Value> wrt{x};
  for (const auto& weight : trace.weights) wrt.push_back(weight.value);
  const std::vector<Value> slopes = gradients(loss, wrt);

  std::unordered_map<std::string, Array> feeds{{"slope", numbers(y.shape())}};
  std::vector<std::string> names{"x"};
  for (const auto& weight : trace.weights) names.push_back(weight.name);
  for (std::size_t i = 0; i < wrt.size(); ++i) feeds[names[i]] = numbers(wrt[i].shape());
  const std::vector<Array> got = evaluate(slopes, feeds);
  constexpr double step = 1e-5;
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    CAPTURE(names[i]);
    const Array direction = numbers(wrt[i].shape());
    const auto loss_at = [&](double distance) {
      auto moved = feeds;
      for (std::size_t k = 0; k < direction.data.size(); ++k) {
        moved[names[i]].data[k] += distance * direction.data[k];
      }
      return evaluate({loss}, moved)[0].data[0];
    };
    double along = 0;
    for (std::size_t k = 0; k < direction.data.size(); ++k) {
      along += got[i].data[k] * direction.data[k];
    }
    const double difference = (loss_at(step) - loss_at(-step)) / (2 * step);
    CHECK(along == doctest::Approx(difference).epsilon(1e-6));
  }
}

std::string argument_error(const std::function<void()>& f) { return message_of<ArgumentError>(f); }
std::string shape_error(const nn::Layer& layer, const Shape& input) {
  return message_of<ShapeError>([&] { shape_after(layer, input); });
}

}  // namespace

TEST_CASE("spatial: an activity regularizer adds its part of the batch's mean to the loss") {
  for (const float share : {1.0f, 0.25f}) {
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, true, share == 1 ? 1u : 4u, share};
    nn::Scope scope(trace);
    const Value y = graph.input({DType::f32, {2, 3}}, "y");
    CHECK(nn::with_activity_loss(scope, y, {}) == y);
    CHECK(trace.losses.empty());
    CHECK(nn::with_activity_loss(scope, y, nn::L2{0.5}) == y);
    REQUIRE(trace.losses.size() == 1);
    // 0.5 * (1 + 4 + 9 + 16 + 25 + 36) / 2 rows
    const Array numbers({2, 3}, {1, -2, 3, -4, 5, -6});
    check_close(evaluate({trace.losses[0]}, {{"y", numbers}})[0].data, {share * 22.75});
  }
}

TEST_CASE("spatial: shapes") {
  CHECK(shape_after(nn::Conv2D(8, 3, {.data_format = first}), {2, 3, 9, 10}) == Shape{2, 8, 7, 8});
  CHECK(shape_after(nn::Conv1D(8, 3), {2, 9, 4}) == Shape{2, 7, 8});
  CHECK(shape_after(nn::Conv1D(8, 3, {.strides = 2, .padding = "causal"}), {2, 9, 4}) ==
        Shape{2, 5, 8});
  CHECK(shape_after(nn::Conv1D(8, 3, {.padding = "same", .data_format = first}), {2, 4, 9}) ==
        Shape{2, 8, 9});
  CHECK(shape_after(nn::DepthwiseConv2D({3, 2}, {.depth_multiplier = 2}), {2, 5, 5, 3}) ==
        Shape{2, 3, 4, 6});
  CHECK(shape_after(nn::SeparableConv2D(7, 3, {.depth_multiplier = 2}), {2, 5, 5, 3}) ==
        Shape{2, 3, 3, 7});
  CHECK(shape_after(nn::Conv2DTranspose(7, 3, {.strides = {2, 4}}), {2, 5, 6, 3}) ==
        Shape{2, 11, 24, 7});
  CHECK(shape_after(nn::Conv2DTranspose(7, 3, {.strides = 2, .padding = "same"}), {2, 5, 6, 3}) ==
        Shape{2, 10, 12, 7});
  CHECK(shape_after(
            nn::Conv2DTranspose(
                7, 3, {.strides = 2, .padding = "same", .output_padding = 0, .data_format = first}),
            {2, 3, 5, 6}) == Shape{2, 7, 9, 11});
  CHECK(shape_after(nn::MaxPooling2D(2, {.data_format = first}), {2, 3, 7, 8}) ==
        Shape{2, 3, 3, 4});
  CHECK(shape_after(nn::MaxPooling1D(), {2, 7, 3}) == Shape{2, 3, 3});
  CHECK(
      shape_after(nn::AveragePooling1D(3, {.strides = 2, .padding = "same", .data_format = first}),
                  {2, 3, 7}) == Shape{2, 3, 4});
  CHECK(shape_after(nn::GlobalAveragePooling2D({.data_format = first, .keepdims = true}),
                    {2, 3, 7, 8}) == Shape{2, 3, 1, 1});
  CHECK(shape_after(nn::GlobalMaxPooling1D(), {2, 7, 3}) == Shape{2, 3});
  CHECK(shape_after(nn::GlobalAveragePooling1D({.keepdims = true}), {2, 7, 3}) == Shape{2, 1, 3});
  CHECK(shape_after(nn::GlobalMaxPooling1D({.data_format = first, .keepdims = true}), {2, 3, 7}) ==
        Shape{2, 3, 1});
  CHECK(shape_after(nn::Flatten({.data_format = first}), {2, 3, 4, 5}) == Shape{2, 60});
  CHECK(shape_after(nn::Flatten({.data_format = first}), {2}) == Shape{2, 1});
  CHECK(shape_after(nn::Permute({3, 1, 2}), {2, 3, 4, 5}) == Shape{2, 5, 3, 4});
  CHECK(shape_after(nn::RepeatVector(3), {2, 5}) == Shape{2, 3, 5});
  CHECK(shape_after(nn::ZeroPadding2D({{1, 2}, {3, 4}}), {2, 5, 6, 1}) == Shape{2, 8, 13, 1});
  CHECK(shape_after(nn::ZeroPadding2D({{0, 0}, {0, 1}}, {.data_format = first}), {2, 1, 5, 6}) ==
        Shape{2, 1, 5, 7});
  CHECK(shape_after(nn::ZeroPadding1D({0, 2}), {2, 5, 3}) == Shape{2, 7, 3});
  CHECK(shape_after(nn::Cropping2D(), {2, 5, 6, 1}) == Shape{2, 5, 6, 1});
  CHECK(shape_after(nn::Cropping2D({{1, 0}, {2, 3}}, {.data_format = first}), {2, 1, 5, 6}) ==
        Shape{2, 1, 4, 1});
  CHECK(shape_after(nn::Cropping1D(), {2, 5, 3}) == Shape{2, 3, 3});
  CHECK(shape_after(nn::UpSampling2D({2, 3}), {2, 5, 6, 1}) == Shape{2, 10, 18, 1});
  CHECK(shape_after(nn::UpSampling2D(2, {.data_format = first, .interpolation = "bilinear"}),
                    {2, 1, 5, 6}) == Shape{2, 1, 10, 12});
  CHECK(shape_after(nn::UpSampling1D(3), {2, 5, 6}) == Shape{2, 15, 6});
}

TEST_CASE("spatial: gradients of every layer in training") {
  const Shape images{2, 4, 5, 4}, sequences{2, 6, 4};
  const auto check_both = [&](const auto& make) {
    check_layer_gradients(make("channels_last"), images);
    check_layer_gradients(make(first), images);
  };
  check_both([](const char* format) {
    return nn::Conv2D(4, 2,
                      {.padding = "same",
                       .data_format = format,
                       .activation = "softmax",
                       .activity_regularizer = "l2"});
  });
  check_both([](const char* format) {
    return nn::DepthwiseConv2D(
        2, {.depth_multiplier = 2, .data_format = format, .activity_regularizer = "l2"});
  });
  check_both([](const char* format) {
    return nn::SeparableConv2D(
        3, 2,
        {.strides = 2, .padding = "same", .data_format = format, .activity_regularizer = "l2"});
  });
  check_both([](const char* format) {
    return nn::Conv2DTranspose(3, 3,
                               {.strides = 2,
                                .padding = "same",
                                .data_format = format,
                                .activation = "tanh",
                                .activity_regularizer = "l2"});
  });
  check_both([](const char* format) { return nn::MaxPooling2D(2, {.data_format = format}); });
  check_both([](const char* format) {
    return nn::AveragePooling2D(3, {.strides = 2, .padding = "same", .data_format = format});
  });
  check_both(
      [](const char* format) { return nn::GlobalAveragePooling2D({.data_format = format}); });
  check_both([](const char* format) {
    return nn::GlobalMaxPooling2D({.data_format = format, .keepdims = true});
  });
  check_both([](const char* format) { return nn::Flatten({.data_format = format}); });
  check_both([](const char* format) {
    return nn::ZeroPadding2D({{1, 0}, {2, 1}}, {.data_format = format});
  });
  check_both([](const char* format) {
    return nn::Cropping2D({{1, 0}, {0, 1}}, {.data_format = format});
  });
  for (const std::string interpolation : {"nearest", "bilinear", "bicubic"}) {
    check_both([&](const char* format) {
      return nn::UpSampling2D({2, 3}, {.data_format = format, .interpolation = interpolation});
    });
  }
  check_layer_gradients(nn::Permute({3, 1, 2}), images);
  check_layer_gradients(nn::Reshape({5, -1}), images);
  check_layer_gradients(nn::RepeatVector(3), {2, 5});
  for (const char* format : {"channels_last", first}) {
    check_layer_gradients(nn::Conv1D(4, 2,
                                     {.padding = "causal",
                                      .data_format = format,
                                      .dilation_rate = 2,
                                      .groups = 2,
                                      .activation = "tanh",
                                      .activity_regularizer = "l2"}),
                          format == first ? Shape{2, 4, 6} : sequences);
    check_layer_gradients(nn::MaxPooling1D(2, {.data_format = format}), sequences);
    check_layer_gradients(
        nn::AveragePooling1D(3, {.strides = 1, .padding = "same", .data_format = format}),
        sequences);
    check_layer_gradients(nn::GlobalAveragePooling1D({.data_format = format}), sequences);
    check_layer_gradients(nn::GlobalMaxPooling1D({.data_format = format}), sequences);
    check_layer_gradients(nn::ZeroPadding1D({1, 2}, {.data_format = format}), sequences);
  }
  check_layer_gradients(nn::Cropping1D(), sequences);
  check_layer_gradients(nn::UpSampling1D(), sequences);
}

TEST_CASE("spatial: weights are named and shaped as in Keras") {
  const auto weights_of = [](const nn::Layer& layer, const Shape& input) {
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, false};
    traced(trace, layer, input);
    std::string all;
    for (const auto& weight : trace.weights) {
      all += fmt::format("{}{} ", weight.name, weight.value.shape());
    }
    return all;
  };
  const Shape image{2, 8, 8, 4};
  CHECK(weights_of(nn::Conv1D(6, 3, {.groups = 2}), {2, 8, 4}) ==
        "conv1d/kernel[3,2,6] conv1d/bias[6] ");
  CHECK(weights_of(nn::Conv2D(6, 3, {.data_format = first}), {2, 4, 8, 8}) ==
        "conv2d/kernel[3,3,4,6] conv2d/bias[6] ");
  CHECK(weights_of(nn::DepthwiseConv2D(3, {.depth_multiplier = 2}), image) ==
        "depthwise_conv2d/kernel[3,3,4,2] depthwise_conv2d/bias[8] ");
  CHECK(weights_of(nn::SeparableConv2D(6, 3, {.depth_multiplier = 2}), image) ==
        "separable_conv2d/depthwise_kernel[3,3,4,2] separable_conv2d/pointwise_kernel[1,1,8,6] "
        "separable_conv2d/bias[6] ");
  CHECK(weights_of(nn::Conv2DTranspose(6, 3, {.use_bias = false}), image) ==
        "conv2d_transpose/kernel[3,3,6,4] ");
}

namespace {

/// How many ops of that name are left of the layers, one behind the other, once simplified.
std::size_t count_of(std::string_view op, const std::vector<nn::Layer>& layers,
                     const Shape& input) {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, false};
  nn::Scope scope(trace);
  Value x = graph.input({DType::f32, input}, "x");
  for (const nn::Layer& layer : layers) x = layer(scope, x);
  std::size_t count = 0;
  const Program program = prune(simplify({std::move(graph), {x}}));
  for (NodeId id = 0; id < program.graph.size(); ++id) {
    count += program.graph[id].op.name() == op ? 1 : 0;
  }
  return count;
}

}  // namespace

TEST_CASE("spatial: between layers that are channels first, nothing is transposed") {
  const auto transposes = [](const char* format, const nn::Activation& activation) {
    return count_of("transpose",
                    {nn::ZeroPadding2D(1, {.data_format = format}),
                     nn::Conv2D(8, 3, {.data_format = format, .activation = activation}),
                     nn::MaxPooling2D(2, {.data_format = format}),
                     nn::DepthwiseConv2D(3, {.data_format = format, .activation = activation}),
                     nn::UpSampling2D(2, {.data_format = format}),
                     nn::Conv2DTranspose(4, 3, {.data_format = format, .activation = activation}),
                     nn::Flatten({.data_format = format})},
                    format == first ? Shape{2, 3, 16, 16} : Shape{2, 16, 16, 3});
  };
  CHECK(transposes("channels_last", "relu") == 0);
  CHECK(transposes(first, "relu") == 1);  // of the input
  CHECK(transposes(first, "softsign") == 1);
  // Along the last axis, which is the width: here there is something to do.
  CHECK(transposes(first, "softmax") > 1);
}

TEST_CASE("spatial: zeros around become the convolution's own padding, in every form") {
  for (const char* format : {"channels_last", first}) {
    CHECK(count_of("pad",
                   {nn::ZeroPadding2D({{1, 0}, {0, 2}}, {.data_format = format}),
                    nn::Conv2D(2, 3, {.data_format = format})},
                   {2, 6, 6, 6}) == 0);
    CHECK(count_of("pad",
                   {nn::ZeroPadding1D({2, 1}, {.data_format = format}),
                    nn::Conv1D(2, 3, {.data_format = format})},
                   {2, 6, 6}) == 0);
  }
}

TEST_CASE("spatial: a causal convolution sees nothing of the future") {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, false};
  const Value y =
      traced(trace, nn::Conv1D(1, 3, {.padding = "causal", .dilation_rate = 2}), {1, 8, 1});
  const auto kernel = Array({3, 1, 1}, {1, 2, 4});
  const auto run = [&](double last) {
    return evaluate({y}, {{"x", Array({1, 8, 1}, {1, 0, 0, 0, 0, 0, last, 0})},
                          {"conv1d/kernel", kernel},
                          {"conv1d/bias", Array(Shape{1})}})[0]
        .data;
  };
  check_close(run(0), {4, 0, 2, 0, 1, 0, 0, 0});
  check_close(run(1), {4, 0, 2, 0, 1, 0, 4, 0});
}

TEST_CASE("spatial: arguments out of range") {
  const std::string format_error =
      ": data_format must be \"channels_last\" or \"channels_first\", not \"NCHW\"";
  CHECK(argument_error([] { nn::Conv2D(1, 3, {.data_format = "NCHW"}); }) ==
        "Conv2D" + format_error);
  CHECK(argument_error([] { nn::MaxPooling1D(2, {.data_format = "NCHW"}); }) ==
        "MaxPooling1D" + format_error);
  CHECK(argument_error([] { nn::GlobalMaxPooling2D({.data_format = "NCHW"}); }) ==
        "GlobalMaxPooling2D" + format_error);
  CHECK(argument_error([] { nn::Flatten({.data_format = "NCHW"}); }) == "Flatten" + format_error);
  CHECK(argument_error([] { nn::ZeroPadding2D(1, {.data_format = "NCHW"}); }) ==
        "ZeroPadding2D" + format_error);
  CHECK(argument_error([] { nn::UpSampling2D(1, {.data_format = "NCHW"}); }) ==
        "UpSampling2D" + format_error);
  CHECK(argument_error([] { nn::Conv1D(1, 0); }) ==
        "Conv1D: kernel_size must be at least 1, not 0");
  CHECK(argument_error([] { nn::Conv1D(1, 3, {.padding = "full"}); }) ==
        "Conv1D: padding must be \"valid\", \"same\" or \"causal\", not \"full\"");
  CHECK(argument_error([] { nn::Conv2D(1, 3, {.padding = "causal"}); }) ==
        "Conv2D: padding must be \"valid\" or \"same\", not \"causal\"");
  CHECK(argument_error([] { nn::Conv1D(1, 3, {.strides = 2, .dilation_rate = 3}); }) ==
        "Conv1D: strides 2 and dilation_rate 3: one of the two must be 1");
  CHECK(argument_error([] { nn::Conv1D(3, 3, {.groups = 0}); }) ==
        "Conv1D: groups must be at least 1, not 0");
  CHECK(argument_error([] { nn::DepthwiseConv2D(3, {.depth_multiplier = 0}); }) ==
        "DepthwiseConv2D: depth_multiplier must be at least 1, not 0");
  CHECK(argument_error([] { nn::SeparableConv2D(0, 3); }) ==
        "SeparableConv2D: filters must be at least 1, not 0");
  CHECK(argument_error([] {
          nn::SeparableConv2D(1, 3, {.strides = {0, 1}});
        }) == "SeparableConv2D: strides must be at least 1, not 0x1");
  CHECK(argument_error([] { nn::Conv2DTranspose(1, 3, {.strides = 2, .dilation_rate = 2}); }) ==
        "Conv2DTranspose: strides 2x2 and dilation_rate 2x2: one of the two must be 1");
  for (const nn::Size2D wrong : {nn::Size2D(1, 2), nn::Size2D(-1, 0)}) {
    CHECK(argument_error([&] {
            nn::Conv2DTranspose(1, 3, {.strides = {3, 2}, .output_padding = wrong});
          }) == fmt::format("Conv2DTranspose: output_padding must be at least 0 and less than "
                            "strides, 3x2, not {}x{}",
                            wrong.height, wrong.width));
  }
  CHECK(argument_error([] { nn::AveragePooling1D(2, {.strides = -1}); }) ==
        "AveragePooling1D: strides must be at least 1, not -1");
  CHECK(argument_error([] {
          nn::Permute({2, 2});
        }) == "Permute: dims must name each of 1 to 2 once, not [2,2]");
  CHECK(argument_error([] { nn::RepeatVector(0); }) == "RepeatVector: n must be at least 1, not 0");
  CHECK(argument_error([] {
          nn::ZeroPadding2D({{0, 1}, {2, -1}});
        }) == "ZeroPadding2D: padding must be at least 0, not 2,-1");
  CHECK(argument_error([] { nn::ZeroPadding1D(-1); }) ==
        "ZeroPadding1D: padding must be at least 0, not -1,-1");
  CHECK(argument_error([] { nn::Cropping2D(-1); }) ==
        "Cropping2D: cropping must be at least 0, not -1,-1");
  CHECK(argument_error([] {
          nn::Cropping1D({0, -2});
        }) == "Cropping1D: cropping must be at least 0, not 0,-2");
  CHECK(argument_error([] {
          nn::UpSampling2D({2, 0});
        }) == "UpSampling2D: size must be at least 1, not 2x0");
  CHECK(argument_error([] { nn::UpSampling1D(0); }) ==
        "UpSampling1D: size must be at least 1, not 0");
  CHECK(argument_error([] { nn::UpSampling2D(2, {.interpolation = "cubic"}); }) ==
        "UpSampling2D: interpolation: unknown name \"cubic\"; known are nearest, bilinear, "
        "bicubic, lanczos3, lanczos5");
}

TEST_CASE("spatial: inputs that do not fit") {
  CHECK(shape_error(nn::Conv2D(3, 3, {.data_format = first}), {2, 3, 4}) ==
        "Conv2D: the input must be f32[N,C,H,W], not f32[2,3,4]");
  CHECK(shape_error(nn::Conv1D(3, 3), {2, 3, 4, 5}) ==
        "Conv1D: the input must be f32[N,T,C], not f32[2,3,4,5]");
  CHECK(shape_error(nn::MaxPooling1D(2, {.data_format = first}), {2, 3}) ==
        "MaxPooling1D: the input must be f32[N,C,T], not f32[2,3]");
  CHECK(shape_error(nn::GlobalAveragePooling1D(), {2, 3}) ==
        "GlobalAveragePooling1D: the input must be f32[N,T,C], not f32[2,3]");
  CHECK(shape_error(nn::Conv2D(4, 3, {.data_format = first, .groups = 2}), {2, 3, 9, 9}) ==
        "Conv2D: the 3 channels of f32[2,3,9,9] cannot be cut into 2 groups");
  for (const nn::Layer& layer :
       {nn::Layer(nn::DepthwiseConv2D(3)), nn::Layer(nn::SeparableConv2D(2, 3)),
        nn::Layer(nn::Conv2DTranspose(2, 3)), nn::Layer(nn::ZeroPadding2D()),
        nn::Layer(nn::Cropping2D()), nn::Layer(nn::UpSampling2D())}) {
    CHECK(shape_error(layer, {2, 3}) ==
          layer.type() + ": the input must be f32[N,H,W,C], not f32[2,3]");
  }
  CHECK(shape_error(nn::DepthwiseConv2D(4), {2, 3, 3, 4}) ==
        "conv2d \"depthwise_conv2d\": the kernel does not fit into the padded input: x [2,3,3,4], "
        "kernel [4,4,1,4], padding 0,0,0,0 (top, bottom, left, right), dilation 1,1");
  CHECK(shape_error(nn::Permute({2, 1}), {2, 3}) ==
        "Permute: dims [2,1] are for an input of rank 3, not f32[2,3]");
  CHECK(shape_error(nn::RepeatVector(2), {2, 3, 4}) ==
        "RepeatVector: the input must be f32[N,F], not f32[2,3,4]");
  CHECK(shape_error(nn::Cropping2D({{1, 2}, {0, 0}}), {2, 3, 4, 1}) ==
        "Cropping2D: nothing would be left of f32[2,3,4,1] once cropped");
  CHECK(shape_error(nn::Cropping1D({1, 2}), {2, 3, 4}) ==
        "Cropping1D: nothing would be left of f32[2,3,4] once cropped");
  Graph graph;
  const Value x = graph.input({DType::f32, {2, 4, 6, 3}}, "x");
  CHECK(message_of<ShapeError>([&] {
          upsample2d(x, {2, 0});
        }) == "upsample2d: size must be at least 1, not 2x0");
  CHECK(message_of<ShapeError>([&] {
          upsample2d(reshape(x, {8, 18}), {2, 2});
        }) == "upsample2d: x must be [N,H,W,C]: f32[8,18]");
  CHECK(message_of<ShapeError>([&] {
          sum_pool2d(x, {2, 4});
        }) == "sum_pool2d: windows of 2x4 do not tile f32[2,4,6,3]");
}

TEST_CASE("spatial: what was given can be read back") {
  const nn::Layer conv = nn::Conv2DTranspose(3, {2, 4},
                                             {.strides = 2,
                                              .output_padding = 1,
                                              .data_format = first,
                                              .kernel_regularizer = nn::L2{0.5},
                                              .bias_constraint = "non_neg",
                                              .name = "up",
                                              .trainable = false});
  const auto* transpose = conv.as<nn::Conv2DTranspose>();
  REQUIRE(transpose != nullptr);
  CHECK(transpose->kernel_size == nn::Size2D(2, 4));
  CHECK(*transpose->config.output_padding == nn::Size2D(1));
  CHECK(transpose->config.kernel_regularizer.as<nn::L2>()->l2 == 0.5);
  CHECK(transpose->config.bias_constraint.name == "non_neg");
  CHECK_FALSE(conv.trainable());
  CHECK(nn::AveragePooling1D(3).config.strides == 3);
  CHECK(nn::ZeroPadding2D({1, 2}).padding == nn::Margins({1, 1}, {2, 2}));
  CHECK(nn::Cropping2D({{1, 2}, {0, 0}}).cropping == nn::Margins({1, 2}, {0, 0}));
  CHECK(nn::UpSampling2D(3, {.interpolation = "Bilinear"}).config.interpolation == "bilinear");
}

}  // namespace weft::test
