#include "io/image.hpp"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <vector>

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

void check_channels(std::string_view who, int channels) {
  if (channels == 0 || channels == 1 || channels == 3) return;
  fail<ArgumentError>("{}: channels must be 0, 1 or 3, not {}", who, channels);
}

void check_pixels(std::string_view who, const fs::path& file, std::uint64_t width,
                  std::uint64_t height) {
  if (width * height <= most_pixels) return;
  fail<IoError>("{}: \"{}\" has {}x{} pixels, more than {}", who, file.string(), width, height,
                most_pixels);
}

std::vector<unsigned char> bytes_of(std::string_view who, const fs::path& file) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  std::vector<unsigned char> bytes(error ? 0 : static_cast<std::size_t>(size));
  std::ifstream in(file, std::ios::binary);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (error || !in) fail<IoError>("{}: cannot read \"{}\"", who, file.string());
  return bytes;
}

/// A number of big-endian bytes; 0 where they end.
std::uint32_t big_endian(std::span<const unsigned char> bytes, std::size_t at, std::size_t size) {
  if (at > bytes.size() || size > bytes.size() - at) return 0;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | bytes[at + i];
  return value;
}

/// Can the compressed data of a PNG hold as many pixels as its header says? Else no memory is taken
/// for them. A byte of zlib's holds at most 1032 (zlib's documentation, "Maximum Compression
/// Factor").
bool can_hold_pixels_of_png(std::span<const unsigned char> file) {
  constexpr std::size_t header = 16, first_chunk = 8;  // of IHDR's data; behind the signature
  constexpr std::uint32_t data_chunk = 0x49444154;     // "IDAT"
  constexpr std::uint64_t most_of_a_byte = 1032;
  if (file.size() < header + 10) return false;
  constexpr std::array<unsigned, 7> channels{1, 0, 3, 1, 2, 0, 4};  // by the type of colour
  const unsigned type = file[header + 9];
  const std::uint64_t bits =
      file[header + 8] * (type < channels.size() ? channels[type] : std::uint64_t{0});
  const std::uint64_t line = (big_endian(file, header, 4) * bits + 7) / 8;
  std::uint64_t stored = 0;
  for (std::size_t at = first_chunk; at + 12 <= file.size();) {
    const std::uint64_t length = big_endian(file, at, 4), left = file.size() - at - 12;
    if (big_endian(file, at + 4, 4) == data_chunk) stored += std::min(length, left + 4);
    if (length > left) break;
    at += 12 + static_cast<std::size_t>(length);
  }
  return line * big_endian(file, header + 4, 4) / most_of_a_byte <= stored;
}

/// The same of a JPEG. A block of 8x8 pixels has at least a bit for its mean, by Huffman's code.
/// Arithmetic coding has no such limit, but one picture that it makes is small enough.
bool can_hold_pixels_of_jpeg(std::span<const unsigned char> file, std::uint64_t pixels) {
  constexpr std::uint64_t most_of_a_byte = 8 * 64, most_of_arithmetic = 1 << 24;
  constexpr std::uint32_t first_marker = 0xff01, scan = 0xffda;
  bool is_arithmetic = false;
  for (std::size_t at = 2; big_endian(file, at, 2) >= first_marker;) {
    const std::uint32_t marker = big_endian(file, at, 2);
    if (marker == scan) break;
    is_arithmetic = is_arithmetic || (marker >= 0xffc9 && marker <= 0xffcf && marker != 0xffcc);
    at += 2 + big_endian(file, at + 2, 2);
  }
  if (is_arithmetic && pixels <= most_of_arithmetic) return true;
  return pixels / most_of_a_byte <= file.size();
}

/// A picture [H,W,1 to 4], of which the last channel of 2 or 4 is opacity, before white and in
/// colour or grey: the luma of ITU-R BT.601, which JPEG has, too.
Tensor opaque(const Tensor& stored, bool color) {
  const Shape& shape = stored.shape();
  const auto channels = static_cast<std::size_t>(shape[2]);
  const bool has_color = channels >= 3, has_alpha = channels % 2 == 0;
  Tensor image(Type{DType::u8, {shape[0], shape[1], color ? 3 : 1}});
  auto to = image.data<std::uint8_t>().begin();
  const auto from = stored.data<std::uint8_t>();
  for (std::size_t at = 0; at < from.size(); at += channels) {
    const unsigned alpha = has_alpha ? from[at + channels - 1] : 255;
    std::array<unsigned, 3> rgb{};
    for (std::size_t c = 0; c < rgb.size(); ++c) {
      rgb[c] = (from[at + (has_color ? c : 0)] * alpha + 255 * (255 - alpha) + 127) / 255;
    }
    if (color) {
      to = std::ranges::copy(rgb, to).out;
    } else {
      *to++ = static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    }
  }
  return image;
}

