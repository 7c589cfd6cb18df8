#include "nn/layers.hpp"

#include <algorithm>

#include "graph/print.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

void expect_positive(std::string_view layer, std::string_view what, std::int64_t number) {
  if (number < 1) fail<ArgumentError>("{}: {} must be at least 1, not {}", layer, what, number);
}
void expect_positive(std::string_view layer, std::string_view what, Size2D size) {
  if (size.height < 1 || size.width < 1) {
    fail<ArgumentError>("{}: {} must be at least 1, not {}x{}", layer, what, size.height,
                        size.width);
  }
}

void expect_padding(std::string_view layer, const std::string& padding) {
  if (padding == "same" || padding == "valid") return;
  fail<ArgumentError>("{}: padding must be \"valid\" or \"same\", not \"{}\"", layer, padding);
}

void expect_image(std::string_view layer, Value x) {
  if (x.shape().rank() == 4) return;
  fail<ShapeError>("{}: the input must be f32[N,H,W,C], not {}", layer, x.type());
}

std::array<std::int64_t, 2> pair(Size2D size) { return {size.height, size.width}; }

Padding2D padding_for(const std::string& padding, Value x, Size2D kernel, Size2D stride,
                      Size2D dilation) {
  if (padding == "valid") return {};
  return same_padding({x.shape()[1], x.shape()[2]}, pair(kernel), pair(stride), pair(dilation));
}

void check_pooling(std::string_view layer, Size2D pool_size, Pooling2DConfig& config) {
  expect_positive(layer, "pool_size", pool_size);
  if (config.strides == Size2D(0)) config.strides = pool_size;
  expect_positive(layer, "strides", config.strides);
  expect_padding(layer, config.padding);
}

Pool2dOptions pooling(std::string_view layer, Value x, Size2D pool_size,
                      const Pooling2DConfig& config) {
  expect_image(layer, x);
  return {.window = pair(pool_size),
          .stride = pair(config.strides),
          .padding = padding_for(config.padding, x, pool_size, config.strides, 1)};
}

/// One window over all of the image.
Pool2dOptions whole_image(std::string_view layer, Value x) {
  expect_image(layer, x);
  const std::array<std::int64_t, 2> size{x.shape()[1], x.shape()[2]};
  return {.window = size, .stride = size};
}

/// f32[N,1,1,C] as the config wants it.
Value pooled(Value y, const GlobalPooling2DConfig& config) {
  return config.keepdims ? y : reshape(y, {y.shape()[0], y.shape()[-1]});
}

}  // namespace

Input::Input(const Shape& shape, InputConfig c) : config(std::move(c)) {
  config.input_shape = shape;
  if (shape.rank() == 0) {
    fail<ArgumentError>("Input: a sample needs at least one axis; mere numbers are {{1}}");
  }
  if (config.dtype != DType::f32 && config.dtype != DType::s32) {
    fail<ArgumentError>("Input: dtype must be f32 or s32, not {}", config.dtype);
  }
  const Type type{config.dtype, with_batch(1, shape)};
  static_cast<Symbol&>(*this) =
      Symbol(std::make_shared<SymbolicCall>(*this, std::vector<Symbol>{}, std::vector<Type>{type}));
}

Dense::Dense(std::int64_t n, DenseConfig c) : units(n), config(std::move(c)) {
  expect_positive("Dense", "units", units);
}

Value Dense::operator()(Scope& scope, Value x) const {
  const Shape shape = x.shape();
  if (shape.rank() < 2) {
    fail<ShapeError>("Dense: the input must be at least f32[N,C], not {}", x.type());
  }
  const Value kernel = scope.parameter("kernel", {shape[-1], units}, config.kernel_initializer);
  // One product of two matrices, whatever the rank.
  Value y = shape.rank() == 2 ? x : reshape(x, {shape.elements() / shape[-1], shape[-1]});
  y = matmul(y, kernel);
  if (config.use_bias) y = y + scope.parameter("bias", {units}, config.bias_initializer);
  if (shape.rank() != 2) y = reshape(y, shape.with(-1, units));
  return config.activation(y);
}

