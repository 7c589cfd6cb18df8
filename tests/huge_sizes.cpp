// Sizes near the ends of 32 and 64 bits: what cannot be is refused by a typed error when it is
// built, and what can be is computed as the reference says. Nothing overflows on the way.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "autodiff/gradients.hpp"
#include "graph/checked.hpp"
#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

namespace weft {
namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

const std::vector<std::int64_t> sizes{3,
                                      70'000,
                                      (std::int64_t{1} << 31) - 1,
                                      std::int64_t{1} << 31,
                                      (std::int64_t{1} << 32) + 1,
                                      std::int64_t{1} << 47,
                                      std::int64_t{1} << 62,
                                      most / 2 + 1,
                                      most - 1,
                                      most};

struct Builder {
  std::string name;
  std::function<Value(Value x, std::int64_t n)> build;  // x is f32[1,4,4,2]
};

Value kernel(Value x) { return Graph::of(x).constant(Tensor::full({3, 3, x.shape()[3], 2}, 0.5f)); }
Value ones(Value x, const Shape& shape) { return Graph::of(x).constant(Tensor::full(shape, 1)); }

// Every option of every builder that takes a size.
const std::vector<Builder> builders{
    {"pad before",
     [](Value x, auto n) {
       return pad(x, {0, n, 0, 0}, {0, 0, 0, 0});
     }},
    {"pad after",
     [](Value x, auto n) {
       return pad(x, {0, 0, 0, 0}, {0, 0, n, 0});
     }},
    {"pad on both sides",
     [](Value x, auto n) {
       return pad(x, {0, n, 0, 0}, {0, n, 0, 0});
     }},
    {"pad twice",
     [](Value x, auto n) {
       return pad(x, {0, n, n, 0}, {0, 0, 0, 0});
     }},
    {"slice, end",
     [](Value x, auto n) {
       return slice(x, {0, 0, 0, 0}, {1, n, 4, 2});
     }},
    {"slice, begin",
     [](Value x, auto n) {
       return slice(x, {0, n, 0, 0}, {1, 4, 4, 2});
     }},
    {"slice, negative begin",
     [](Value x, auto n) {
       return slice(x, {0, -n, 0, 0}, {1, 4, 4, 2});
     }},
    {"slice, step",
     [](Value x, auto n) {
       return slice(x, {0, 0, 0, 0}, {1, 4, 4, 2}, {1, n, 1, n});
     }},
    {"reshape",
     [](Value x, auto n) {
       return reshape(x, {1, n});
     }},
    {"reshape, product",
     [](Value x, auto n) {
       return reshape(x, {n, n, n});
     }},
    {"broadcast_to",
     [](Value x, auto n) {
       return broadcast_to(x, {n, 4, 4, 2});
     }},
    {"broadcast_to, empty",
     [](Value x, auto n) {
       return broadcast_to(sum(x), {0, n, n});
     }},
    {"one_hot", [](Value x, auto n) { return one_hot(cast(x, DType::s32), n); }},
    {"split",
     [](Value x, auto n) {
       return split(x, {n, n, 4 - n, -n}, 1)[0];
     }},
    {"upsample2d",
     [](Value x, auto n) {
       return upsample2d(x, {n, 1});
     }},
    {"upsample2d both",
     [](Value x, auto n) {
       return upsample2d(x, {n, n});
     }},
    {"sum_pool2d",
     [](Value x, auto n) {
       return sum_pool2d(x, {n, 1});
     }},
    {"max_pool2d window",
     [](Value x, auto n) {
       return max_pool2d(x, {.window = {n, 2}});
     }},
    {"max_pool2d stride",
     [](Value x, auto n) {
       return max_pool2d(x, {.stride = {n, n}});
     }},
    {"max_pool2d padding",
     [](Value x, auto n) {
       return max_pool2d(x, {.padding = {n, n, 0, 0}});
     }},
    {"max_pool2d window and padding",
     [](Value x, auto n) {
       return max_pool2d(x, {.window = {n, 2}, .stride = {n, 2}, .padding = {n - 1, n - 1, 0, 0}});
     }},
    {"max_pool2d square window",
     [](Value x, auto n) {
       return max_pool2d(x, {.window = {n, n}, .stride = {n, n}, .padding = {n - 1, 0, n - 1, 0}});
     }},
    {"average_pool2d window and padding",
     [](Value x, auto n) {
       return average_pool2d(x,
                             {.window = {n, 2}, .stride = {n, 2}, .padding = {n - 1, n - 1, 0, 0}});
     }},
    {"average_pool2d stride",
     [](Value x, auto n) {
       return average_pool2d(x, {.stride = {n, n}});
     }},
    {"conv2d padding",
     [](Value x, auto n) {
       return conv2d(x, kernel(x), {.padding = {n, 0, 0, 0}});
     }},
    {"conv2d padding on both sides",
     [](Value x, auto n) {
       return conv2d(x, kernel(x), {.padding = {n, n, 0, 0}});
     }},
    {"conv2d stride",
     [](Value x, auto n) {
       return conv2d(x, kernel(x), {.stride = {n, n}});
     }},
    {"conv2d dilation",
     [](Value x, auto n) {
       return conv2d(x, kernel(x), {.padding = {2, 2, 0, 0}, .dilation = {n, 1}});
     }},
    {"conv2d dilation of half the range",
     [](Value x, auto n) {
       return conv2d(x, kernel(x), {.padding = {2, 2, 0, 0}, .dilation = {n / 2 + 2, 1}});
     }},
    {"conv2d groups", [](Value x, auto n) { return conv2d(x, kernel(x), {.groups = n}); }},
    {"conv2d_input_grad height",
     [](Value x, auto n) {
       return conv2d_input_grad(ones(x, {1, 2, 2, 2}), kernel(x), {1, n, 4, 2});
     }},
    {"conv2d_input_grad stride",
     [](Value x, auto n) {
       return conv2d_input_grad(ones(x, {1, 2, 2, 2}), kernel(x), {1, n, 4, 2},
                                {.stride = {n / 2, 1}});
     }},
    {"conv2d_kernel_grad",
     [](Value x, auto n) {
       return conv2d_kernel_grad(x, ones(x, {1, 2, 2, 2}), {n, 3});
     }},
    {"same_padding, size",
     [](Value x, auto n) {
       return max_pool2d(x, {.padding = same_padding({n, 4}, {3, 3}, {1, 1}, {1, 1})});
     }},
    {"same_padding, kernel",
     [](Value x, auto n) {
       return max_pool2d(x, {.padding = same_padding({4, 4}, {n, 3}, {1, 1}, {1, 1})});
     }},
    {"same_padding, stride",
     [](Value x, auto n) {
       return max_pool2d(x, {.padding = same_padding({4, 4}, {3, 3}, {n, 1}, {1, 1})});
     }},
    {"same_padding, dilation",
     [](Value x, auto n) {
       return max_pool2d(x, {.padding = same_padding({4, 4}, {3, 3}, {1, 1}, {n, n})});
     }},
    {"same_padding, all of it",
     [](Value x, auto n) {
       return max_pool2d(x, {.padding = same_padding({n, n}, {n, n}, {n, n}, {n, n})});
     }},
    {"random_uniform",
     [](Value x, auto n) {
       return random_bernoulli(cast(ones(x, {2}), DType::s32), {n, n}, 0, 0.5f);
     }},
    {"scatter_add",
     [](Value x, auto n) {
       return scatter_add(x, cast(ones(x, {1}), DType::s32), {n, 4, 4, 2}, 0);
     }},
};

/// What is built, with its gradient where there is one.
std::vector<Value> with_gradient(Value x, Value y) {
  std::vector<Value> all{y};
  if (!is_floating(y.dtype())) return all;
  for (const Value& slope : gradients(y, {x})) all.push_back(slope);
  return all;
}

void check_values(const std::vector<Value>& values, const Tensor& x) {
  for (const Value& value : values) {
    if (value.shape().elements() > 4096) return;  // possible, but nothing for a test
  }
  const std::vector<Array> want = evaluate(values, {{"x", to_array(x)}});
  const std::vector<Tensor> got = compile(values).run({{"x", x}});
  for (std::size_t i = 0; i < got.size(); ++i) {
    REQUIRE(got[i].shape() == want[i].shape);
    const Array numbers = to_array(got[i]);
    for (std::size_t k = 0; k < numbers.data.size(); ++k) {
      CHECK(numbers.data[k] == doctest::Approx(want[i].data[k]).epsilon(1e-5));
    }
  }
}

}  // namespace

