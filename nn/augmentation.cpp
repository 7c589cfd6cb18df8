#include "nn/augmentation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft::nn {
namespace {

/// Where in the image a pixel of the result comes from: matrix * (y, x) + offset, about the centre.
struct Affine {
  double yy = 1, yx = 0, xy = 0, xx = 1, y = 0, x = 0;
};

struct Image {
  std::int64_t height, width, channels;
};

Affine draw_affine(const Augmentation& a, const Image& image, Random& random) {
  const double angle = 2 * std::numbers::pi * random.uniform(-a.rotation, a.rotation);
  const double shift_y = random.uniform(-a.height_shift, a.height_shift);
  const double shift_x = random.uniform(-a.width_shift, a.width_shift);
  const double size = 1 + random.uniform(-a.zoom, a.zoom);
  const bool flip_x = a.horizontal_flip && random.below(2) == 1;
  const bool flip_y = a.vertical_flip && random.below(2) == 1;
  const double c = std::cos(angle) / size, s = std::sin(angle) / size;
  const double sign_y = flip_y ? -1 : 1, sign_x = flip_x ? -1 : 1;
  return {sign_y * c,
          sign_y * -s,
          sign_x * s,
          sign_x * c,
          shift_y * static_cast<double>(image.height),
          shift_x * static_cast<double>(image.width)};
}

bool is_identity(const Affine& f) {
  return f.yy == 1 && f.yx == 0 && f.xy == 0 && f.xx == 1 && f.y == 0 && f.x == 0;
}

void resample(const Image& image, const Affine& f, float fill, std::span<const float> from,
              std::span<float> to) {
  const float centre_y = static_cast<float>(image.height - 1) / 2,
              centre_x = static_cast<float>(image.width - 1) / 2;
  const auto pixel = [&](std::int64_t y, std::int64_t x) {
    const bool inside = y >= 0 && y < image.height && x >= 0 && x < image.width;
    return inside ? &from[static_cast<std::size_t>((y * image.width + x) * image.channels)]
                  : nullptr;
  };
  float* out = to.data();
  for (std::int64_t row = 0; row < image.height; ++row) {
    for (std::int64_t column = 0; column < image.width; ++column) {
      const float dy = static_cast<float>(row) - centre_y - static_cast<float>(f.y);
      const float dx = static_cast<float>(column) - centre_x - static_cast<float>(f.x);
      const float y = static_cast<float>(f.yy) * dy + static_cast<float>(f.yx) * dx + centre_y;
      const float x = static_cast<float>(f.xy) * dy + static_cast<float>(f.xx) * dx + centre_x;
      const float top = std::floor(y), left = std::floor(x);
      const float v = y - top, u = x - left;
      const auto t = static_cast<std::int64_t>(top), l = static_cast<std::int64_t>(left);
      const float *a = pixel(t, l), *b = pixel(t, l + 1), *c = pixel(t + 1, l),
                  *d = pixel(t + 1, l + 1);
      for (std::int64_t channel = 0; channel < image.channels; ++channel) {
        const auto at = [&](const float* p) { return p == nullptr ? fill : p[channel]; };
        *out++ = (1 - v) * ((1 - u) * at(a) + u * at(b)) + v * ((1 - u) * at(c) + u * at(d));
      }
    }
  }
}

void check(const Augmentation& a, const Shape& row) {
  if (row.rank() != 2 && row.rank() != 3) {
    fail<ShapeError>("augment: an image is [H,W] or [H,W,C], not {}", row);
  }
  const auto expect = [](const char* name, double value, bool right, const char* wanted) {
    if (!right) fail<ArgumentError>("augment: {} must be {}, not {}", name, wanted, value);
  };
  const auto positive = [&](const char* name, double value) {
    expect(name, value, value >= 0 && std::isfinite(value), "at least 0");
  };
  const auto part = [&](const char* name, double value) {
    expect(name, value, value >= 0 && value < 1, "at least 0 and below 1");
  };
  positive("rotation", a.rotation);
  positive("height_shift", a.height_shift);
  positive("width_shift", a.width_shift);
  positive("brightness", a.brightness);
  part("zoom", a.zoom);
  part("contrast", a.contrast);
  expect("value_range", static_cast<double>(a.value_range), a.value_range > 0, "above 0");
}

}  // namespace

MapRow augment(const Augmentation& a, const Shape& row) {
  check(a, row);
  const Image image{row[0], row[1], row.rank() == 3 ? row[2] : 1};
  return [a, image](std::span<const float> x, std::span<float> out, Random& random) {
    const Affine affine = draw_affine(a, image, random);
    if (is_identity(affine)) {
      std::ranges::copy(x, out.begin());
    } else {
      resample(image, affine, a.fill, x, out);
    }
    if (a.brightness == 0 && a.contrast == 0) return;
    const auto plus =
        static_cast<float>(random.uniform(-a.brightness, a.brightness)) * a.value_range;
    const auto times = static_cast<float>(1 + random.uniform(-a.contrast, a.contrast));
    double sum = 0;
    for (const float number : out) sum += static_cast<double>(number);
    const auto mean = static_cast<float>(sum / static_cast<double>(out.size()));
    for (float& number : out) {
      number = std::clamp((number - mean) * times + mean + plus, 0.0f, a.value_range);
    }
  };
}

}  // namespace weft::nn
