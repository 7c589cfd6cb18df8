#include "nn/reshaping.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>

#include "graph/checked.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/names.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

constexpr const char* channels_last_format = "channels_last";

std::string text(Ends ends) { return fmt::format("{},{}", ends.before, ends.after); }

void expect_not_negative(std::string_view layer, std::string_view what, Ends ends) {
  if (std::min(ends.before, ends.after) >= 0) return;
  fail<ArgumentError>("{}: {} must be at least 0, not {}", layer, what, text(ends));
}

Value pad_images(Value images, const Margins& margins) {
  const auto& [height, width] = margins;
  return pad(images, {0, height.before, width.before, 0}, {0, height.after, width.after, 0});
}

Value crop_images(std::string_view layer, Value images, const Margins& margins, Value x) {
  const auto& [height, width] = margins;
  const Shape& shape = images.shape();
  const std::int64_t bottom = shape[1] - height.after, right = shape[2] - width.after;
  if (bottom <= height.before || right <= width.before) {
    fail<ShapeError>("{}: nothing would be left of {} once cropped", layer, x.type());
  }
  return slice(images, {0, height.before, width.before, 0}, {shape[0], bottom, right, shape[3]});
}

// Kernels of interpolation, of a distance in pixels of the smaller image.

struct Interpolation {
  std::string_view name;
  double (*weight)(double distance);
};

double triangle(double x) { return std::max(1 - x, 0.0); }

double cubic(double x) {
  if (x >= 2) return 0;
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : ((2.5 - 0.5 * x) * x - 4) * x + 2;
}

double sinc(double x) {
  return x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x);
}
double lanczos(double x, double radius) { return x < radius ? sinc(x) * sinc(x / radius) : 0; }

constexpr std::array interpolations{
    Interpolation{"nearest", nullptr}, Interpolation{"bilinear", triangle},
    Interpolation{"bicubic", cubic},
    Interpolation{"lanczos3", [](double x) { return lanczos(x, 3); }},
    Interpolation{"lanczos5", [](double x) { return lanczos(x, 5); }}};

const Interpolation& interpolation_of(const UpSampling2DConfig& config) {
  return find_named("UpSampling2D: interpolation", config.interpolation,
                    std::span<const Interpolation>(interpolations));
}

/// f32[from * factor, from]: what a pixel of the larger image has of each of the smaller one.
Tensor interpolation_matrix(const Interpolation& interpolation, std::int64_t from,
                            std::int64_t factor) {
  const std::int64_t to_size = checked::mul(from, factor, "UpSampling2D");
  constexpr std::int64_t most = 1 << 27;
  if (const Shape shape{to_size, from}; shape.elements() > most) {
    fail<ShapeError>(
        "UpSampling2D: {} times {} pixels interpolate by a matrix f32{}, which is too large",
        factor, from, shape);
  }
  Tensor matrix(Type{DType::f32, {to_size, from}});
  std::vector<double> row(static_cast<std::size_t>(from));
  auto to = matrix.data<float>().begin();
  for (std::int64_t i = 0; i < to_size; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) / static_cast<double>(factor) - 0.5;
    double sum = 0;
    for (std::size_t j = 0; j < row.size(); ++j) {
      sum += row[j] = interpolation.weight(std::abs(centre - static_cast<double>(j)));
    }
    for (const double weight : row) *to++ = static_cast<float>(weight / sum);
  }
  return matrix;
}

/// One product with a matrix for the rows of all images, one for their columns: linear in the
/// images, so that gradients of any order are products too.
Value interpolated(Value images, Size2D size, const Interpolation& interpolation) {
  Graph& graph = Graph::of(images);
  const Shape shape = images.shape();
  const std::int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  Value y = images;
  if (size.height > 1) {
    const Value rows = graph.constant(interpolation_matrix(interpolation, h, size.height));
    y = matmul(rows, reshape(y, {n, h, w * c}));
  }
  const std::int64_t height = checked::mul(h, size.height, "UpSampling2D");
  if (size.width > 1) {
    const Value columns = graph.constant(interpolation_matrix(interpolation, w, size.width));
    y = matmul(columns, reshape(y, {n * height, w, c}));
  }
  return reshape(y, {n, height, checked::mul(w, size.width, "UpSampling2D"), c});
}

}  // namespace

Flatten::Flatten(SpatialConfig c) : config(std::move(c)) {
  expect_data_format(name(), config.data_format);
}

