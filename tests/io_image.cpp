#include "io/image.hpp"

#include <vector>

#include "graph/error.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

Tensor gradient(const Shape& shape) {
  Tensor image({DType::u8, shape});
  std::uint8_t next = 0;
  for (std::uint8_t& pixel : image.data<std::uint8_t>()) pixel = next += 7;
  return image;
}

std::vector<std::uint8_t> bytes_of(const Tensor& tensor) {
  const auto data = tensor.data<std::uint8_t>();
  return {data.begin(), data.end()};
}

}  // namespace

TEST_CASE("image: what is written as PNG is read again") {
  const TemporaryFolder folder;
  for (const Shape& shape : {Shape{5, 7, 1}, Shape{5, 7, 3}}) {
    const Tensor image = gradient(shape);
    write_png(folder / "image.png", image);
    const Tensor back = read_png(folder / "image.png");
    CHECK(back.type() == image.type());
    CHECK(bytes_of(back) == bytes_of(image));
  }
  write_png(folder / "flat.png", gradient({4, 3}));
  CHECK(read_png(folder / "flat.png").shape() == Shape{4, 3, 1});
  CHECK(read_png(folder / "flat.png", 3).shape() == Shape{4, 3, 3});
  CHECK(read_png(folder / "image.png", 1).shape() == Shape{5, 7, 1});
}

TEST_CASE("image: brightness as a float goes from 0 to 1") {
  const TemporaryFolder folder;
  write_png(folder / "f.png", Tensor::of<float>({1, 5}, {-1.0f, 0.0f, 0.5f, 1.0f, 7.0f}));
  CHECK(bytes_of(read_png(folder / "f.png")) == std::vector<std::uint8_t>{0, 0, 128, 255, 255});
}

TEST_CASE("image: files that are no PNG, cut short, or missing") {
  const TemporaryFolder folder;
  check_message<IoError>([&] { read_png(folder / "none.png"); }, {"none.png", "cannot read"});
  const auto text = put(folder / "text.png", "this is no picture");
  check_message<IoError>([&] { read_png(text); }, {"text.png"});
  write_png(folder / "whole.png", gradient({40, 40, 3}));
  const std::string whole = content(folder / "whole.png");
  for (std::size_t length = 0; length + 12 < whole.size(); length += 5) {
    const auto cut = put(folder / "cut.png", std::string_view(whole).substr(0, length));
    check_message<IoError>([&] { read_png(cut); }, {"cut.png"});
  }
  check_message<ArgumentError>([&] { read_png(text, 2); }, {"channels", "not 2"});
}

TEST_CASE("image: what is no picture is not written") {
  const TemporaryFolder folder;
  check_message<ShapeError>(
      [&] {
        write_png(folder / "x.png", gradient({4, 4, 2}));
      },
      {"[H,W,3]", "[4,4,2]"});
  check_message<TypeError>(
      [&] {
        write_png(folder / "x.png", Tensor({DType::s32, {2, 2}}));
      },
      {"u8 or f32", "s32"});
  check_message<IoError>([&] { write_png(folder / "no" / "x.png", gradient({2, 2})); }, {"x.png"});
  CHECK_FALSE(std::filesystem::exists(folder / "x.png"));
}

TEST_CASE("image: a sheet puts images in rows, with white between them") {
  const Tensor images = Tensor::of<std::uint8_t>({3, 1, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor picture = sheet(images, 2, 1);
  CHECK(picture.shape() == Shape{3, 5, 1});
  CHECK(bytes_of(picture) ==
        std::vector<std::uint8_t>{1, 2, 255, 3, 4, 255, 255, 255, 255, 255, 5, 6, 255, 255, 255});
  CHECK(sheet(gradient({7, 4, 4, 3}), 100).shape() == Shape{4, 7 * 6 - 2, 3});
  check_message<ArgumentError>([&] { sheet(images, 0); }, {"columns", "0"});
  check_message<ArgumentError>([&] { sheet(images, 2, -1); }, {"gap", "-1"});
  check_message<ShapeError>([&] { sheet(gradient({4, 4}), 2); }, {"[N,H,W]", "[4,4]"});
}

}  // namespace weft::test
