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
/// What is larger has strokes of several pixels, which may be blurred a little against noise.
constexpr int coarse = 160;
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

/// The largest number within `reach` of each of `size` numbers, which stand `stride` apart.
void spread(float* line, int size, int stride, int reach) {
  // What is the largest of the next `known` is that of the next 2 known, too, in one step.
  const int wanted = 2 * reach + 1;
  std::vector<float> most(static_cast<std::size_t>(size) + wanted - 1, -1);
  for (int i = 0; i < size; ++i) most[static_cast<std::size_t>(i + reach)] = line[i * stride];
  for (int known = 1; known < wanted;) {
    const int step = std::min(known, wanted - known);
    for (std::size_t i = 0; i + static_cast<std::size_t>(step) < most.size(); ++i) {
      most[i] = std::max(most[i], most[i + static_cast<std::size_t>(step)]);
    }
    known += step;
  }
  for (int i = 0; i < size; ++i) line[i * stride] = most[static_cast<std::size_t>(i)];
}

/// The largest number within `reach` rows and columns of each, none of which is negative.
Plane dilated(Plane plane, int reach) {
  for (int y = 0; y < plane.height; ++y) spread(&plane.at(y, 0), plane.width, 1, reach);
  for (int x = 0; x < plane.width; ++x) spread(&plane.at(0, x), plane.height, plane.width, reach);
  return plane;
}

Plane inverted(Plane plane) {
  for (float& v : plane.values) v = 255 - v;
  return plane;
}

/// The mean within `reach` rows and columns of each.
Plane blurred(const Plane& plane, int reach) {
  const auto columns = static_cast<std::size_t>(plane.width) + 1;
  std::vector<double> sums((static_cast<std::size_t>(plane.height) + 1) * columns);
  const auto sum = [&](int y, int x) -> double& {
    return sums[static_cast<std::size_t>(y) * columns + static_cast<std::size_t>(x)];
  };
  for (int y = 0; y < plane.height; ++y) {
    for (int x = 0; x < plane.width; ++x) {
      sum(y + 1, x + 1) = plane.at(y, x) + sum(y, x + 1) + sum(y + 1, x) - sum(y, x);
    }
  }
  Plane out{plane.height, plane.width};
  for (int y = 0; y < plane.height; ++y) {
    const int top = std::max(0, y - reach), bottom = std::min(plane.height, y + reach + 1);
    for (int x = 0; x < plane.width; ++x) {
      const int left = std::max(0, x - reach), right = std::min(plane.width, x + reach + 1);
      const double all = sum(bottom, right) - sum(top, right) - sum(bottom, left) + sum(top, left);
      out.at(y, x) = static_cast<float>(all / ((bottom - top) * (right - left)));
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

/// How bright paper is at each pixel: where ink is narrower than the window, the closing of the
/// picture, which keeps the edges of a shadow where they are (Serra, "Image analysis and
/// mathematical morphology", 1982).
Plane paper(const Plane& plane) {
  const int reach = std::max(1, std::max(plane.height, plane.width) / 6);
  return inverted(dilated(inverted(dilated(plane, reach)), reach));
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

/// Where the picture's frame is of one brightness, it is paper. Else ink is less than its paper:
/// what differs most from its surroundings is ink, while a shadow's edge differs to both sides as
/// much.
bool ink_is_bright(const Plane& plane) {
  const std::vector<float> frame = frame_of(plane);
  const auto [least, most] = std::ranges::minmax(plane.values);
  if (percentile(frame, 0.8) - percentile(frame, 0.2) < 0.25 * (most - least)) {
    return percentile(frame, 0.5) < (least + most) / 2;
  }
  const Plane around = blurred(plane, std::max(plane.height, plane.width) / 4);
  double skewness = 0;
  for (std::size_t i = 0; i < plane.values.size(); ++i) {
    const double difference = static_cast<double>(plane.values[i]) - around.values[i];
    skewness += difference * difference * difference;
  }
  return skewness > 0;
}

/// What part of the light each pixel takes from its paper, so that ink in the shadow is as black as
/// elsewhere; 0 to 255. Where ink is the brighter one, all is turned round first.
Plane ink_of(Plane plane) {
  if (ink_is_bright(plane)) plane = inverted(std::move(plane));
  if (std::max(plane.height, plane.width) > coarse) plane = blurred(plane, 1);
  const Plane background = paper(plane);
  for (std::size_t i = 0; i < plane.values.size(); ++i) {
    const float light = background.values[i];
    plane.values[i] = 255 * (light - plane.values[i]) / std::max(light, dark);
  }
  return plane;
}

/// Leaves what is connected and large. Specks of dirt would count in the digit's box, and so would
/// what reaches the picture's edge: a table beside the paper, dark corners.
void drop_others(Plane& ink, float threshold) {
  struct Piece {
    std::size_t size = 0;
    bool at_edge = false;
  };
  std::vector<int> piece_of(ink.values.size(), -1);
  std::vector<Piece> pieces;
  std::vector<std::size_t> stack;
  for (std::size_t start = 0; start < piece_of.size(); ++start) {
    if (piece_of[start] >= 0 || ink.values[start] < threshold) continue;
    const int id = static_cast<int>(pieces.size());
    Piece piece;
    piece_of[start] = id;
    stack.push_back(start);
    while (!stack.empty()) {
      const int y = static_cast<int>(stack.back()) / ink.width,
                x = static_cast<int>(stack.back()) % ink.width;
      stack.pop_back();
      ++piece.size;
      if (y == 0 || x == 0 || y + 1 == ink.height || x + 1 == ink.width) piece.at_edge = true;
      for (int i = std::max(0, y - 1); i <= std::min(ink.height - 1, y + 1); ++i) {
        for (int j = std::max(0, x - 1); j <= std::min(ink.width - 1, x + 1); ++j) {
          const std::size_t next = static_cast<std::size_t>(i) * ink.width + j;
          if (piece_of[next] >= 0 || ink.values[next] < threshold) continue;
          piece_of[next] = id;
          stack.push_back(next);
        }
      }
    }
    pieces.push_back(piece);
  }
  std::size_t largest_piece = 0, largest_inside = 0;
  for (const Piece& piece : pieces) {
    largest_piece = std::max(largest_piece, piece.size);
    if (!piece.at_edge) largest_inside = std::max(largest_inside, piece.size);
  }
  // A digit itself may reach the edge; beside it, there are but specks.
  const bool inside =
      largest_inside >= largest_piece / 25 && largest_inside >= ink.values.size() / 2000;
  const std::size_t least = (inside ? largest_inside : largest_piece) / 25;
  Plane kept{ink.height, ink.width};
  for (std::size_t i = 0; i < piece_of.size(); ++i) {
    if (piece_of[i] < 0) continue;
    const Piece& piece = pieces[static_cast<std::size_t>(piece_of[i])];
    if (piece.size > least && !(inside && piece.at_edge)) kept.values[i] = 1;
  }
  // Soft edges belong to it.
  kept = dilated(std::move(kept), 1 + std::max(ink.height, ink.width) / 64);
  for (std::size_t i = 0; i < kept.values.size(); ++i) ink.values[i] *= kept.values[i];
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
  drop_others(ink, threshold);
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
