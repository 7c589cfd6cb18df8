#include "nn/pooling.hpp"

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

using Pool = Value (*)(Value, const Pool2dOptions&);

/// What the layers with windows check, and fill in.
template <class L>
void check_pooling(L& layer) {
  expect_positive(layer.name(), "pool_size", layer.pool_size);
  if (layer.config.strides == decltype(layer.pool_size)(0)) layer.config.strides = layer.pool_size;
  expect_positive(layer.name(), "strides", layer.config.strides);
  expect_padding(layer.name(), layer.config.padding);
  expect_data_format(layer.name(), layer.config.data_format);
}

///   axes  2 for images, 1 for sequences
template <class L>
Value pool_windows(const L& layer, int axes, Value x, Pool pool) {
  const ImageForm form(axes, layer.config.data_format);
  const Value images = form.images(layer.name(), x);
  const Size2D size = as_size2d(layer.pool_size), strides = as_size2d(layer.config.strides);
  return form.back(
      pool(images, {.window = pair(size),
                    .stride = pair(strides),
                    .padding = padding_for(layer.config.padding, images, size, strides, 1)}));
}

template <class L>
Value pool_all(const L& layer, int axes, Value x, Pool pool) {
  const ImageForm form(axes, layer.config.data_format);
  const Value images = form.images(layer.name(), x);
  const std::array<std::int64_t, 2> size{images.shape()[1], images.shape()[2]};
  const Value y = pool(images, {.window = size, .stride = size});
  return layer.config.keepdims ? form.back(y) : reshape(y, {y.shape()[0], y.shape()[-1]});
}

}  // namespace

MaxPooling2D::MaxPooling2D(Size2D size, Pooling2DConfig c) : pool_size(size), config(std::move(c)) {
  check_pooling(*this);
}

Value MaxPooling2D::operator()(Scope&, Value x) const {
  return pool_windows(*this, 2, x, max_pool2d);
}

AveragePooling2D::AveragePooling2D(Size2D size, Pooling2DConfig c)
    : pool_size(size), config(std::move(c)) {
  check_pooling(*this);
}

Value AveragePooling2D::operator()(Scope&, Value x) const {
  return pool_windows(*this, 2, x, average_pool2d);
}

MaxPooling1D::MaxPooling1D(std::int64_t size, Pooling1DConfig c)
    : pool_size(size), config(std::move(c)) {
  check_pooling(*this);
}

Value MaxPooling1D::operator()(Scope&, Value x) const {
  return pool_windows(*this, 1, x, max_pool2d);
}

AveragePooling1D::AveragePooling1D(std::int64_t size, Pooling1DConfig c)
    : pool_size(size), config(std::move(c)) {
  check_pooling(*this);
}

Value AveragePooling1D::operator()(Scope&, Value x) const {
  return pool_windows(*this, 1, x, average_pool2d);
}

GlobalAveragePooling2D::GlobalAveragePooling2D(GlobalPoolingConfig c) : config(std::move(c)) {
  expect_data_format(name(), config.data_format);
}

Value GlobalAveragePooling2D::operator()(Scope&, Value x) const {
  return pool_all(*this, 2, x, average_pool2d);
}

GlobalMaxPooling2D::GlobalMaxPooling2D(GlobalPoolingConfig c) : config(std::move(c)) {
  expect_data_format(name(), config.data_format);
}

Value GlobalMaxPooling2D::operator()(Scope&, Value x) const {
  return pool_all(*this, 2, x, max_pool2d);
}

GlobalAveragePooling1D::GlobalAveragePooling1D(GlobalPoolingConfig c) : config(std::move(c)) {
  expect_data_format(name(), config.data_format);
}

Value GlobalAveragePooling1D::operator()(Scope&, Value x) const {
  return pool_all(*this, 1, x, average_pool2d);
}

GlobalMaxPooling1D::GlobalMaxPooling1D(GlobalPoolingConfig c) : config(std::move(c)) {
  expect_data_format(name(), config.data_format);
}

Value GlobalMaxPooling1D::operator()(Scope&, Value x) const {
  return pool_all(*this, 1, x, max_pool2d);
}

}  // namespace weft::nn
