#include "io/idx.hpp"

#include <zlib.h>

#include <vector>

#include "graph/error.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

/// u8[2,3]: 1 to 6.
const std::string small =
    "\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x03\x01\x02\x03\x04\x05\x06"s;

fs::path put_gzip(const fs::path& file, std::string_view bytes) {
  const gzFile out = gzopen(file.c_str(), "wb");
  REQUIRE(out != nullptr);
  REQUIRE(gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size())) ==
          static_cast<int>(bytes.size()));
  REQUIRE(gzclose(out) == Z_OK);
  return file;
}

template <class T>
std::vector<T> numbers(const Tensor& tensor) {
  const auto data = tensor.data<T>();
  return {data.begin(), data.end()};
}

void check_refused(const TemporaryFolder& folder, const std::string& bytes,
                   std::initializer_list<std::string_view> texts) {
  const fs::path file = put(folder / "damaged", bytes);
  check_message<IoError>([&] { read_idx(file); }, texts);
  check_message<IoError>([&] { read_idx(file); }, {"read_idx", file.string()});
}

TEST_CASE("read_idx: every element type, plain and compressed, whatever the name") {
  TemporaryFolder folder;
  for (const fs::path& file :
       {put(folder / "plain.gz", small), put_gzip(folder / "packed", small)}) {
    const Tensor tensor = read_idx(file);
    CHECK(tensor.type() == Type{DType::u8, {2, 3}});
    CHECK(numbers<std::uint8_t>(tensor) == std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6});
  }
  CHECK(numbers<std::int8_t>(
            read_idx(put(folder / "s8", "\x00\x00\x09\x01\x00\x00\x00\x02\xff\x7f"s))) ==
        std::vector<std::int8_t>{-1, 127});
  CHECK(
      numbers<std::int32_t>(read_idx(put(
          folder / "s32", "\x00\x00\x0c\x01\x00\x00\x00\x02\x00\x00\x01\x02\xff\xff\xff\xfe"s))) ==
      std::vector<std::int32_t>{258, -2});
  CHECK(
      numbers<float>(read_idx(put(
          folder / "f32", "\x00\x00\x0d\x01\x00\x00\x00\x02\x3f\x80\x00\x00\xc0\x20\x00\x00"s))) ==
      std::vector<float>{1, -2.5});
  CHECK(
      read_idx(put(folder / "empty", "\x00\x00\x08\x02\x00\x00\x00\x00\x00\x00\x00\x1c"s)).type() ==
      Type{DType::u8, {0, 28}});
}

TEST_CASE("write_idx: read_idx gives back what was written") {
  TemporaryFolder folder;
  const Tensor bytes = Tensor::of<std::uint8_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  write_idx(folder / "u8", bytes);
  CHECK(content(folder / "u8") == small);
  const Tensor floats = Tensor::of<float>({2, 1, 2}, {0.5f, -1e30f, 3, 1e-40f});
  write_idx(folder / "f32", floats);
  CHECK(read_idx(folder / "f32").type() == floats.type());
  CHECK(numbers<float>(read_idx(folder / "f32")) == numbers<float>(floats));

  check_message<ShapeError>([&] { write_idx(folder / "x", Tensor::scalar(1.0f)); },
                            {"write_idx", "f32[]", "1 to 8 axes"});
  check_message<TypeError>(
      [&] {
        write_idx(folder / "x", Tensor(Type{DType::bf16, {2}}));
      },
      {"write_idx", "bf16[2]", "u8, s8, s32 and f32"});
}

TEST_CASE("read_idx: refuses what is not an honest IDX file, and says why") {
  TemporaryFolder folder;
  check_message<IoError>([&] { read_idx(folder / "none"); }, {"there is no file", "none"});
  check_message<IoError>([&] { read_idx(folder.path()); }, {"is not a file"});
  check_refused(folder, "", {"has 0 bytes", "too short"});
  check_refused(folder, "\x00\x00\x08"s, {"has 3 bytes", "too short"});
  check_refused(folder, "PK\x03\x04"s, {"not an IDX file", "50 4b", "00 00"});
  check_refused(folder, "\x00\x00\x0b\x01"s, {"type 0x0b (16-bit integers)", "0x08 (u8)"});
  check_refused(folder, "\x00\x00\x0e\x01"s, {"type 0x0e (doubles)", "0x0d (f32)"});
  check_refused(folder, "\x00\x00\x01\x01"s, {"type 0x01;"});
  check_refused(folder, "\x00\x00\x08\x00"s, {"has 0 axes", "1 to 8"});
  check_refused(folder, "\x00\x00\x08\x09"s, {"has 9 axes", "1 to 8"});
  check_refused(folder, small.substr(0, 11), {"ends in its header", "2 axes"});
  check_refused(folder, small.substr(0, 17), {"cut off", "u8[2,3]", "6 bytes, but 5 follow"});
  check_refused(folder, small + "x", {"too long", "u8[2,3]", "6 bytes, but more follow"});
}

