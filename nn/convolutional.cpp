#include "nn/convolutional.hpp"

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {

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

}  // namespace weft::nn
