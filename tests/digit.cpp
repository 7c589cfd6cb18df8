// What brings a picture into MNIST's form.
#include "tools/digit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "tests/io_files.hpp"

#ifdef WEFT_PROGRAM

namespace weft::test {
namespace {

/// u8[H,W,1] of a function of the place.
Tensor picture(std::int64_t height, std::int64_t width,
               const std::function<double(double y, double x)>& grey) {
  Tensor out(Type{DType::u8, {height, width, 1}});
  auto pixel = out.data<std::uint8_t>().begin();
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const double v = grey(static_cast<double>(y) + .5, static_cast<double>(x) + .5);
      *pixel++ = static_cast<std::uint8_t>(std::lround(std::clamp(v, 0.0, 255.0)));
    }
  }
  return out;
}

/// How much of a seven is at a place: its size is 1x1, its pen `pen` wide, its edges `soft`.
double seven(double y, double x, double pen = .14, double soft = .02) {
  const auto distance = [&](double ay, double ax, double by, double bx) {
    const double dy = by - ay, dx = bx - ax;
    const double t = std::clamp(((y - ay) * dy + (x - ax) * dx) / (dy * dy + dx * dx), 0.0, 1.0);
    return std::hypot(y - ay - t * dy, x - ax - t * dx);
  };
  const double d = std::min(distance(.1, .2, .1, .8), distance(.1, .8, .9, .4));
  return std::clamp((pen / 2 - d) / soft + .5, 0.0, 1.0);
}

double difference(const Tensor& a, const Tensor& b) {
  const auto x = a.data<std::uint8_t>(), y = b.data<std::uint8_t>();
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::abs(int{x[i]} - int{y[i]});
  return sum / static_cast<double>(x.size());
}

/// Of a seven, bright on black, in the middle of 200x200.
Tensor plain_seven() {
  return as_mnist_digit(
      picture(200, 200, [](double y, double x) { return 255 * seven(y / 200, x / 200); }));
}

TEST_CASE("digit: MNIST's form, a box of 20x20 with its mass in the middle of 28x28") {
  const Tensor out = plain_seven();
  REQUIRE(out.type() == Type{DType::u8, {28, 28, 1}});
  const auto pixels = out.data<std::uint8_t>();
  int top = 28, bottom = -1, left = 28, right = -1;
  double mass = 0, y_mass = 0, x_mass = 0;
  for (int y = 0; y < 28; ++y) {
    for (int x = 0; x < 28; ++x) {
      const int v = pixels[static_cast<std::size_t>(28 * y + x)];
      if (v == 0) continue;
      top = std::min(top, y);
      bottom = std::max(bottom, y);
      left = std::min(left, x);
      right = std::max(right, x);
      mass += v;
      y_mass += v * (y + .5);
      x_mass += v * (x + .5);
    }
  }
  CHECK(bottom - top + 1 == 20);
  CHECK(right - left + 1 == doctest::Approx(20 * .74 / .94).epsilon(.1));
  CHECK(std::abs(y_mass / mass - 14.5) <= .5);
  CHECK(std::abs(x_mass / mass - 14.5) <= .5);
  CHECK(*std::ranges::max_element(pixels) == 255);
  CHECK(difference(as_mnist_digit(out), out) < 2);  // what has the form keeps it
}

TEST_CASE("digit: size, place, and what is dark or light do not matter") {
  const Tensor wanted = plain_seven();
  const auto scene = [&](int height, int width, double size, double y0, double x0, bool dark) {
    return as_mnist_digit(picture(height, width, [&](double y, double x) {
      const double ink = 255 * seven((y - y0) / size, (x - x0) / size);
      return dark ? 255 - ink : ink;
    }));
  };
  CHECK(difference(scene(200, 200, 200, 0, 0, true), wanted) < 2);
  CHECK(difference(scene(300, 500, 180, 100, 20, false), wanted) < 5);
  CHECK(difference(scene(1200, 900, 500, 50, 330, true), wanted) < 5);
  CHECK(difference(scene(56, 56, 44, 8, 3, false), wanted) < 8);
}

TEST_CASE("digit: a photo, unevenly lit, with noise and dirt") {
  const Tensor wanted = plain_seven();
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0, 4);
  const Tensor photo = picture(400, 400, [&](double y, double x) {
    const double light = 90 + .3 * x + .08 * y;
    double ink = seven((y - 80) / 240, (x - 60) / 240);
    if (std::hypot(y - 370, x - 350) < 3) ink = 1;  // dirt
    return light * (1 - .7 * ink) + noise(random);
  });
  CHECK(difference(as_mnist_digit(photo), wanted) < 8);
}

TEST_CASE("digit: a thin pen is made thicker") {
  const auto drawn = [](double pen) {
    return as_mnist_digit(picture(300, 300, [&](double y, double x) {
      return 255 - 255 * seven(y / 300, x / 300, pen, .005);
    }));
  };
  const auto mass = [](const Tensor& digit) {
    double sum = 0;
    for (const std::uint8_t v : digit.data<std::uint8_t>()) sum += v;
    return sum / 255;
  };
  CHECK(mass(drawn(.015)) > .6 * mass(drawn(.1)));
}

TEST_CASE("digit: where there is nothing, all is black") {
  for (const int level : {0, 128, 255}) {
    for (const int size : {1, 3, 28, 100}) {
      const Tensor out = as_mnist_digit(picture(size, size, [&](double, double) { return level; }));
      CHECK(std::ranges::all_of(out.data<std::uint8_t>(), [](int v) { return v == 0; }));
    }
  }
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0, 6);
  const Tensor paper = as_mnist_digit(
      picture(200, 300, [&](double, double x) { return 90 + .3 * x + noise(random); }));
  CHECK(std::ranges::all_of(paper.data<std::uint8_t>(), [](int v) { return v == 0; }));
  CHECK(as_mnist_digit(Tensor(Type{DType::u8, {0, 5, 1}})).elements() == 784);
  CHECK(as_mnist_digit(Tensor(Type{DType::u8, {5, 700}})).elements() == 784);
}

TEST_CASE("digit: other tensors are refused") {
  check_message<ShapeError>(
      [] {
        as_mnist_digit(Tensor(Type{DType::u8, {4, 4, 3}}));
      },
      {"u8[H,W,1]", "u8[4,4,3]"});
  check_message<TypeError>(
      [] {
        as_mnist_digit(Tensor(Type{DType::f32, {4, 4}}));
      },
      {"bytes", "f32[4,4]"});
}

}  // namespace
}  // namespace weft::test

#endif