TEST_CASE("read_idx: a header that promises more than memory holds costs nothing") {
  TemporaryFolder folder;
  const std::string large = "\x00\x00\x0c\x02\xff\xff\xff\xff\x00\x00\xff\xff"s;
  check_refused(folder, large + "1234", {"cut off", "s32[4294967295,65535]", "but 4 follow"});
  std::string endless = "\x00\x00\x0d\x08"s;
  for (int i = 0; i < 8; ++i) endless += "\xff\xff\xff\xff";
  check_refused(folder, endless, {"no tensor can have", "more elements than a tensor can hold"});

  // A gzip bomb: 64 MB of zeros behind a header that promises 6 bytes, and one that promises 4 GB.
  std::string zeros(std::size_t{64} << 20, '\0');
  put_gzip(folder / "bomb", small.substr(0, 12) + zeros);
  check_message<IoError>([&] { read_idx(folder / "bomb"); }, {"too long", "6 bytes"});
  put_gzip(folder / "bomb", "\x00\x00\x08\x01\xff\xff\xff\xff"s + zeros);
  check_message<IoError>([&] { read_idx(folder / "bomb"); },
                         {"cut off", "4294967295 bytes, but 67108864 follow"});
}

TEST_CASE("read_idx: a file cut off anywhere is refused") {
  TemporaryFolder folder;
  for (std::size_t size = 0; size < small.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS_AS(read_idx(put(folder / "cut", small.substr(0, size))), IoError);
  }
  const std::string packed = content(put_gzip(folder / "packed", small));
  for (std::size_t size = 0; size < packed.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS_AS(read_idx(put(folder / "cut", packed.substr(0, size))), IoError);
  }
  check_message<IoError>(
      [&] { read_idx(put(folder / "cut", packed.substr(0, packed.size() - 1))); },
      {"damaged or cut off", "uncompressed bytes: unexpected end of file"});
}

TEST_CASE("read_idx: no flipped bit does more than throw an IoError") {
  TemporaryFolder folder;
  const std::string packed = content(put_gzip(folder / "packed", small));
  for (const std::string& original : {small, packed}) {
    for (std::size_t bit = 0; bit < 8 * original.size(); ++bit) {
      std::string flipped = original;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      CAPTURE(bit);
      try {
        const Tensor tensor = read_idx(put(folder / "flipped", flipped));
        CHECK(tensor.elements() == 6);
      } catch (const IoError&) {
      }
    }
  }
}

/// A small set in MNIST's form, for damaging.
void put_mnist(const TemporaryFolder& folder) {
  const auto images = [](std::int64_t count) { return Tensor(Type{DType::u8, {count, 28, 28}}); };
  write_idx(folder / "train-images-idx3-ubyte", images(3));
  write_idx(folder / "train-labels.idx1-ubyte", Tensor::of<std::uint8_t>({3}, {7, 0, 9}));
  write_idx(folder / "t10k-images.idx3-ubyte", images(2));
  const fs::path plain = folder / "plain";
  write_idx(plain, Tensor::of<std::uint8_t>({2}, {1, 2}));
  put_gzip(folder / "t10k-labels-idx1-ubyte.gz", content(plain));
}

TEST_CASE("load_mnist: takes either spelling, with and without .gz") {
  TemporaryFolder folder;
  put_mnist(folder);
  const Mnist mnist = load_mnist(folder.path());
  CHECK(mnist.train_images.type() == Type{DType::u8, {3, 28, 28}});
  CHECK(mnist.test_images.type() == Type{DType::u8, {2, 28, 28}});
  CHECK(numbers<std::uint8_t>(mnist.train_labels) == std::vector<std::uint8_t>{7, 0, 9});
  CHECK(numbers<std::uint8_t>(mnist.test_labels) == std::vector<std::uint8_t>{1, 2});
}

TEST_CASE("load_mnist: says what is missing, and what does not fit together") {
  TemporaryFolder folder;
  const auto load = [&] { load_mnist(folder.path()); };
  check_message<IoError>(
      load, {"load_mnist: there are no train-images in", folder.path().string(),
             "train-images-idx3-ubyte, train-images-idx3-ubyte.gz, train-images.idx3-ubyte, "
             "train-images.idx3-ubyte.gz",
             "examples/mnist.sh"});

  put_mnist(folder);
  const fs::path labels = folder / "train-labels.idx1-ubyte";
  write_idx(labels, Tensor::of<std::uint8_t>({2}, {7, 0}));
  check_message<IoError>(load, {"holds 3 images", "holds 2 labels", labels.string()});
  write_idx(labels, Tensor::of<std::uint8_t>({3}, {7, 10, 11}));
  check_message<IoError>(load, {"label 1 of", labels.string(), "is 10", "0 to 9"});
  write_idx(labels, Tensor::of<std::uint8_t>({3, 1}, {7, 0, 9}));
  check_message<IoError>(load, {"holds u8[3,1]", "u8 with 1 axes"});

  put_mnist(folder);
  write_idx(folder / "t10k-images.idx3-ubyte", Tensor(Type{DType::u8, {2, 28, 27}}));
  check_message<IoError>(load, {"train images are u8[3,28,28] but test images are u8[2,28,27]"});
}

}  // namespace
}  // namespace weft::test
