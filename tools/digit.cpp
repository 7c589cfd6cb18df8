// From a grey picture to MNIST's form, in steps that each take and return a plane of numbers.
#include "tools/digit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft {
namespace {

constexpr int side = 28, box_side = 20;
/// What is larger is shrunk first: strokes are seen as well, and all steps are fast.
constexpr int largest = 512;
/// Ink that stands out less than this from its surroundings is noise.
constexpr float least_contrast = 12;
/// Darker paper shows noise and no more.
constexpr float dark = 32;
/// How wide MNIST's pens are at least, in its pixels.
constexpr float least_stroke = 2;

struct Plane {
  int height = 0, width = 0;
  std::vector<float> values = std::vector<float>(static_cast<std::size_t>(height) * width);

  float& at(int y, int x) { return values[static_cast<std::size_t>(y) * width + x]; }
  float at(int y, int x) const { return values[static_cast<std::size_t>(y) * width + x]; }
};

/// Cell i of n, as a range of what is cut into n cells of equal, fractional length.
struct Part {
  Part(int i, int n, int length)
      : from(static_cast<double>(i) * length / n), to(static_cast<double>(i + 1) * length / n) {}
  int first() const { return static_cast<int>(from); }
  int last(int length) const { return std::min(length, static_cast<int>(std::ceil(to))); }
  double share(int k) const { return std::min<double>(k + 1, to) - std::max<double>(k, from); }

