// What brings a picture into MNIST's form.
#include "tools/digit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

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

using Strokes = std::vector<std::vector<std::pair<double, double>>>;  // of points y, x

/// How much of a drawing is at a place: its size is 1x1, its pen `pen` wide, its edges `soft`.
double drawn(const Strokes& strokes, double y, double x, double pen = .14, double soft = .02) {
  double d = HUGE_VAL;
  for (const auto& stroke : strokes) {
    for (std::size_t i = 1; i < stroke.size(); ++i) {
      const auto [ay, ax] = stroke[i - 1];
      const double dy = stroke[i].first - ay, dx = stroke[i].second - ax;
      const double t = std::clamp(((y - ay) * dy + (x - ax) * dx) / (dy * dy + dx * dx), 0.0, 1.0);
      d = std::min(d, std::hypot(y - ay - t * dy, x - ax - t * dx));
    }
  }
  return std::clamp((pen / 2 - d) / soft + .5, 0.0, 1.0);
}

const Strokes the_seven{{{.1, .2}, {.1, .8}, {.9, .4}}};

double seven(double y, double x, double pen = .14, double soft = .02) {
  return drawn(the_seven, y, x, pen, soft);
}

double difference(const Tensor& a, const Tensor& b) {
  const auto x = a.data<std::uint8_t>(), y = b.data<std::uint8_t>();
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::abs(int{x[i]} - int{y[i]});
  return sum / static_cast<double>(x.size());
}

/// Where the one may be moved by a pixel, as a centre of mass is that lies between two.
double difference_nearby(const Tensor& a, const Tensor& b) {
  double least = HUGE_VAL;
  for (const int dy : {-1, 0, 1}) {
    for (const int dx : {-1, 0, 1}) {
      const Tensor moved = picture(28, 28, [&](double y, double x) {
        const int row = static_cast<int>(y) + dy, column = static_cast<int>(x) + dx;
        const bool inside = row >= 0 && row < 28 && column >= 0 && column < 28;
        return inside ? b.data<std::uint8_t>()[static_cast<std::size_t>(28 * row + column)] : 0;
      });
      least = std::min(least, difference(a, moved));
    }
  }
  return least;
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

/// A photo of a drawing, 240x320: the pen's width, what of the light the paper and the ink send
/// back (0 to 255), what lies on the page, how it is lit, and the camera's noise.
struct Photo {
  using Field = std::function<double(double y, double x)>;
  const char* name;
  double pen = .14, paper = 215, ink = 45, noise = 3;
  double size = 150, y = 45, x = 85;               ///< where the drawing lies
  double far = 0;                                  ///< how much smaller its upper edge is
  Field mark = [](double, double) { return 0.; };  ///< what part of the light lines take
  Field light = [](double, double) { return 1.; };
  Field beside = [](double, double) { return -1.; };  ///< what is not the page; below 0: it is
};

Tensor photo_of(const Strokes& strokes, const Photo& photo) {
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0, photo.noise);
  return picture(240, 320, [&](double y, double x) {
    const double v = (y - photo.y) / photo.size,
                 u = .5 + ((x - photo.x) / photo.size - .5) / (1 - photo.far * (1 - v));
    const double ink = drawn(strokes, v, u, photo.pen, .02);
    const double page =
        std::lerp(photo.paper * (1 - photo.mark(y, x)), photo.ink, ink) * photo.light(y, x);
    const double beside = photo.beside(y, x);
    return (beside < 0 ? page : beside) + noise(random);
  });
}

TEST_CASE("digit: photos that are hard to read") {
  const auto line = [](double at, double step) { return std::abs(std::remainder(at, step)) < 1; };
  // Of a hand, which lies over the right half.
  const auto shadow = [](double soft, double most) {
    return [=](double y, double x) {
      const double edge = x - 170 + .3 * (y - 120) + 4 * std::sin(y / 20);
      return 1 - most * std::clamp(edge / soft + .5, 0.0, 1.0);
    };
  };
  const std::vector<Photo> photos{
      {.name = "plain"},
      {.name = "from below", .far = .2},
      {.name = "lit from one side",
       .light = [](double y, double x) { return .3 + x / 500 + y / 3000; }},
      {.name = "dark corners",
       .light = [](double y, double x) { return 1 - std::hypot(y - 120, x - 160) / 400; }},
      {.name = "the soft shadow of a hand", .light = shadow(40, .5)},
      {.name = "the sharp shadow of a hand", .light = shadow(6, .5)},
      {.name = "ruled paper", .mark = [&](double y, double) { return line(y, 40) ? .3 : 0; }},
      {.name = "squared paper",
       .mark = [&](double y, double x) { return line(y, 26) || line(x, 26) ? .3 : 0; }},
      {.name = "a thick marker", .pen = .2, .ink = 20},
      {.name = "a thin pen", .pen = .025},
      {.name = "a pencil", .pen = .03, .ink = 130, .noise = 5},
      {.name = "little light", .paper = 70, .ink = 15, .noise = 4},
      {.name = "much noise", .ink = 70, .noise = 20},
      {.name = "colored paper", .paper = 120, .ink = 40},
      {.name = "chalk on a board", .paper = 45, .ink = 210, .noise = 8},
      {.name = "in a corner", .size = 90, .y = 140, .x = 20},
      {.name = "small", .size = 36, .y = 150, .x = 230},
      {.name = "a table beside the paper",
       .beside = [](double y, double x) { return y < 14 + .04 * x || x < 20 ? 70. : -1; }}};
  const std::vector<Strokes> digits{
      {{{.1, .5},
        {.2, .28},
        {.5, .2},
        {.8, .28},
        {.9, .5},
        {.8, .72},
        {.5, .8},
        {.2, .72},
        {.1, .5}}},
      {{{.2, .25}, {.1, .5}, {.25, .72}, {.45, .65}, {.9, .22}, {.9, .78}}},
      {{{.1, .3}, {.6, .2}, {.6, .85}}, {{.3, .65}, {.9, .6}}},
      the_seven};
  for (const Photo& photo : photos) {
    for (std::size_t i = 0; i < digits.size(); ++i) {
      const Tensor found = as_mnist_digit(photo_of(digits[i], photo));
      std::vector<double> off;  // from each of them, drawn plainly by the same pen
      for (const Strokes& digit : digits) {
        off.push_back(difference_nearby(
            found, as_mnist_digit(picture(200, 200, [&](double y, double x) {
              return 255 * drawn(digit, y / 200, x / 200, std::max(photo.pen, .1));
            }))));
      }
      CAPTURE(std::string(photo.name));
      CAPTURE(i);
      CAPTURE(off[i]);
      CHECK(std::ranges::min_element(off) - off.begin() == static_cast<std::ptrdiff_t>(i));
      CHECK(off[i] < 16);
    }
  }
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