/// Numbers in EXIF data, of either byte order; 0 where the data end.
struct Exif {
  std::span<const unsigned char> bytes;
  bool big_endian = false;
  std::uint32_t number(std::size_t at, std::size_t size) const {
    if (at > bytes.size() || size > bytes.size() - at) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8 | bytes[at + (big_endian ? i : size - 1 - i)];
    }
    return value;
  }
};

/// How a camera was held, 1 to 8, by EXIF's tag 0x0112 (JEITA CP-3451, "Exchangeable image file
/// format for digital still cameras", 2002, section 4.6.4); 1, upright, where a file does not say.
std::uint32_t orientation(std::span<const unsigned char> jpeg) {
  constexpr std::size_t tag_at = 4, header = 10;  // of a segment: marker, length, "Exif", 0, 0
  constexpr std::uint32_t tag = 0x0112, app1 = 0xffe1, first = 0xffc0, scan = 0xffda;
  const Exif file{jpeg, true};
  for (std::size_t at = 2; file.number(at, 2) >= first && file.number(at, 2) != scan;) {
    const std::size_t length = file.number(at + 2, 2);
    if (length < 2 || length + 2 > jpeg.size() - at) return 1;
    if (file.number(at, 2) == app1 && length > header &&
        file.number(at + tag_at, 4) == 0x45786966) {
      Exif exif{jpeg.subspan(at + header, length + 2 - header)};
      exif.big_endian = exif.bytes[0] == 'M';
      const std::size_t entries = exif.number(4, 4);
      for (std::size_t i = 0; i < exif.number(entries, 2); ++i) {
        const std::size_t entry = entries + 2 + 12 * i;
        if (exif.number(entry, 2) != tag) continue;
        const std::uint32_t value = exif.number(entry + 8, 2);
        return value >= 1 && value <= 8 ? value : 1;
      }
    }
    at += 2 + length;
  }
  return 1;
}

/// A picture that was stored with this orientation, upright.
Tensor upright(const Tensor& stored, std::uint32_t orientation) {
  if (orientation == 1) return stored;
  const bool turned = orientation >= 5;
  const bool from_below =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const std::int64_t rows = stored.shape()[0], columns = stored.shape()[1],
                     channels = stored.shape()[2];
  const std::int64_t height = turned ? columns : rows, width = turned ? rows : columns;
  Tensor image(Type{DType::u8, {height, width, channels}});
  auto to = image.data<std::uint8_t>().begin();
  const auto from = stored.data<std::uint8_t>();
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t row = turned ? x : y, column = turned ? y : x;
      const std::int64_t at = (from_below ? rows - 1 - row : row) * columns +
                              (from_right ? columns - 1 - column : column);
      to = std::copy_n(from.begin() + at * channels, channels, to);
    }
  }
  return image;
}

}  // namespace

Tensor read_jpeg(const fs::path& file, int channels) {
  check_channels("read_jpeg", channels);
  const std::vector<unsigned char> bytes = bytes_of("read_jpeg", file);
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), tjDestroy);
  const auto refuse = [&](std::string_view what) {
    fail<IoError>("read_jpeg: cannot read \"{}\": {}", file.string(), what);
  };
  int width = 0, height = 0, sampling = 0, colors = 0;
  if (!decoder || tjDecompressHeader3(decoder.get(), bytes.data(), bytes.size(), &width, &height,
                                      &sampling, &colors) != 0) {
    refuse(tjGetErrorStr2(decoder.get()));
  }
  if (colors == TJCS_CMYK || colors == TJCS_YCCK) refuse("it has four inks, not three colours");
  check_pixels("read_jpeg", file, static_cast<std::uint64_t>(width),
               static_cast<std::uint64_t>(height));
  if (!can_hold_pixels_of_jpeg(
          bytes, static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height))) {
    refuse(fmt::format("its {} bytes cannot hold {}x{} pixels", bytes.size(), width, height));
  }
  const bool color = channels == 0 ? colors != TJCS_GRAY : channels == 3;
  Tensor image(Type{DType::u8, {height, width, color ? 3 : 1}});
  if (tjDecompress2(decoder.get(), bytes.data(), bytes.size(), image.data<std::uint8_t>().data(),
                    width, 0, height, color ? TJPF_RGB : TJPF_GRAY, TJFLAG_STOPONWARNING) != 0) {
    refuse(tjGetErrorStr2(decoder.get()));
  }
  return upright(image, orientation(bytes));
}

