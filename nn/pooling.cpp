#include "nn/pooling.hpp"

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

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

}  // namespace weft::nn