Value Flatten::operator()(Scope&, Value x) const {
  return flatten(config.data_format == "channels_first" ? channels_last(x) : x);
}

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
  std::int64_t known = sizes[0];
  for (const std::int64_t size : target_shape) {
    if (size != -1) known = checked::mul(known, size, name());
  }
  for (const std::int64_t size : target_shape) {
    sizes.push_back(size == -1 && known > 0 ? x.shape().elements() / known : size);
  }
  const auto fits = [&] {
    std::int64_t elements = 1;
    for (const std::int64_t size : sizes) elements = checked::mul(elements, size, name());
    return elements == x.shape().elements();
  };
  if (!fits()) {
    fail<ShapeError>("Reshape: {} cannot become [{},{}]", x.type(), x.shape()[0],
                     fmt::join(target_shape, ","));
  }
  return reshape(x, Shape(sizes));
}

Permute::Permute(std::vector<int> d, LayerConfig c) : dims(std::move(d)), config(std::move(c)) {
  std::vector<int> sorted = dims;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t k = 0; k < sorted.size(); ++k) {
    if (sorted[k] != static_cast<int>(k) + 1) {
      fail<ArgumentError>("Permute: dims must name each of 1 to {} once, not [{}]", dims.size(),
                          fmt::join(dims, ","));
    }
  }
}

Value Permute::operator()(Scope&, Value x) const {
  if (x.shape().rank() != dims.size() + 1) {
    fail<ShapeError>("Permute: dims [{}] are for an input of rank {}, not {}", fmt::join(dims, ","),
                     dims.size() + 1, x.type());
  }
  std::vector<int> axes{0};
  axes.insert(axes.end(), dims.begin(), dims.end());
  return transpose(x, axes);
}

RepeatVector::RepeatVector(std::int64_t count, LayerConfig c) : n(count), config(std::move(c)) {
  expect_positive(name(), "n", n);
}

Value RepeatVector::operator()(Scope&, Value x) const {
  const Shape& shape = x.shape();
  if (shape.rank() != 2) {
    fail<ShapeError>("RepeatVector: the input must be f32[N,F], not {}", x.type());
  }
  return broadcast_to(reshape(x, {shape[0], 1, shape[1]}), {shape[0], n, shape[1]});
}

ZeroPadding2D::ZeroPadding2D(Margins p, SpatialConfig c) : padding(p), config(std::move(c)) {
  expect_not_negative(name(), "padding", padding.height);
  expect_not_negative(name(), "padding", padding.width);
  expect_data_format(name(), config.data_format);
}

Value ZeroPadding2D::operator()(Scope&, Value x) const {
  const ImageForm form(2, config.data_format);
  return form.back(pad_images(form.images(name(), x), padding));
}

ZeroPadding1D::ZeroPadding1D(Ends p, SpatialConfig c) : padding(p), config(std::move(c)) {
  expect_not_negative(name(), "padding", padding);
  expect_data_format(name(), config.data_format);
}

Value ZeroPadding1D::operator()(Scope&, Value x) const {
  const ImageForm form(1, config.data_format);
  return form.back(pad_images(form.images(name(), x), {0, padding}));
}

Cropping2D::Cropping2D(Margins p, SpatialConfig c) : cropping(p), config(std::move(c)) {
  expect_not_negative(name(), "cropping", cropping.height);
  expect_not_negative(name(), "cropping", cropping.width);
  expect_data_format(name(), config.data_format);
}

Value Cropping2D::operator()(Scope&, Value x) const {
  const ImageForm form(2, config.data_format);
  return form.back(crop_images(name(), form.images(name(), x), cropping, x));
}

Cropping1D::Cropping1D(Ends p, LayerConfig c) : cropping(p), config(std::move(c)) {
  expect_not_negative(name(), "cropping", cropping);
}

Value Cropping1D::operator()(Scope&, Value x) const {
  const ImageForm form(1, channels_last_format);
  return form.back(crop_images(name(), form.images(name(), x), {0, cropping}, x));
}

UpSampling2D::UpSampling2D(Size2D s, UpSampling2DConfig c) : size(s), config(std::move(c)) {
  expect_positive(name(), "size", size);
  expect_data_format(name(), config.data_format);
  config.interpolation = interpolation_of(config).name;
}

Value UpSampling2D::operator()(Scope&, Value x) const {
  const ImageForm form(2, config.data_format);
  const Value images = form.images(name(), x);
  const Interpolation& interpolation = interpolation_of(config);
  return form.back(interpolation.weight == nullptr ? upsample2d(images, pair(size))
                                                   : interpolated(images, size, interpolation));
}

UpSampling1D::UpSampling1D(std::int64_t s, LayerConfig c) : size(s), config(std::move(c)) {
  expect_positive(name(), "size", size);
}

Value UpSampling1D::operator()(Scope&, Value x) const {
  const ImageForm form(1, channels_last_format);
  return form.back(upsample2d(form.images(name(), x), {1, size}));
}

}  // namespace weft::nn
