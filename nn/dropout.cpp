#include "nn/dropout.hpp"

#include <cmath>

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

void expect_rate(std::string_view layer, double rate) {
  if (rate >= 0 && rate <= 1) return;
  fail<ArgumentError>("{}: rate must be in [0, 1], not {}", layer, rate);
}
void expect_rate_below_1(std::string_view layer, double rate) {
  if (rate >= 0 && rate < 1) return;
  fail<ArgumentError>("{}: rate must be in [0, 1), not {}", layer, rate);
}

void expect_noise_shape(std::string_view layer, const std::vector<std::int64_t>& sizes) {
  for (const std::int64_t size : sizes) {
    if (size > 0 || size == -1) continue;
    fail<ArgumentError>("{}: noise_shape must have positive sizes, or -1 for the input's, not [{}]",
                        layer, fmt::join(sizes, ","));
  }
}

/// The shape of what is drawn for x.
Shape noise_for(std::string_view layer, const std::vector<std::int64_t>& sizes, Value x) {
  if (sizes.empty()) return x.shape();
  bool fits = sizes.size() == x.shape().rank();
  Shape shape = x.shape();
  for (int axis = 0; fits && axis < static_cast<int>(sizes.size()); ++axis) {
    const std::int64_t size = sizes[static_cast<std::size_t>(axis)];
    if (size == 1) shape = shape.with(axis, 1);
    fits = axis == 0 || size == -1 || size == shape[axis];
  }
  if (!fits) {
    fail<ShapeError>(
        "{}: noise_shape [{}] does not fit the input {}: it needs a size for each axis, the "
        "input's "
        "(or -1) or 1",
        layer, fmt::join(sizes, ","), x.type());
  }
  return shape;
}

/// 1 with probability keep, else 0.
Value drawn(Scope& scope, const Shape& shape, double keep, std::optional<std::int64_t> seed) {
  const auto [key, stream] = scope.random(seed);
  return random_bernoulli(key, shape, stream, static_cast<float>(keep));
}

Value drop(Scope& scope, Value x, double rate, const Shape& noise,
           std::optional<std::int64_t> seed) {
  if (rate == 1) return x * 0.0f;
  return x * (drawn(scope, noise, 1 - rate, seed) * static_cast<float>(1 / (1 - rate)));
}

}  // namespace

Dropout::Dropout(double r, DropoutConfig c) : rate(r), config(std::move(c)) {
  expect_rate(name(), rate);
  expect_noise_shape(name(), config.noise_shape);
}

Value Dropout::operator()(Scope& scope, Value x) const {
  const Shape noise = noise_for(name(), config.noise_shape, x);
  if (!scope.training() || rate == 0) return x;
  return drop(scope, x, rate, noise, config.seed);
}

SpatialDropout1D::SpatialDropout1D(double r, SpatialDropout1DConfig c)
    : rate(r), config(std::move(c)) {
  expect_rate(name(), rate);
}

Value SpatialDropout1D::operator()(Scope& scope, Value x) const {
  if (x.shape().rank() != 3) {
    fail<ShapeError>("SpatialDropout1D: the input must be f32[N,T,C], not {}", x.type());
  }
  if (!scope.training() || rate == 0) return x;
  return drop(scope, x, rate, x.shape().with(1, 1), config.seed);
}

SpatialDropout2D::SpatialDropout2D(double r, SpatialDropout2DConfig c)
    : rate(r), config(std::move(c)) {
  expect_rate(name(), rate);
  if (config.data_format != "channels_last" && config.data_format != "channels_first") {
    fail<ArgumentError>(
        "SpatialDropout2D: data_format must be \"channels_last\" or \"channels_first\", not \"{}\"",
        config.data_format);
  }
}

Value SpatialDropout2D::operator()(Scope& scope, Value x) const {
  const bool channels_last = config.data_format == "channels_last";
  if (x.shape().rank() != 4) {
    fail<ShapeError>("SpatialDropout2D: the input must be f32[{}], not {}",
                     channels_last ? "N,H,W,C" : "N,C,H,W", x.type());
  }
  if (!scope.training() || rate == 0) return x;
  const int height = channels_last ? 1 : 2;
  return drop(scope, x, rate, x.shape().with(height, 1).with(height + 1, 1), config.seed);
}

GaussianNoise::GaussianNoise(double s, GaussianNoiseConfig c) : stddev(s), config(std::move(c)) {
  if (!(stddev >= 0 && stddev <= 1)) {
    fail<ArgumentError>("GaussianNoise: stddev must be in [0, 1], not {}", stddev);
  }
}

Value GaussianNoise::operator()(Scope& scope, Value x) const {
  if (!scope.training() || stddev == 0) return x;
  const auto [key, stream] = scope.random(config.seed);
  return x + random_normal(key, x.shape(), stream, 0, static_cast<float>(stddev));
}

GaussianDropout::GaussianDropout(double r, GaussianDropoutConfig c)
    : rate(r), config(std::move(c)) {
  expect_rate_below_1(name(), rate);
}

Value GaussianDropout::operator()(Scope& scope, Value x) const {
  if (!scope.training() || rate == 0) return x;
  const auto [key, stream] = scope.random(config.seed);
  const double deviation = std::sqrt(rate / (1 - rate));
  return x * random_normal(key, x.shape(), stream, 1, static_cast<float>(deviation));
}

AlphaDropout::AlphaDropout(double r, AlphaDropoutConfig c) : rate(r), config(std::move(c)) {
  expect_rate_below_1(name(), rate);
  expect_noise_shape(name(), config.noise_shape);
}

Value AlphaDropout::operator()(Scope& scope, Value x) const {
  const Shape noise = noise_for(name(), config.noise_shape, x);
  if (!scope.training() || rate == 0) return x;
  // selu's limit far below 0, and the a and b of the paper's section on dropout: a (keep x + (1 -
  // keep) least) + b has mean 0 and variance 1 if x has.
  constexpr double least = -1.6732632423543772 * 1.0507009873554805;
  const double a = 1 / std::sqrt((1 - rate) * (1 + rate * least * least)), b = -a * least * rate;
  const Value keep = drawn(scope, noise, 1 - rate, config.seed);
  return x * (keep * static_cast<float>(a)) +
         (static_cast<float>(a * least + b) - keep * static_cast<float>(a * least));
}

}  // namespace weft::nn