TEST_CASE("sizes: no builder overflows, whatever it is given") {
  Tensor numbers(Type{DType::f32, {1, 4, 4, 2}});
  float k = 0;
  for (float& number : numbers.data<float>()) number = std::sin(k++);
  for (const Builder& builder : builders) {
    for (const std::int64_t n : sizes) {
      INFO(builder.name, " of ", n);
      Graph graph;
      const Value x = graph.input(numbers.type(), "x");
      std::vector<Value> values;
      try {
        // What does not read x is not run: it has no input.
        values = with_gradient(x, builder.build(x, n) * sum(x));
      } catch (const Error& error) {
        const std::string text = error.what();
        CHECK(text.size() < 400);
        CHECK(text.find(':') != std::string::npos);
        continue;
      }
      for (const Value& value : values) CHECK(value.shape().elements() < std::int64_t{1} << 48);
      // oneDNN's own arithmetic on strides of billions is not ours to test.
      const bool is_ours =
          !builder.name.starts_with("conv2d") && !builder.name.starts_with("average");
      if (n <= 70'000 || is_ours) check_values(values, numbers);
    }
  }
}

namespace {

struct LayerBuilder {
  std::string name;
  std::function<nn::Layer(std::int64_t)> make;
};

const std::vector<LayerBuilder> layers{
    {"ZeroPadding2D",
     [](auto n) {
       return nn::ZeroPadding2D(nn::Margins{{n, n}, {0, 0}});
     }},
    {"Cropping2D",
     [](auto n) {
       return nn::Cropping2D(nn::Margins{{n, n}, {0, n}});
     }},
    {"UpSampling2D",
     [](auto n) {
       return nn::UpSampling2D(nn::Size2D{n, n});
     }},
    {"UpSampling2D bilinear",
     [](auto n) {
       return nn::UpSampling2D(nn::Size2D{n, 1}, {.interpolation = "bilinear"});
     }},
    {"MaxPooling2D",
     [](auto n) {
       return nn::MaxPooling2D(nn::Size2D{n, n});
     }},
    {"MaxPooling2D same",
     [](auto n) {
       return nn::MaxPooling2D(nn::Size2D{n, n}, {.padding = "same"});
     }},
    {"AveragePooling2D same",
     [](auto n) {
       return nn::AveragePooling2D(nn::Size2D{n, n}, {.padding = "same"});
     }},
    {"Conv2D filters", [](auto n) { return nn::Conv2D(n, 3); }},
    {"Conv2D kernel",
     [](auto n) {
       return nn::Conv2D(2, nn::Size2D{n, n}, {.padding = "same"});
     }},
    {"Conv2D strides",
     [](auto n) {
       return nn::Conv2D(2, 3, {.strides = nn::Size2D{n, n}, .padding = "same"});
     }},
    {"Conv2D dilation",
     [](auto n) {
       return nn::Conv2D(2, 3, {.padding = "same", .dilation_rate = nn::Size2D{n, n}});
     }},
    {"DepthwiseConv2D", [](auto n) { return nn::DepthwiseConv2D(3, {.depth_multiplier = n}); }},
    {"SeparableConv2D", [](auto n) { return nn::SeparableConv2D(2, 3, {.depth_multiplier = n}); }},
    {"Conv2DTranspose strides",
     [](auto n) {
       return nn::Conv2DTranspose(2, 3, {.strides = nn::Size2D{n, n}});
     }},
    {"Conv2DTranspose strides, same",
     [](auto n) {
       return nn::Conv2DTranspose(2, 3, {.strides = nn::Size2D{n, n}, .padding = "same"});
     }},
    {"Conv2DTranspose kernel",
     [](auto n) {
       return nn::Conv2DTranspose(2, nn::Size2D{n, n});
     }},
    {"Conv2DTranspose dilation",
     [](auto n) {
       return nn::Conv2DTranspose(2, 3, {.dilation_rate = nn::Size2D{n, n}});
     }},
    {"Reshape",
     [](auto n) {
       return nn::Reshape({n, n, -1});
     }},
    {"Dense", [](auto n) { return nn::Dense(n); }},
};

}  // namespace

TEST_CASE("sizes: no layer overflows, whatever it is given") {
  for (const LayerBuilder& layer : layers) {
    for (const std::int64_t n : sizes) {
      if (n < std::int64_t{1} << 47) continue;  // smaller ones may work, given the memory
      INFO(layer.name, " of ", n);
      const nn::Input x({4, 4, 2});
      try {
        const nn::Symbol y = layer.make(n)(x);
        CHECK(y.shape().elements() < std::int64_t{1} << 48);
      } catch (const Error& error) {
        CHECK(std::string(error.what()).size() < 400);
      }
    }
  }
}

TEST_CASE("sizes: what overflows is named") {
  Graph graph;
  const Value x = graph.input({DType::f32, {1, 4, 4, 2}}, "x");
  CHECK_THROWS_WITH_AS(pad(x, {0, most, 0, 0}, {0, most, 0, 0}),
                       "pad: the size 9223372036854775807 + 4 is larger than any tensor",
                       ShapeError);
  CHECK_THROWS_WITH_AS(checked::sub(-2, most, "crop"),
                       "crop: the size -2 - 9223372036854775807 is larger than any tensor",
                       ShapeError);
  CHECK_THROWS_WITH_AS(upsample2d(x, {most, 1}),
                       "upsample2d: the size 4 * 9223372036854775807 is larger than any tensor",
                       ShapeError);
  CHECK_THROWS_WITH_AS(
      max_pool2d(x, {.window = {70'000, 70'000}, .padding = {69'999, 0, 69'999, 0}}),
      "max_pool2d: a window may have 2147483647 elements, not 70000 x 70000", ShapeError);
  CHECK_THROWS_WITH_AS(
      conv2d(x, kernel(x), {.padding = {most - 4, 0, 0, 0}}),
      "conv2d: a padded image may be 2147483647 high and wide, not 9223372036854775807",
      ShapeError);
  CHECK_THROWS_WITH_AS(
      (Shape{0, std::int64_t{1} << 40, std::int64_t{1} << 40}),
      "shape: [0,1099511627776,1099511627776] has more elements than a tensor can hold",
      ShapeError);
}

TEST_CASE("values: an empty one has no type, op, inputs or name, and says so") {
  const Value none;
  const auto message = [](const char* what) {
    return std::string("value: an empty Value has no ") + what + "; it is an output of no node";
  };
  CHECK_THROWS_WITH_AS(none.shape(), message("type").c_str(), ArgumentError);
  CHECK_THROWS_WITH_AS(none.dtype(), message("type").c_str(), ArgumentError);
  CHECK_THROWS_WITH_AS(none.op(), message("op").c_str(), ArgumentError);
  CHECK_THROWS_WITH_AS(none.inputs(), message("inputs").c_str(), ArgumentError);
  CHECK_THROWS_WITH_AS(none.name(), message("name").c_str(), ArgumentError);
  CHECK_THROWS_WITH_AS(none.named("x"), message("node to be named").c_str(), ArgumentError);
  CHECK_THROWS_AS(relu(none), Error);
  CHECK_THROWS_AS(none + none, Error);
  CHECK_THROWS_AS(softmax(none), Error);
}

}  // namespace weft
