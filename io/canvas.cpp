#include "io/canvas.hpp"

#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"
#include "io/image.hpp"
#include "io/plplot.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

// ---- PNG

std::span<std::uint8_t> pixels(Tensor& image) { return image.data<std::uint8_t>(); }

/// Lays an image over a picture u8[H,W,3]; each pixel is that of the image it lies on.
void lay(Tensor& picture, const Box& box, const Tensor& image) {
  const Shape& shape = image.shape();
  const std::int64_t channels = shape.rank() == 3 ? shape[2] : 1;
  const std::int64_t top = std::lround(box.top), left = std::lround(box.left),
                     height = std::lround(box.height), width = std::lround(box.width),
                     rows = picture.shape()[0], columns = picture.shape()[1];
  const auto to = pixels(picture);
  const auto from = image.data<std::uint8_t>();
  for (std::int64_t y = std::max<std::int64_t>(0, -top); y < std::min(height, rows - top); ++y) {
    for (std::int64_t x = std::max<std::int64_t>(0, -left); x < std::min(width, columns - left);
         ++x) {
      const std::int64_t source =
                             (y * shape[0] / height * shape[1] + x * shape[1] / width) * channels,
                         target = ((top + y) * columns + left + x) * 3;
      for (std::int64_t c = 0; c < 3; ++c) {
        to[static_cast<std::size_t>(target + c)] =
            from[static_cast<std::size_t>(source + (channels == 3 ? c : 0))];
      }
    }
  }
}

void write_png_page(const fs::path& file, int width, int height, const Drawing& draw) {
  Tensor picture(Type{DType::u8, {height, width, 3}});
  std::ranges::fill(pixels(picture), std::uint8_t{255});
  for (const auto& [box, image] : draw_pixels(picture, draw)) lay(picture, box, image);
  write_png(file, picture);
}

// ---- SVG

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (k < count ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? digits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string png_in_memory(const Tensor& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(picture.shape()[0]);
  image.width = static_cast<png_uint_32>(picture.shape()[1]);
  const bool color = picture.shape().rank() == 3 && picture.shape()[2] == 3;
  image.format = color ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::uint8_t> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.bytes(), 0, nullptr) == 0) {
    fail<IoError>("plot: an image cannot be written as PNG: {}", image.message);
  }
  return base64(std::span(bytes).first(size));
}

void write_svg_page(const fs::path& file, int width, int height, const Drawing& draw) {
  std::string svg, images;
  for (const auto& [box, image] : draw_svg(svg, width, height, draw)) {
    images += fmt::format(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" "
        "style=\"image-rendering:pixelated\" xlink:href=\"data:image/png;base64,{}\"/>\n",
        box.left, box.top, box.width, box.height, png_in_memory(image));
  }
  const std::size_t end = svg.rfind("</svg>");
  if (end == std::string::npos) fail<IoError>("plot: PLplot did not finish \"{}\"", file.string());
  svg.insert(end, images);
  write_atomically(file, {std::as_bytes(std::span(svg))});
}

// ---- text

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

/// Parts of the size, about as in DejaVu Sans.
double width_of(char byte) {
  constexpr std::string_view narrow = "ijlrftI.,:;'|![]()/- ", wide = "mwMW%@";
  if (continues(byte)) return 0;
  if (narrow.find(byte) != narrow.npos) return 0.4;
  if (wide.find(byte) != wide.npos) return 0.98;
  if (static_cast<unsigned char>(byte) >= 0xe0) return 1;  // arrows, Chinese
  return byte >= 'A' && byte <= 'Z' ? 0.72 : 0.64;
}

}  // namespace

Color colors::of_curve(std::size_t number) {
  // Of Okabe and Ito, "Color universal design", 2008; without yellow, which white hides.
  constexpr std::array<Color, 6> all{
      {{0, 114, 178}, {230, 130, 0}, {0, 158, 115}, {204, 82, 148}, {86, 160, 220}, {180, 70, 0}}};
  return all[number % all.size()];
}

Color colors::tint(Color color, double strength) {
  const double part = std::isfinite(strength) ? std::clamp(strength, 0.0, 1.0) : 0;
  const auto mixed = [&](std::uint8_t value) {
    return static_cast<std::uint8_t>(std::lround(255 + part * (value - 255)));
  };
  return {mixed(color.red), mixed(color.green), mixed(color.blue)};
}

double text_width(std::string_view text, double size) {
  double width = 0;
  for (const char byte : text) width += size * width_of(byte);
  return width;
}

double widest(const std::vector<std::string>& texts, double size) {
  double width = 0;
  for (const std::string& text : texts) width = std::max(width, text_width(text, size));
  return width;
}

Fitted fitted(const std::string& text, double size, double width, double least) {
  const double needed = text_width(text, size);
  if (needed <= width) return {text, size};
  size = std::min(size, std::max(least, size * width / needed));
  if (text_width(text, size) <= width * (1 + 1e-9)) return {text, size};
  const std::string dots = "\xe2\x80\xa6";
  std::string start = text;
  while (!start.empty() && text_width(start + dots, size) > width) {
    while (continues(start.back()) && start.size() > 1) start.pop_back();
    start.pop_back();
  }
  while (!start.empty() && start.back() == ' ') start.pop_back();
  return {start + dots, size};
}

void write_page(const fs::path& file, int width, int height, const Drawing& draw) {
  constexpr int least = 64, most = 16384;
  const std::string ending = file.extension().string();
  if (ending != ".png" && ending != ".svg") {
    fail<ArgumentError>("plot: \"{}\" must end in .png or .svg", file.string());
  }
  if (std::min(width, height) < least || std::max(width, height) > most) {
    fail<ArgumentError>("plot: width and height must be from {} to {} pixels, not {} and {}", least,
                        most, width, height);
  }
  ending == ".png" ? write_png_page(file, width, height, draw)
                   : write_svg_page(file, width, height, draw);
}

}  // namespace weft