  double from, to;
};

/// Another size, each number the mean over the area that it covers.
Plane resized(const Plane& plane, int height, int width) {
  Plane out{height, width};
  for (int y = 0; y < height; ++y) {
    const Part rows(y, height, plane.height);
    for (int x = 0; x < width; ++x) {
      const Part columns(x, width, plane.width);
      double sum = 0, area = 0;
      for (int i = rows.first(); i < rows.last(plane.height); ++i) {
        for (int j = columns.first(); j < columns.last(plane.width); ++j) {
          const double share = rows.share(i) * columns.share(j);
          sum += share * plane.at(i, j);
          area += share;
        }
      }
      out.at(y, x) = static_cast<float>(sum / area);
    }
  }
  return out;
}

/// The largest number within `reach` rows and columns of each.
Plane dilated(const Plane& plane, int reach) {
  Plane rows{plane.height, plane.width}, out{plane.height, plane.width};
  for (int y = 0; y < plane.height; ++y) {
    for (int x = 0; x < plane.width; ++x) {
      float most = plane.at(y, x);
      for (int j = std::max(0, x - reach); j <= std::min(plane.width - 1, x + reach); ++j) {
        most = std::max(most, plane.at(y, j));
      }
      rows.at(y, x) = most;
    }
  }
  for (int y = 0; y < plane.height; ++y) {
    for (int x = 0; x < plane.width; ++x) {
      float most = rows.at(y, x);
      for (int i = std::max(0, y - reach); i <= std::min(plane.height - 1, y + reach); ++i) {
        most = std::max(most, rows.at(i, x));
      }
      out.at(y, x) = most;
    }
  }
  return out;
}

/// The number below which a part of them lies.
float percentile(std::vector<float> values, double part) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(part * (values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Where numbers from 0 to 255 fall into two groups that differ most (Otsu, "A threshold selection
/// method from gray-level histograms", 1979). The middle between the groups' nearest members.
float otsu(const std::vector<float>& values) {
  std::array<double, 256> count{};
  for (const float v : values) ++count[static_cast<std::size_t>(std::clamp(v, 0.0f, 255.0f))];
  double sum = 0;
  for (std::size_t i = 0; i < count.size(); ++i) sum += static_cast<double>(i) * count[i];
  const double all = static_cast<double>(values.size());
  double below = 0, sum_below = 0, best = -1;
  std::size_t first = 0, last = 0;
  for (std::size_t i = 0; i + 1 < count.size(); ++i) {
    below += count[i];
    sum_below += static_cast<double>(i) * count[i];
    if (below == 0 || below == all) continue;
    const double distance = sum_below / below - (sum - sum_below) / (all - below);
    const double between = below * (all - below) * distance * distance;
    if (between > best) {
      best = between;
      first = i;
    }
    if (between >= best) last = i;
  }
  return (static_cast<float>(first + last) + 1) / 2;
}

std::vector<float> frame_of(const Plane& plane) {
  std::vector<float> values;
  for (int y = 0; y < plane.height; ++y) {
    for (int x = 0; x < plane.width; ++x) {
      const bool inner = y > 0 && x > 0 && y + 1 < plane.height && x + 1 < plane.width;
      if (!inner) values.push_back(plane.at(y, x));
    }
  }
  return values;
}

/// How bright paper is around each pixel: nearly the brightest of the blocks nearby, smoothly.
Plane paper(const Plane& plane) {
  constexpr int blocks = 8;
  const int rows = std::min(blocks, plane.height), columns = std::min(blocks, plane.width);
  Plane coarse{rows, columns};
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      std::vector<float> values;
      for (int i = y * plane.height / rows; i < (y + 1) * plane.height / rows; ++i) {
        for (int j = x * plane.width / columns; j < (x + 1) * plane.width / columns; ++j) {
          values.push_back(plane.at(i, j));
        }
      }
      coarse.at(y, x) = percentile(std::move(values), 0.8);
    }
  }
  // A block may be all ink, but not with all its neighbours.
  coarse = dilated(coarse, 1);
  Plane out{plane.height, plane.width};
  const auto place = [](int i, int length, int n) {
    return std::clamp((i + 0.5f) * n / length - 0.5f, 0.0f, static_cast<float>(n - 1));
  };
  for (int y = 0; y < plane.height; ++y) {
    const float v = place(y, plane.height, rows);
    const int top = static_cast<int>(v), bottom = std::min(top + 1, rows - 1);
    for (int x = 0; x < plane.width; ++x) {
      const float u = place(x, plane.width, columns);
      const int left = static_cast<int>(u), right = std::min(left + 1, columns - 1);
      const float a = std::lerp(coarse.at(top, left), coarse.at(top, right), u - left);
      const float b = std::lerp(coarse.at(bottom, left), coarse.at(bottom, right), u - left);
      out.at(y, x) = std::lerp(a, b, v - top);
    }
  }
  return out;
}

/// What part of the light each pixel takes from its paper, so that ink in the shadow is as black as
/// elsewhere; 0 to 255. Where ink is the brighter one, all is turned round first.
Plane ink_of(Plane plane) {
  const float border = percentile(frame_of(plane), 0.5);
  if (border <= otsu(plane.values)) {
    for (float& v : plane.values) v = 255 - v;
  }
  const Plane background = paper(plane);
  for (std::size_t i = 0; i < plane.values.size(); ++i) {
    const float share = plane.values[i] / std::max(background.values[i], dark);
    plane.values[i] = 255 * std::max(0.0f, 1 - share);
  }
  return plane;
}

/// Leaves what is connected and large; specks of dirt would count in the digit's box.
void drop_specks(Plane& ink, float threshold) {
  std::vector<int> part(ink.values.size(), -1);
  std::vector<std::size_t> sizes, stack;
  for (std::size_t start = 0; start < part.size(); ++start) {
    if (part[start] >= 0 || ink.values[start] < threshold) continue;
    const int id = static_cast<int>(sizes.size());
    sizes.push_back(0);
    part[start] = id;
    stack.push_back(start);
    while (!stack.empty()) {
      const int y = static_cast<int>(stack.back()) / ink.width,
                x = static_cast<int>(stack.back()) % ink.width;
      stack.pop_back();
      ++sizes[static_cast<std::size_t>(id)];
      for (int i = std::max(0, y - 1); i <= std::min(ink.height - 1, y + 1); ++i) {
        for (int j = std::max(0, x - 1); j <= std::min(ink.width - 1, x + 1); ++j) {
          const std::size_t next = static_cast<std::size_t>(i) * ink.width + j;
          if (part[next] >= 0 || ink.values[next] < threshold) continue;
          part[next] = id;
          stack.push_back(next);
        }
      }
    }
  }
  if (sizes.empty()) return;
  const std::size_t least = *std::max_element(sizes.begin(), sizes.end()) / 25;
  Plane kept{ink.height, ink.width};
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] >= 0 && sizes[static_cast<std::size_t>(part[i])] > least) kept.values[i] = 1;
  }
  // Soft edges belong to it.
  kept = dilated(kept, 1 + std::max(ink.height, ink.width) / 64);
  for (std::size_t i = 0; i < part.size(); ++i) ink.values[i] *= kept.values[i];
}

/// Full ink is 255, and paper 0, whatever its grain. Returns whether there is any ink.
bool clean(Plane& ink) {
  const float threshold = otsu(ink.values);
  std::vector<float> below, above;
  for (const float v : ink.values) (v < threshold ? below : above).push_back(v);
  const float full = percentile(above, 0.75);
  if (above.empty() || full < least_contrast) return false;
  const float middle = percentile(below, 0.5);
  for (float& v : below) v = std::abs(v - middle);
  // Three standard deviations, by the median of what is not ink.
  const float none = std::min(threshold, middle + 3 * 1.4826f * percentile(below, 0.5));
  if (full < 2 * none) return false;  // the grain of paper
  drop_specks(ink, threshold);
  for (float& v : ink.values) v = std::clamp((v - none) / (full - none), 0.0f, 1.0f) * 255;
  return true;
}

