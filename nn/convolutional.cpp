#include "nn/convolutional.hpp"

#include <algorithm>

#include "graph/checked.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

template <class L>
void check_sizes(const L& layer) {
  expect_positive(layer.name(), "kernel_size", layer.kernel_size);
  expect_positive(layer.name(), "strides", layer.config.strides);
  expect_positive(layer.name(), "dilation_rate", layer.config.dilation_rate);
  expect_data_format(layer.name(), layer.config.data_format);
}

template <class L>
void expect_stride_or_dilation(const L& layer) {
  const Size2D one = 1, strides = as_size2d(layer.config.strides),
               dilation = as_size2d(layer.config.dilation_rate);
  if (strides == one || dilation == one) return;
  fail<ArgumentError>("{}: strides {} and dilation_rate {}: one of the two must be 1", layer.name(),
                      text(layer.config.strides), text(layer.config.dilation_rate));
}

/// Conv1D and Conv2D.
template <class L>
void check_convolution(const L& layer) {
  expect_positive(layer.name(), "filters", layer.filters);
  check_sizes(layer);
  expect_positive(layer.name(), "groups", layer.config.groups);
  expect_stride_or_dilation(layer);
  if (layer.filters % layer.config.groups != 0) {
    fail<ArgumentError>("{}: {} filters cannot be cut into {} groups", layer.name(), layer.filters,
                        layer.config.groups);
  }
}

template <class L>
Conv2dOptions options_for(const L& layer, Value images, std::int64_t groups) {
  const Size2D strides = as_size2d(layer.config.strides),
               dilation = as_size2d(layer.config.dilation_rate);
  return {.stride = pair(strides),
          .padding = padding_for(layer.config.padding, images, as_size2d(layer.kernel_size),
                                 strides, dilation),
          .dilation = pair(dilation),
          .groups = groups};
}

/// Whether y is a function of each number of x by itself, and was appended right behind it.
bool is_elementwise(Value x, Value y) {
  if (y.shape() != x.shape()) return false;
  const Graph& graph = Graph::of(x);
  for (NodeId id = x.node() + 1; id < graph.size(); ++id) {
    const Node& node = graph[id];
    const bool number = node.inputs.empty() && node.outputs[0].shape.elements() == 1;
    if (!number && !node.op.elementwise()) return false;
  }
  return true;
}

/// The activation of images, in the layer's form. Where it is a function of each number, it comes
/// before they are brought into that form: the compiler then makes it part of the convolution.
Value activated(Value images, const Activation& activation, const ImageForm& form) {
  const Value y = activation(images);
  return is_elementwise(images, y) ? form.back(y) : activation(form.back(images));
}

/// What all convolutions end with.
template <class Config>
Value finish(Scope& scope, Value images, const Config& config, const ImageForm& form) {
  if (config.use_bias) {
    images = images + scope.parameter("bias", {images.shape()[-1]}, config.bias_initializer,
                                      config.bias_regularizer, config.bias_constraint);
  }
  return with_activity_loss(scope, activated(images, config.activation, form),
                            config.activity_regularizer);
}

/// Conv1D and Conv2D, where kernel_size are the first axes of the kernel.
template <class L>
Value convolve(const L& layer, Scope& scope, Value x, std::vector<std::int64_t> kernel_size) {
  const ImageForm form(static_cast<int>(kernel_size.size()), layer.config.data_format);
  const Value images = form.images(layer.name(), x);
  const std::int64_t channels = images.shape()[-1], groups = layer.config.groups;
  if (channels % groups != 0) {
    fail<ShapeError>("{}: the {} channels of {} cannot be cut into {} groups", layer.name(),
                     channels, x.type(), groups);
  }
  kernel_size.insert(kernel_size.end(), {channels / groups, layer.filters});
  Value kernel = scope.parameter("kernel", Shape(kernel_size), layer.config.kernel_initializer,
                                 layer.config.kernel_regularizer, layer.config.kernel_constraint);
  const Size2D size = as_size2d(layer.kernel_size);
  if (kernel.shape().rank() != 4) {
    kernel = reshape(kernel, {size.height, size.width, channels / groups, layer.filters});
  }
  return finish(scope, conv2d(images, kernel, options_for(layer, images, groups)), layer.config,
                form);
}

/// Each channel `times` times, one behind the other.
Value repeat_channels(Value images, std::int64_t times) {
  if (times == 1) return images;
  const Shape& shape = images.shape();
  const Value row = reshape(images, {shape[0], shape[1] * shape[2], shape[3], 1});
  return reshape(upsample2d(row, {1, times}),
                 shape.with(3, checked::mul(shape[3], times, "DepthwiseConv2D")));
}

/// images f32[N,H,W,C] with a kernel f32[KH,KW,C,multiplier]. Channels are repeated first, since
/// only with as many groups as there are inputs and outputs does oneDNN go at the speed of memory.
template <class L>
Value convolve_depthwise(const L& layer, Value images, Value kernel) {
  const Shape& sizes = kernel.shape();
  const std::int64_t outputs = sizes[2] * sizes[3];
  const Value grouped = reshape(kernel, {sizes[0], sizes[1], 1, outputs});
  return conv2d(repeat_channels(images, sizes[3]), grouped, options_for(layer, images, outputs));
}

template <class L>
Value depthwise_kernel(const L& layer, Scope& scope, std::string_view name, Value images) {
  const auto& config = layer.config;
  return scope.parameter(name,
                         {layer.kernel_size.height, layer.kernel_size.width, images.shape()[-1],
                          config.depth_multiplier},
                         config.depthwise_initializer, config.depthwise_regularizer,
                         config.depthwise_constraint);
}

}  // namespace