Conv2D::Conv2D(std::int64_t n, Size2D size, Conv2DConfig c)
    : filters(n), kernel_size(size), config(std::move(c)) {
  expect_positive("Conv2D", "filters", filters);
  expect_positive("Conv2D", "kernel_size", kernel_size);
  expect_positive("Conv2D", "strides", config.strides);
  expect_positive("Conv2D", "dilation_rate", config.dilation_rate);
  expect_positive("Conv2D", "groups", config.groups);
  expect_padding("Conv2D", config.padding);
  const Size2D one = 1;
  if (config.strides != one && config.dilation_rate != one) {
    fail<ArgumentError>("Conv2D: strides {}x{} and dilation_rate {}x{}: one of the two must be 1",
                        config.strides.height, config.strides.width, config.dilation_rate.height,
                        config.dilation_rate.width);
  }
  if (filters % config.groups != 0) {
    fail<ArgumentError>("Conv2D: {} filters cannot be cut into {} groups", filters, config.groups);
  }
}

Value Conv2D::operator()(Scope& scope, Value x) const {
  expect_image("Conv2D", x);
  const std::int64_t channels = x.shape()[-1];
  if (channels % config.groups != 0) {
    fail<ShapeError>("Conv2D: the {} channels of {} cannot be cut into {} groups", channels,
                     x.type(), config.groups);
  }
  const Value kernel = scope.parameter(
      "kernel", {kernel_size.height, kernel_size.width, channels / config.groups, filters},
      config.kernel_initializer);
  const Conv2dOptions options{
      .stride = pair(config.strides),
      .padding = padding_for(config.padding, x, kernel_size, config.strides, config.dilation_rate),
      .dilation = pair(config.dilation_rate),
      .groups = config.groups};
  Value y = conv2d(x, kernel, options);
  if (config.use_bias) y = y + scope.parameter("bias", {filters}, config.bias_initializer);
  return config.activation(y);
}

MaxPooling2D::MaxPooling2D(Size2D size, Pooling2DConfig c) : pool_size(size), config(std::move(c)) {
  check_pooling(name(), pool_size, config);
}

Value MaxPooling2D::operator()(Scope&, Value x) const {
  return max_pool2d(x, pooling(name(), x, pool_size, config));
}

AveragePooling2D::AveragePooling2D(Size2D size, Pooling2DConfig c)
    : pool_size(size), config(std::move(c)) {
  check_pooling(name(), pool_size, config);
}

Value AveragePooling2D::operator()(Scope&, Value x) const {
  return average_pool2d(x, pooling(name(), x, pool_size, config));
}

GlobalAveragePooling2D::GlobalAveragePooling2D(GlobalPooling2DConfig c) : config(std::move(c)) {}

Value GlobalAveragePooling2D::operator()(Scope&, Value x) const {
  return pooled(average_pool2d(x, whole_image(name(), x)), config);
}

GlobalMaxPooling2D::GlobalMaxPooling2D(GlobalPooling2DConfig c) : config(std::move(c)) {}

Value GlobalMaxPooling2D::operator()(Scope&, Value x) const {
  return pooled(max_pool2d(x, whole_image(name(), x)), config);
}

BatchNormalization::BatchNormalization(BatchNormalizationConfig c) : config(std::move(c)) {
  if (!(config.momentum >= 0 && config.momentum <= 1)) {
    fail<ArgumentError>("BatchNormalization: momentum must be in [0, 1], not {}", config.momentum);
  }
  if (!(config.epsilon >= 0)) {
    fail<ArgumentError>("BatchNormalization: epsilon must be at least 0, not {}", config.epsilon);
  }
}