/// What of it is not black.
Plane cropped(const Plane& ink) {
  int top = ink.height, left = ink.width, bottom = 0, right = 0;
  for (int y = 0; y < ink.height; ++y) {
    for (int x = 0; x < ink.width; ++x) {
      if (ink.at(y, x) < 8) continue;
      top = std::min(top, y);
      bottom = std::max(bottom, y + 1);
      left = std::min(left, x);
      right = std::max(right, x + 1);
    }
  }
  Plane out{std::max(0, bottom - top), std::max(0, right - left)};
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) out.at(y, x) = ink.at(top + y, left + x);
  }
  return out;
}

/// Pixels: twice the area for the length of its outline.
double stroke_width(const Plane& digit) {
  double area = 0, outline = 0;
  const auto inside = [&](int y, int x) {
    return y >= 0 && x >= 0 && y < digit.height && x < digit.width && digit.at(y, x) >= 128;
  };
  for (int y = 0; y < digit.height; ++y) {
    for (int x = 0; x < digit.width; ++x) {
      if (!inside(y, x)) continue;
      ++area;
      const int open =
          !inside(y - 1, x) + !inside(y + 1, x) + !inside(y, x - 1) + !inside(y, x + 1);
      outline += open > 1 ? std::sqrt(2.0) : open;
    }
  }
  return outline > 0 ? 2 * area / outline : 0;
}

/// Made thicker if it would be thinner than MNIST's pens. What is thick enough stays as it is.
Plane thickened(const Plane& digit) {
  const double pixel = std::max(digit.height, digit.width) / static_cast<double>(box_side);
  const double missing = least_stroke * pixel - stroke_width(digit);
  const int reach = static_cast<int>(std::lround(missing / 2));
  if (reach < 1) return digit;
  Plane wide{digit.height + 2 * reach, digit.width + 2 * reach};
  for (int y = 0; y < digit.height; ++y) {
    for (int x = 0; x < digit.width; ++x) wide.at(y + reach, x + reach) = digit.at(y, x);
  }
  return dilated(wide, reach);
}

/// The corner of a box of this length whose centre of mass comes to the middle, inside of 28. In
/// MNIST's own images, that is the middle of pixel 14, counted from 0.
int corner(double centre, int length) {
  return std::clamp(static_cast<int>(std::lround(side / 2 + 0.5 - centre)), 0, side - length);
}

Tensor centred(const Plane& digit) {
  double mass = 0, y_mass = 0, x_mass = 0;
  for (int y = 0; y < digit.height; ++y) {
    for (int x = 0; x < digit.width; ++x) {
      mass += digit.at(y, x);
      y_mass += (y + 0.5) * digit.at(y, x);
      x_mass += (x + 0.5) * digit.at(y, x);
    }
  }
  const int top = corner(y_mass / mass, digit.height), left = corner(x_mass / mass, digit.width);
  const float most = *std::max_element(digit.values.begin(), digit.values.end());
  Tensor out(Type{DType::u8, {side, side, 1}});
  const auto pixels = out.data<std::uint8_t>();
  for (int y = 0; y < digit.height; ++y) {
    for (int x = 0; x < digit.width; ++x) {
      pixels[static_cast<std::size_t>((top + y) * side + left + x)] =
          static_cast<std::uint8_t>(std::lround(255 * digit.at(y, x) / most));
    }
  }
  return out;
}

Plane shrunk(const Plane& plane, int longest) {
  const double factor = static_cast<double>(longest) / std::max(plane.height, plane.width);
  const auto scaled = [&](int n) { return std::max(1, static_cast<int>(std::lround(n * factor))); };
  return resized(plane, scaled(plane.height), scaled(plane.width));
}

}  // namespace

Tensor as_mnist_digit(const Tensor& grey) {
  const Shape& shape = grey.shape();
  if (shape.rank() != 2 && !(shape.rank() == 3 && shape[2] == 1)) {
    fail<ShapeError>("as_mnist_digit: a grey picture is u8[H,W] or u8[H,W,1], not {}", grey.type());
  }
  if (grey.dtype() != DType::u8) {
    fail<TypeError>("as_mnist_digit: a grey picture is of bytes, u8[H,W] or u8[H,W,1], not {}",
                    grey.type());
  }
  if (shape.elements() == 0) return Tensor(Type{DType::u8, {side, side, 1}});
  const auto pixels = grey.data<std::uint8_t>();
  Plane plane{static_cast<int>(shape[0]), static_cast<int>(shape[1])};
  std::copy(pixels.begin(), pixels.end(), plane.values.begin());
  if (std::max(plane.height, plane.width) > largest) plane = shrunk(plane, largest);
  Plane ink = ink_of(std::move(plane));
  const Plane digit = clean(ink) ? thickened(cropped(ink)) : Plane{};
  if (digit.values.empty()) return Tensor(Type{DType::u8, {side, side, 1}});
  return centred(shrunk(digit, box_side));
}

}  // namespace weft
