// Small convolutions with strides and padding in all directions, against the reference evaluation.
// oneDNN has been wrong in some of them (runtime/onednn.cpp); memory is poisoned, so that what it
// reads beside an image or a kernel is NaN.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "autodiff/gradients.hpp"
#include "graph/array.hpp"
#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

namespace weft {
namespace {

// Sums of at most 9 * 256 products of numbers below 1, and twice as many in gradients of y * y, which
// itself may be as large: f32 keeps 6 of their digits.
constexpr double tolerance = 1e-5;

/// Compares tanh(x) convolved with k, and its two gradients. The tanh is there so that x lies as
/// the convolution before it would leave it, not as a user's input does.
void check_convolution(const Shape& x_shape, const Shape& kernel_shape,
                       const Conv2dOptions& options) {
  CAPTURE(fmt::format("x {}, kernel {}, stride {}, padding {}", x_shape, kernel_shape,
                      fmt::join(options.stride, ","), fmt::join(options.padding.list(), ",")));
  Graph graph;
  const Value x = graph.input({DType::f32, x_shape}, "x");
  const Value kernel = graph.input({DType::f32, kernel_shape}, "k");
  const Value y = conv2d(tanh(x), kernel, options);
  std::vector<Value> wanted{y};
  for (const Value gradient : gradients(sum(y * y, {0, 1, 2, 3}), {x, kernel})) {
    wanted.push_back(gradient);
  }
  Feeds feeds;
  std::unordered_map<std::string, Array> arrays;
  float place = 0;
  for (const Value input : {x, kernel}) {
    Tensor values(input.type());
    for (float& value : values.data<float>()) value = std::sin(place += 1.0f);
    const char* name = input == x ? "x" : "k";
    feeds[name] = values;
    arrays[name] = to_array(values);
  }
  const auto exact = evaluate(wanted, arrays);
  const auto found = compile(wanted, {}, {.poison = true}).run(feeds);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::vector<float> values = to_floats(found[i]);
    double largest = 1, worst = 0;
    bool is_finite = true;
    for (std::size_t k = 0; k < values.size(); ++k) {
      largest = std::max(largest, std::abs(exact[i].data[k]));
      worst = std::max(worst, std::abs(values[k] - exact[i].data[k]));
      is_finite = is_finite && std::isfinite(values[k]);
    }
    CAPTURE(i);
    CHECK(is_finite);
    CHECK(worst <= tolerance * largest);
  }
}

TEST_CASE("strided convolutions: images as small as the kernel, padding on one side") {
  for (const std::int64_t height : {1, 4})
    for (std::int64_t width = 1; width <= 6; ++width)
      for (const std::int64_t channels : {1, 3})
        for (const std::int64_t stride : {1, 2, 3})
          for (const std::int64_t kernel_height : {1, 2})
            for (const std::int64_t kernel_width : {1, 2, 3})
              for (const Padding2D& padding :
                   {Padding2D{}, Padding2D{0, 0, 0, 1}, Padding2D{0, 0, 1, 0}}) {
                if (kernel_height > height || kernel_width > width + padding.left + padding.right) {
                  continue;
                }
                check_convolution({1, height, width, channels},
                                  {kernel_height, kernel_width, channels, 2},
                                  {.stride = {height == 1 ? 1 : 2, stride}, .padding = padding});
              }
}

TEST_CASE("strided convolutions: 1x1 kernels that pass over columns") {
  for (const std::int64_t width : {6, 24})
    for (const std::int64_t channels : {3, 5, 16, 64, 144})
      for (const std::array<std::int64_t, 2>& stride :
           {std::array<std::int64_t, 2>{1, 2}, {2, 1}, {2, 2}, {3, 3}}) {
        check_convolution({2, 6, width, channels}, {1, 1, channels, 5}, {.stride = stride});
      }
}

}  // namespace
}  // namespace weft