Conv2D::Conv2D(std::int64_t n, Size2D size, Conv2DConfig c)
    : filters(n), kernel_size(size), config(std::move(c)) {
  expect_padding(name(), config.padding);
  check_convolution(*this);
}

Value Conv2D::operator()(Scope& scope, Value x) const {
  return convolve(*this, scope, x, {kernel_size.height, kernel_size.width});
}

Conv1D::Conv1D(std::int64_t n, std::int64_t size, Conv1DConfig c)
    : filters(n), kernel_size(size), config(std::move(c)) {
  if (config.padding != "valid" && config.padding != "same" && config.padding != "causal") {
    fail<ArgumentError>("Conv1D: padding must be \"valid\", \"same\" or \"causal\", not \"{}\"",
                        config.padding);
  }
  check_convolution(*this);
}

Value Conv1D::operator()(Scope& scope, Value x) const {
  return convolve(*this, scope, x, {kernel_size});
}

DepthwiseConv2D::DepthwiseConv2D(Size2D size, DepthwiseConv2DConfig c)
    : kernel_size(size), config(std::move(c)) {
  expect_padding(name(), config.padding);
  expect_positive(name(), "depth_multiplier", config.depth_multiplier);
  check_sizes(*this);
}

Value DepthwiseConv2D::operator()(Scope& scope, Value x) const {
  const ImageForm form(2, config.data_format);
  const Value images = form.images(name(), x);
  const Value kernel = depthwise_kernel(*this, scope, "kernel", images);
  return finish(scope, convolve_depthwise(*this, images, kernel), config, form);
}

SeparableConv2D::SeparableConv2D(std::int64_t n, Size2D size, SeparableConv2DConfig c)
    : filters(n), kernel_size(size), config(std::move(c)) {
  expect_positive(name(), "filters", filters);
  expect_padding(name(), config.padding);
  expect_positive(name(), "depth_multiplier", config.depth_multiplier);
  check_sizes(*this);
}

Value SeparableConv2D::operator()(Scope& scope, Value x) const {
  const ImageForm form(2, config.data_format);
  const Value images = form.images(name(), x);
  const Value kernel = depthwise_kernel(*this, scope, "depthwise_kernel", images);
  const Value mixer = scope.parameter(
      "pointwise_kernel",
      {1, 1, checked::mul(images.shape()[-1], config.depth_multiplier, name()), filters},
      config.pointwise_initializer, config.pointwise_regularizer, config.pointwise_constraint);
  return finish(scope, conv2d(convolve_depthwise(*this, images, kernel), mixer), config, form);
}

Conv2DTranspose::Conv2DTranspose(std::int64_t n, Size2D size, Conv2DTransposeConfig c)
    : filters(n), kernel_size(size), config(std::move(c)) {
  expect_positive(name(), "filters", filters);
  expect_padding(name(), config.padding);
  check_sizes(*this);
  expect_stride_or_dilation(*this);
  if (!config.output_padding) return;
  const Size2D added = *config.output_padding;
  if (std::min(added.height, added.width) < 0 || added.height >= config.strides.height ||
      added.width >= config.strides.width) {
    fail<ArgumentError>(
        "Conv2DTranspose: output_padding must be at least 0 and less than strides, {}, not {}",
        text(config.strides), text(added));
  }
}

namespace {

/// Along one axis of a transposed convolution: the size of its output, and how many of the
/// convolution's results fall outside of it, which is that convolution's padding.
struct TransposedAxis {
  std::int64_t size, before, after;
};

/// By Keras 3's rules. `reach` is the dilated kernel's size; what the kernel writes is
/// (in - 1) stride + reach long, of which `before` elements are cut, and the rest at the end, where
/// zeros follow if that is too short.
TransposedAxis transposed_axis(const std::string& padding, std::int64_t in, std::int64_t reach,
                               std::int64_t stride, std::optional<std::int64_t> output_padding) {
  constexpr std::string_view who = "Conv2DTranspose";
  const std::int64_t steps = checked::mul(in, stride, who) - stride;
  const std::int64_t whole = checked::add(steps, reach, who);
  std::int64_t size = 0, before = 0;
  if (padding == "valid") {
    size = checked::add(whole, output_padding.value_or(std::max<std::int64_t>(stride - reach, 0)),
                        who);
  } else {
    size = output_padding ? checked::add(steps, reach % 2 + *output_padding, who) : in * stride;
    before = std::max<std::int64_t>(whole - size, 0) / 2;
  }
  return {size, before, std::max<std::int64_t>(whole - before - size, 0)};
}

}  // namespace

Value Conv2DTranspose::operator()(Scope& scope, Value x) const {
  const ImageForm form(2, config.data_format);
  const Value images = form.images(name(), x);
  const Shape& shape = images.shape();
  const Value kernel = scope.parameter(
      "kernel", {kernel_size.height, kernel_size.width, filters, shape[-1]},
      config.kernel_initializer, config.kernel_regularizer, config.kernel_constraint);
  const auto along = [&](std::int64_t Size2D::*axis, std::int64_t in) {
    const std::int64_t reach = checked::add(
        checked::mul(kernel_size.*axis - 1, config.dilation_rate.*axis, name()), 1, name());
    const auto added = config.output_padding ? std::optional((*config.output_padding).*axis)
                                             : std::optional<std::int64_t>();
    return transposed_axis(config.padding, in, reach, config.strides.*axis, added);
  };
  const TransposedAxis rows = along(&Size2D::height, shape[1]),
                       columns = along(&Size2D::width, shape[2]);
  const Value y =
      conv2d_input_grad(images, kernel, {shape[0], rows.size, columns.size, filters},
                        {.stride = pair(config.strides),
                         .padding = {rows.before, rows.after, columns.before, columns.after},
                         .dilation = pair(config.dilation_rate)});
  return finish(scope, y, config, form);
}

}  // namespace weft::nn