Value BatchNormalization::operator()(Scope& scope, Value x) const {
  const Shape shape = x.shape();
  if (shape.rank() < 2) {
    fail<ShapeError>("BatchNormalization: the input must be at least f32[N,C], not {}", x.type());
  }
  if (config.axis != -1 && config.axis + 1 != static_cast<int>(shape.rank())) {
    fail<ArgumentError>(
        "BatchNormalization: axis must be the last, -1, not {}; transpose {} so that channels come "
        "last",
        config.axis, x.type());
  }
  const Shape channels{shape[-1]};
  const auto constant = [&](float number) {
    return scope.graph().constant(Tensor::full(channels, number));
  };
  const Value gamma =
      config.scale ? scope.parameter("gamma", channels, config.gamma_initializer) : constant(1);
  const Value beta =
      config.center ? scope.parameter("beta", channels, config.beta_initializer) : constant(0);
  const Value mean = scope.state("moving_mean", channels, config.moving_mean_initializer);
  const Value variance =
      scope.state("moving_variance", channels, config.moving_variance_initializer);
  const auto epsilon = static_cast<float>(config.epsilon);
  if (!scope.training()) return batch_norm(x, mean, variance, gamma, beta, epsilon);

  const Moments batch = batch_moments(x, scope.share());
  const auto kept = static_cast<float>(config.momentum),
             added = static_cast<float>(1 - config.momentum);
  scope.update_uniform(mean, mean * kept + batch.mean * added);
  scope.update_uniform(variance, variance * kept + batch.variance * added);
  return batch_norm(x, batch.mean, batch.variance, gamma, beta, epsilon);
}

ReLU::ReLU(ReLUConfig c) : config(std::move(c)) {
  const auto expect = [](std::string_view what, double number) {
    if (!(number >= 0)) fail<ArgumentError>("ReLU: {} must be at least 0, not {}", what, number);
  };
  expect("max_value", config.max_value.value_or(0));
  expect("negative_slope", config.negative_slope);
  expect("threshold", config.threshold);
}

Value ReLU::operator()(Scope&, Value x) const {
  const auto slope = static_cast<float>(config.negative_slope),
             threshold = static_cast<float>(config.threshold);
  Value y;
  if (threshold != 0) {
    y = select(less(x, threshold), slope * (x - threshold), x);
  } else {
    y = slope == 0 ? relu(x) : leaky_relu(x, slope);
  }
  if (!config.max_value) return y;
  return minimum(y, static_cast<float>(*config.max_value));
}

Value Flatten::operator()(Scope&, Value x) const { return flatten(x); }

Reshape::Reshape(std::vector<std::int64_t> shape, LayerConfig c)
    : target_shape(std::move(shape)), config(std::move(c)) {
  const auto unknown = std::count(target_shape.begin(), target_shape.end(), -1);
  const bool bad = std::any_of(target_shape.begin(), target_shape.end(),
                               [](std::int64_t size) { return size < 1 && size != -1; });
  if (unknown > 1 || bad) {
    fail<ArgumentError>("Reshape: sizes must be at least 1, and one may be -1, not [{}]",
                        fmt::join(target_shape, ","));
  }
}

Value Reshape::operator()(Scope&, Value x) const {
  if (x.shape().rank() == 0) fail<ShapeError>("Reshape: the input has no batch axis: {}", x.type());
  std::vector<std::int64_t> sizes{x.shape()[0]};
  std::int64_t known = x.shape()[0];
  for (const std::int64_t size : target_shape) known *= size == -1 ? 1 : size;
  for (const std::int64_t size : target_shape) {
    sizes.push_back(size == -1 && known > 0 ? x.shape().elements() / known : size);
  }
  const auto fits = [&] {
    std::int64_t elements = 1;
    for (const std::int64_t size : sizes) elements *= size;
    return elements == x.shape().elements();
  };
  if (!fits()) {
    fail<ShapeError>("Reshape: {} cannot become [{},{}]", x.type(), x.shape()[0],
                     fmt::join(target_shape, ","));
  }
  return reshape(x, Shape(sizes));
}

Dropout::Dropout(double r, LayerConfig c) : rate(r), config(std::move(c)) {
  if (!(rate >= 0 && rate < 1)) {
    fail<ArgumentError>("Dropout: rate must be in [0, 1), not {}", rate);
  }
}

Value Dropout::operator()(Scope& scope, Value x) const {
  if (!scope.training() || rate == 0) return x;
  const auto keep = static_cast<float>(1 - rate);
  const auto [key, stream] = scope.random();
  return x * (random_bernoulli(key, x.shape(), stream, keep) * (1 / keep));
}

}  // namespace weft::nn
