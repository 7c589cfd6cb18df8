// Readers take memory for what a file has, not for what it says that it has: at most about twice
// its size and 64 MB.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <array>
#include <string>
#include <vector>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/csv.hpp"
#include "io/image.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"
#include "tests/sanitizers.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

/// The most memory that this process ever had, in bytes.
std::int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

/// Checks what f takes beyond what a file justifies. AddressSanitizer takes more by itself.
template <class F>
void check_memory(const fs::path& file, F f) {
  const std::int64_t before = peak_memory();
  f();
#if !WEFT_ADDRESS_SANITIZER
  const auto size = static_cast<std::int64_t>(fs::file_size(file));
  CHECK(peak_memory() - before < 2 * size + (64 << 20));
#else
  static_cast<void>(before);
  static_cast<void>(file);
#endif
}

std::string big_endian(std::uint32_t number) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(number >> shift & 0xff);
  return bytes;
}

/// Replaces the sizes in a PNG's header, and its check sum.
std::string with_png_size(std::string png, std::uint32_t width, std::uint32_t height) {
  constexpr std::size_t header = 12, sizes = 16, size = 17;
  png.replace(sizes, 8, big_endian(width) + big_endian(height));
  std::uint32_t sum = 0xffffffff;  // CRC-32 of its type and data
  for (std::size_t i = 0; i < size; ++i) {
    sum ^= static_cast<unsigned char>(png[header + i]);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ ((sum & 1) != 0 ? 0xedb88320 : 0);
  }
  png.replace(header + size, 4, big_endian(~sum));
  return png;
}

}  // namespace

TEST_CASE("memory: a PNG that says it has pixels which its data cannot hold") {
  const TemporaryFolder folder;
  for (const int channels : {1, 3}) {
    CAPTURE(channels);
    const auto count = static_cast<std::size_t>(64 * channels);
    write_png(folder / "good.png",
              Tensor::of<std::uint8_t>({8, 8, channels}, std::vector<std::uint8_t>(count, 7)));
    const std::string good = content(folder / "good.png");
    CHECK(read_image(put(folder / "same.png", with_png_size(good, 8, 8))).shape() ==
          Shape{8, 8, channels});
    const fs::path file = put(folder / "bad.png", with_png_size(good, 16384, 16384));
    check_memory(file, [&] {
      check_message<IoError>([&] { read_image(file); }, {"bad.png", "16384x16384", "cannot hold"});
    });
  }
}

TEST_CASE("memory: a picture of one colour, packed a thousandfold, is still read") {
  const TemporaryFolder folder;
  const fs::path file = folder / "white.png";
  write_png(file,
            Tensor::of<std::uint8_t>({2000, 2000, 1}, std::vector<std::uint8_t>(4'000'000, 255)));
  CHECK(fs::file_size(file) < 10'000);
  CHECK(read_png(file).shape() == Shape{2000, 2000, 1});
}

TEST_CASE("memory: a JPEG that says it has pixels which its data cannot hold") {
  const TemporaryFolder folder;
  // A grey picture of 8x8 pixels, one block: a mean and nothing else.
  const std::string tables = std::string("\xff\xdb\x00\x43\x00", 5) + std::string(64, '\x01') +
                             std::string("\xff\xc4\x00\x14\x00\x01", 6) + std::string(15, '\0') +
                             std::string(1, '\0') + std::string("\xff\xc4\x00\x14\x10\x01", 6) +
                             std::string(15, '\0') + std::string(1, '\0');
  const auto jpeg = [&](std::string_view sizes) {
    return std::string("\xff\xd8", 2) + tables + std::string("\xff\xc0\x00\x0b\x08", 5) +
           std::string(sizes) + std::string("\x01\x01\x11\x00", 4) +
           std::string("\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00", 10) + "\x3f" +
           std::string("\xff\xd9", 2);
  };
  CHECK(read_image(put(folder / "good.jpg", jpeg(std::string_view("\0\x08\0\x08", 4)))).shape() ==
        Shape{8, 8, 1});
  const fs::path file = put(folder / "bad.jpg", jpeg("\x3f\xff\x3f\xff"));
  check_memory(file, [&] {
    check_message<IoError>([&] { read_image(file); }, {"bad.jpg", "16383x16383", "cannot hold"});
  });
}

TEST_CASE("memory: tables of many small fields, lines or classes") {
  const TemporaryFolder folder;
  SUBCASE("fields of one letter") {
    std::string text;
    for (int row = 0; row < 20'000; ++row) {
      for (int column = 0; column < 199; ++column) text += "1,";
      text += "2\n";
    }
    const fs::path file = put(folder / "t.csv", text);
    check_memory(file, [&] {
      const CsvTable table = load_csv(file);
      CHECK(table.data.size() == 20'000);
      CHECK(table.columns.size() == 199);
    });
  }
  SUBCASE("lines of two fields") {
    std::string text;
    for (int row = 0; row < 2'000'000; ++row) text += "1,2\n";
    const fs::path file = put(folder / "t.csv", text);
    check_memory(file, [&] { CHECK(load_csv(file).data.size() == 2'000'000); });
  }
  SUBCASE("a class for each line") {
    std::string text;
    for (int row = 0; row < 400'000; ++row) text += fmt::format("1,a{}\n", row);
    const fs::path file = put(folder / "t.csv", text);
    check_memory(file, [&] {
      check_message<IoError>([&] { load_csv(file); }, {"t.csv", "line 262145", "262144 classes"});
    });
  }
  SUBCASE("a column for each letter") {
    const fs::path file = put(folder / "t.csv", std::string(4 << 20, ','));
    check_memory(file, [&] {
      check_message<IoError>([&] { load_csv(file); }, {"t.csv", "line 1", "1048576 fields"});
    });
  }
}

TEST_CASE("memory: an archive of very many members") {
  const TemporaryFolder folder;
  const auto number = [](std::uint64_t value, int size) {
    std::string bytes;
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
    return bytes;
  };
  constexpr std::uint64_t count = 300'000;
  std::string text = "PK\x03\x04" + std::string(26, '\0');  // a member, to look like an archive
  const std::uint64_t first = text.size();
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string name = fmt::format("{:x}", i);
    text += "PK\x01\x02" + std::string(24, '\0') + number(name.size(), 2) + std::string(16, '\0') +
            name;
  }
  const std::uint64_t end = text.size();
  text += "PK\x06\x06" + number(44, 8) + number(45, 2) + number(45, 2) + std::string(8, '\0') +
          number(count, 8) + number(count, 8) + number(end - first, 8) + number(first, 8);
  text += std::string("PK\x06\x07") + number(0, 4) + number(end, 8) + number(1, 4);
  text += std::string("PK\x05\x06") + number(0, 4) + number(0xffff, 2) + number(0xffff, 2) +
          number(0xffffffff, 4) + number(0xffffffff, 4) + number(0, 2);
  const fs::path file = put(folder / "m.keras", text);
  check_memory(file, [&] {
    check_message<IoError>([&] { nn::load_model(file); }, {"m.keras", "300000 members"});
  });
}

TEST_CASE("memory: JSON of more values than a model can have") {
  const TemporaryFolder folder;
  std::string text = R"({"a":[)";
  for (int i = 0; i < 4'000'000; ++i) text += "1,";
  const fs::path file = put(folder / "m.json", text + "1]}");
  check_memory(file, [&] {
    check_message<IoError>([&] { nn::load_model(file); }, {"m.json", "1000000 values"});
  });
}

}  // namespace weft::test
