// Writes a data set of MNIST's form, so that the examples can be tried in a moment: images of noise
// with a bright square, whose place is the class.
//   usage: small_images <folder>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "io/idx.hpp"
#include "nn/random.hpp"

namespace {

constexpr std::int64_t size = 28, square = 8;

void write(const std::filesystem::path& folder, const std::string& part, std::int64_t count) {
  weft::nn::Random random(1, part);
  weft::Tensor images({weft::DType::u8, {count, size, size}}), labels({weft::DType::u8, {count}});
  const auto pixels = images.data<std::uint8_t>(), classes = labels.data<std::uint8_t>();
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(64));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = i % 10;
    classes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(label);
    const std::int64_t top = 3 + 13 * (label / 5) + static_cast<std::int64_t>(random.below(3)),
                       left = 5 * (label % 5);
    for (std::int64_t y = top; y < top + square; ++y) {
      for (std::int64_t x = left; x < left + square; ++x) {
        pixels[static_cast<std::size_t>((i * size + y) * size + x)] = 255;
      }
    }
  }
  write_idx(folder / (part + "-images-idx3-ubyte"), images);
  write_idx(folder / (part + "-labels-idx1-ubyte"), labels);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: small_images <folder>\n");
    return 2;
  }
  try {
    std::filesystem::create_directories(argv[1]);
    write(argv[1], "train", 400);
    write(argv[1], "t10k", 100);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "small_images: %s\n", error.what());
    return 1;
  }
}