Tensor read_image(const fs::path& file, int channels) {
  check_channels("read_image", channels);
  std::ifstream in(file, std::ios::binary);
  std::array<char, 4> start{};
  if (!in.read(start.data(), start.size())) {
    fail<IoError>("read_image: cannot read \"{}\": {}", file.string(),
                  fs::is_directory(file) ? "it is a folder, not a picture"
                  : fs::exists(file)     ? "it has less than 4 bytes"
                                         : "there is no such file");
  }
  if (std::memcmp(start.data(), "\x89PNG", 4) == 0) return read_png(file, channels);
  if (std::memcmp(start.data(), "\xff\xd8\xff", 3) == 0) return read_jpeg(file, channels);
  fail<IoError>("read_image: \"{}\" is neither PNG nor JPEG", file.string());
}

Tensor resized(const Tensor& image, std::int64_t height, std::int64_t width) {
  const Shape& shape = image.shape();
  if (image.dtype() != DType::u8) {
    fail<TypeError>("resized: pixels must be u8, not {}", image.dtype());
  }
  if (shape.rank() != 3 || shape.elements() == 0) {
    fail<ShapeError>("resized: a picture is [H,W,C], not {}", shape);
  }
  if (height < 1 || width < 1) {
    fail<ArgumentError>("resized: a size must be at least 1x1, not {}x{}", height, width);
  }
  /// The two pixels that one comes of, and how much of it is the second's.
  struct Between {
    std::int64_t first, second;
    float part;
  };
  const auto between = [](std::int64_t to, std::int64_t from) {
    std::vector<Between> all;
    for (std::int64_t i = 0; i < to; ++i) {
      const double at =
          (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) -
          0.5;
      const auto first = static_cast<std::int64_t>(std::floor(at));
      all.push_back({std::clamp<std::int64_t>(first, 0, from - 1),
                     std::clamp<std::int64_t>(first + 1, 0, from - 1),
                     static_cast<float>(at - std::floor(at))});
    }
    return all;
  };
  const std::vector<Between> rows = between(height, shape[0]), columns = between(width, shape[1]);
  const std::int64_t channels = shape[2];
  Tensor result(Type{DType::f32, {height, width, channels}});
  const auto from = image.data<std::uint8_t>();
  const auto pixel = [&](std::int64_t y, std::int64_t x, std::int64_t c) {
    return static_cast<float>(from[static_cast<std::size_t>((y * shape[1] + x) * channels + c)]);
  };
  float* out = result.data<float>().data();
  for (const Between& row : rows) {
    for (const Between& column : columns) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto line = [&](std::int64_t y) {
          return (1 - column.part) * pixel(y, column.first, c) +
                 column.part * pixel(y, column.second, c);
        };
        *out++ = (1 - row.part) * line(row.first) + row.part * line(row.second);
      }
    }
  }
  return result;
}

Tensor read_png(const fs::path& file, int channels) {
  check_channels("read_png", channels);
  Png png;
  const auto refuse = [&] {
    fail<IoError>("read_png: cannot read \"{}\": {}", file.string(), png.image.message);
  };
  const std::vector<unsigned char> bytes = bytes_of("read_png", file);
  if (png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size()) == 0) refuse();
  check_pixels("read_png", file, png.image.width, png.image.height);
  if (!can_hold_pixels_of_png(bytes)) {
    fail<IoError>("read_png: \"{}\": its {} bytes cannot hold {}x{} pixels", file.string(),
                  bytes.size(), png.image.width, png.image.height);
  }
  const bool has_color = (png.image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  const bool has_alpha = (png.image.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  const bool color = channels == 0 ? has_color : channels == 3;
  png.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // else libpng takes 16 bits for linear light
  png.image.format = has_color ? (has_alpha ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB)
                               : (has_alpha ? PNG_FORMAT_GA : PNG_FORMAT_GRAY);
  Tensor stored(Type{
      DType::u8, {png.image.height, png.image.width, (has_color ? 3 : 1) + (has_alpha ? 1 : 0)}});
  if (png_image_finish_read(&png.image, nullptr, stored.bytes(), 0, nullptr) == 0) refuse();
  return color == has_color && !has_alpha ? stored : opaque(stored, color);
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
