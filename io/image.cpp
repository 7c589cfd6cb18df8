#include "io/image.hpp"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/atomic_file.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_pixels = std::uint64_t{1} << 28;

/// libpng's simplified interface, which reports errors by a message instead of by longjmp.
struct Png {
  png_image image{};
  Png() { image.version = PNG_IMAGE_VERSION; }
  ~Png() { png_image_free(&image); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
};

std::uint8_t as_byte(float brightness) {
  const float clipped = std::isnan(brightness) ? 0 : std::clamp(brightness, 0.0f, 1.0f);
  return static_cast<std::uint8_t>(std::lround(clipped * 255));
}

/// The same numbers as bytes.
Tensor as_bytes(std::string_view who, const Tensor& image) {
  if (image.dtype() == DType::u8) return image;
  if (image.dtype() != DType::f32) {
    fail<TypeError>("{}: pixels must be u8 or f32, not {}", who, image.dtype());
  }
  Tensor bytes(Type{DType::u8, image.shape()});
  std::ranges::transform(image.data<float>(), bytes.data<std::uint8_t>().begin(), as_byte);
  return bytes;
}

}  // namespace

Tensor read_png(const fs::path& file, int channels) {
  if (channels != 0 && channels != 1 && channels != 3) {
    fail<ArgumentError>("read_png: channels must be 0, 1 or 3, not {}", channels);
  }
  Png png;
  const auto refuse = [&] {
    fail<IoError>("read_png: cannot read \"{}\": {}", file.string(), png.image.message);
  };
  if (png_image_begin_read_from_file(&png.image, file.c_str()) == 0) refuse();
  const std::uint64_t pixels = std::uint64_t{png.image.width} * png.image.height;
  if (pixels > most_pixels) {
    fail<IoError>("read_png: \"{}\" has {}x{} pixels, more than {}", file.string(), png.image.width,
                  png.image.height, most_pixels);
  }
  const bool color =
      channels == 0 ? (png.image.format & PNG_FORMAT_FLAG_COLOR) != 0 : channels == 3;
  png.image.format = color ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Tensor image(Type{DType::u8, {png.image.height, png.image.width, color ? 3 : 1}});
  const png_color white{255, 255, 255};
  if (png_image_finish_read(&png.image, &white, image.bytes(), 0, nullptr) == 0) refuse();
  return image;
}

void write_png(const fs::path& file, const Tensor& given) {
  const Shape& shape = given.shape();
  const bool flat = shape.rank() == 2;
  if (!(flat || (shape.rank() == 3 && (shape[2] == 1 || shape[2] == 3))) || shape.elements() == 0) {
    fail<ShapeError>("write_png: a picture is [H,W], [H,W,1] or [H,W,3], not {}", shape);
  }
  const Tensor image = as_bytes("write_png", given);
  write_atomically(file, [&](const fs::path& temporary) {
    Png png;
    png.image.height = static_cast<png_uint_32>(shape[0]);
    png.image.width = static_cast<png_uint_32>(shape[1]);
    png.image.format = !flat && shape[2] == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    if (png_image_write_to_file(&png.image, temporary.c_str(), 0, image.bytes(), 0, nullptr) == 0) {
      fail<IoError>("write_png: cannot write \"{}\": {}", file.string(), png.image.message);
    }
  });
}

Tensor sheet(const Tensor& given, std::int64_t columns, std::int64_t gap) {
  const Shape& shape = given.shape();
  if (!(shape.rank() == 3 || (shape.rank() == 4 && (shape[3] == 1 || shape[3] == 3))) ||
      shape.elements() == 0) {
    fail<ShapeError>("sheet: images are [N,H,W], [N,H,W,1] or [N,H,W,3], not {}", shape);
  }
  if (columns < 1) fail<ArgumentError>("sheet: columns must be at least 1, not {}", columns);
  if (gap < 0) fail<ArgumentError>("sheet: gap must be at least 0, not {}", gap);
  const Tensor images = as_bytes("sheet", given);
  const std::int64_t count = shape[0], height = shape[1], width = shape[2],
                     channels = shape.rank() == 4 ? shape[3] : 1;
  columns = std::min(columns, count);
  const std::int64_t rows = (count + columns - 1) / columns;
  Tensor picture(
      Type{DType::u8, {rows * (height + gap) - gap, columns * (width + gap) - gap, channels}});
  const std::int64_t line = picture.shape()[1] * channels;
  const auto to = picture.data<std::uint8_t>();
  std::ranges::fill(to, std::uint8_t{255});
  const auto from = std::as_const(images).data<std::uint8_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t top = i / columns * (height + gap), left = i % columns * (width + gap);
    for (std::int64_t y = 0; y < height; ++y) {
      std::memcpy(&to[static_cast<std::size_t>((top + y) * line + left * channels)],
                  &from[static_cast<std::size_t>((i * height + y) * width * channels)],
                  static_cast<std::size_t>(width * channels));
    }
  }
  return picture;
}

}  // namespace weft
