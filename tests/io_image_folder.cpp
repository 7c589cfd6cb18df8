// Data sets of pictures and of tables.
#include "io/image_folder.hpp"

#include <doctest/doctest.h>

#include <turbojpeg.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

#include "io/csv.hpp"
#include "io/image.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

Tensor picture(std::int64_t height, std::int64_t width, std::int64_t channels, int start = 0) {
  Tensor image(Type{DType::u8, {height, width, channels}});
  int number = start;
  for (std::uint8_t& byte : image.data<std::uint8_t>()) byte = static_cast<std::uint8_t>(number++);
  return image;
}

void write_jpeg(const fs::path& file, const Tensor& image) {
  const auto color = image.shape()[2] == 3;
  tjhandle encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  REQUIRE(tjCompress2(encoder, image.data<std::uint8_t>().data(),
                      static_cast<int>(image.shape()[1]), 0, static_cast<int>(image.shape()[0]),
                      color ? TJPF_RGB : TJPF_GRAY, &bytes, &size, color ? TJSAMP_444 : TJSAMP_GRAY,
                      100, 0) == 0);
  put(file, std::string(reinterpret_cast<char*>(bytes), size));
  tjFree(bytes);
  tjDestroy(encoder);
}

std::vector<float> row_of(const nn::Column& column, std::int64_t row) {
  Tensor batch(Type{DType::f32, {1, column.row_shape().elements()}});
  const std::vector<std::int64_t> rows{row};
  column.take(rows, batch);
  const auto numbers = std::as_const(batch).data<float>();
  return {numbers.begin(), numbers.end()};
}

TEST_CASE("jpeg: what was written is read, nearly") {
  const TemporaryFolder folder;
  for (const std::int64_t channels : {1, 3}) {
    CAPTURE(channels);
    Tensor image(Type{DType::u8, {16, 24, channels}});
    for (std::int64_t i = 0; i < image.elements(); ++i) {
      image.data<std::uint8_t>()[static_cast<std::size_t>(i)] =
          static_cast<std::uint8_t>(40 + i * 160 / image.elements());
    }
    write_jpeg(folder / "a.jpg", image);
    const Tensor seen = read_jpeg(folder / "a.jpg");
    CHECK(seen.shape() == image.shape());
    for (std::size_t i = 0; i < static_cast<std::size_t>(image.elements()); ++i) {
      CHECK(std::abs(seen.data<std::uint8_t>()[i] - image.data<std::uint8_t>()[i]) <= 3);
    }
    CHECK(read_jpeg(folder / "a.jpg", 1).shape() == Shape{16, 24, 1});
    CHECK(read_jpeg(folder / "a.jpg", 3).shape() == Shape{16, 24, 3});
    CHECK(read_image(folder / "a.jpg", 3).shape() == Shape{16, 24, 3});
  }
}

TEST_CASE("jpeg: a photo is turned as its EXIF data say that the camera was held") {
  const TemporaryFolder folder;
  Tensor stored(Type{DType::u8, {16, 32, 1}});  // brighter to the right, and much more so below
  for (std::size_t i = 0; i < 16 * 32; ++i) {
    stored.data<std::uint8_t>()[i] =
        static_cast<std::uint8_t>((i / 32 < 8 ? 0 : 120) + (i % 32 < 16 ? 20 : 80));
  }
  write_jpeg(folder / "stored.jpg", stored);
  const std::string plain = content(folder / "stored.jpg");
  const auto with_exif = [&](const std::string& exif) {
    const std::string segment = "Exif" + std::string(2, '\0') + exif;
    put(folder / "photo.jpg", plain.substr(0, 2) + "\xff\xe1" + '\0' +
                                  static_cast<char>(segment.size() + 2) + segment +
                                  plain.substr(2));
    return read_jpeg(folder / "photo.jpg");
  };
  const auto exif_of = [](char orientation, bool big) {
    const auto number = [&](std::uint32_t value, int bytes) {
      std::string out;
      for (int i = 0; i < bytes; ++i) {
        out += static_cast<char>(value >> 8 * (big ? bytes - 1 - i : i));
      }
      return out;
    };
    // A header, two entries, of which the second is the orientation, and no more of them.
    return (big ? "MM" : "II") + number(42, 2) + number(8, 4) + number(2, 2) + number(0x0100, 2) +
           number(4, 2) + number(1, 4) + number(32, 4) + number(0x0112, 2) + number(3, 2) +
           number(1, 4) + number(static_cast<std::uint32_t>(orientation), 2) + number(0, 2) +
           number(0, 4);
  };
  // Where what is stored upper left and upper right comes to: t l, t r, b l, b r.
  const std::array<std::array<int, 2>, 8> corners{
      {{0, 1}, {1, 0}, {3, 2}, {2, 3}, {0, 2}, {1, 3}, {3, 1}, {2, 0}}};
  for (const bool big : {false, true}) {
    for (std::size_t i = 0; i < corners.size(); ++i) {
      CAPTURE(big);
      CAPTURE(i + 1);
      const Tensor seen = with_exif(exif_of(static_cast<char>(i + 1), big));
      const std::int64_t height = i < 4 ? 16 : 32, width = i < 4 ? 32 : 16;
      REQUIRE(seen.shape() == Shape{height, width, 1});
      const auto at = [&](int corner) {
        const std::int64_t y = corner < 2 ? 2 : height - 3, x = corner % 2 == 0 ? 2 : width - 3;
        return int{seen.data<std::uint8_t>()[static_cast<std::size_t>(y * width + x)]};
      };
      CHECK(at(corners[i][0]) == doctest::Approx(20).epsilon(.1));
      CHECK(at(corners[i][1]) == doctest::Approx(80).epsilon(.1));
      CHECK(at(3 - corners[i][0]) == doctest::Approx(200).epsilon(.1));
    }
  }
  // What is no orientation, or cut off, leaves it as it is.
  const std::string whole = exif_of(6, false);
  CHECK(with_exif(exif_of(9, true)).shape() == Shape{16, 32, 1});
  for (std::size_t size = 1; size + 10 < whole.size(); ++size) {
    CHECK(with_exif(whole.substr(0, size)).shape()[0] == (size < 32 ? 16 : 32));
  }
  put(folder / "photo.jpg", plain.substr(0, 2) + "\xff\xe1\xff\xff" + plain.substr(2));
  check_message<IoError>([&] { read_jpeg(folder / "photo.jpg"); }, {"photo.jpg"});
}

TEST_CASE("images: what is no picture, or damaged, is refused") {
  const TemporaryFolder folder;
  write_jpeg(folder / "a.jpg", picture(16, 16, 3));
  write_png(folder / "a.png", picture(16, 16, 3));
  for (const char* name : {"a.jpg", "a.png"}) {
    CAPTURE(name);
    const std::string bytes = content(folder / name);
    for (const std::size_t part : {0, 2, 10, 50, 80}) {
      CAPTURE(part);
      put(folder / "b", bytes.substr(0, bytes.size() * part / 100));
      CHECK_THROWS_AS(read_image(folder / "b"), IoError);
    }
  }
  check_message<IoError>([&] { read_image(folder / "none.png"); }, {"no such file"});
  check_message<IoError>([&] { read_jpeg(folder / "none.jpg"); }, {"cannot read"});
  check_message<IoError>([&] { read_jpeg(folder / "a.png"); }, {"a.png"});
  put(folder / "text", "not a picture");
  check_message<IoError>([&] { read_image(folder / "text"); }, {"neither PNG nor JPEG"});
  check_message<ArgumentError>([&] { read_image(folder / "a.png", 2); }, {"0, 1 or 3"});
}

TEST_CASE("images: resized as Keras does, between the centres of pixels") {
  Tensor row(Type{DType::u8, {1, 4, 1}});
  const std::vector<std::uint8_t> numbers{0, 100, 200, 40};
  std::ranges::copy(numbers, row.data<std::uint8_t>().begin());
  // keras.ops.image.resize(x, (1, 8)) and (1, 2), bilinear without antialiasing.
  const auto check = [&](std::int64_t width, const std::vector<float>& expected) {
    const Tensor seen = resized(row, 1, width);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(seen.data<float>()[i] == doctest::Approx(expected[i]));
    }
  };
  check(8, {0, 25, 75, 125, 175, 160, 80, 40});
  check(2, {50, 120});
  check(4, {0, 100, 200, 40});
  CHECK(resized(picture(4, 6, 3), 2, 3).shape() == Shape{2, 3, 3});
  check_message<ShapeError>([] { resized(Tensor(Type{DType::u8, {4, 4}}), 2, 2); }, {"[H,W,C]"});
  check_message<TypeError>([] { resized(Tensor(Type{DType::f32, {4, 4, 1}}), 2, 2); }, {"u8"});
  check_message<ArgumentError>([] { resized(picture(2, 2, 1), 0, 2); }, {"0x2"});
}

TEST_CASE("image folders: classes by folders, in order, PNG and JPEG of any size") {
  const TemporaryFolder folder;
  for (const char* name : {"dogs", "cats/tabby", "cats/.hidden_not", ".git"}) {
    fs::create_directories(folder / name);
  }
  write_png(folder / "dogs/b.png", picture(4, 4, 3, 7));
  write_jpeg(folder / "dogs/a.JPG", picture(8, 8, 3));
  write_png(folder / "cats/z.png", picture(4, 4, 1));
  write_png(folder / "cats/tabby/1.png", picture(9, 5, 3));
  write_png(folder / ".git/x.png", picture(4, 4, 3));
  write_png(folder / "dogs/.x.png", picture(4, 4, 3));
  put(folder / "dogs/readme.txt", "x");
  put(folder / "file.txt", "x");
  for (const bool keep : {true, false}) {
    CAPTURE(keep);
    const auto [data, classes, files] =
        load_image_folder(folder.path(), {.height = 4, .width = 4, .channels = 3, .keep = keep});
    CHECK(classes == std::vector<std::string>{"cats", "dogs"});
    REQUIRE(files.size() == 4);
    CHECK(files[0].filename() == "1.png");
    CHECK(files[3].filename() == "b.png");
    CHECK(data.size() == 4);
    CHECK(data.x().row_shape() == Shape{4, 4, 3});
    for (std::int64_t i = 0; i < 4; ++i) CHECK(row_of(data.y(), i)[0] == (i < 2 ? 0 : 1));
    const std::vector<float> b = row_of(data.x(), 3);
    CHECK(b[0] == 7);
    CHECK(b[47] == 54);
    CHECK(row_of(data.x(), 3) == b);  // and when it is kept
    CHECK(row_of(data.x(), 0) == row_of(data.x(), 0));
    CHECK(row_of(data.x(), 1)[3] == row_of(data.x(), 1)[5]);  // grey as colours
  }
  nn::Sequential model({nn::Flatten({.input_shape = {4, 4, 1}}), nn::Dense(2)});
  model.compile({.loss = nn::SparseCategoricalCrossentropy({.from_logits = true})});
  const auto grey = load_image_folder(folder.path(), {.height = 4, .width = 4, .channels = 1});
  const auto [train, test] = grey.data.scaled(1.0f / 255).shuffled(1).split(0.5);
  CHECK(model.fit(train, {.epochs = 2, .validation_data = test, .verbose = 0}).epoch.size() == 2);

  // A damaged picture is an error when it is needed.
  put(folder / "dogs/b.png", "\x89PNG nonsense");
  const auto damaged = load_image_folder(folder.path(), {.height = 4, .width = 4});
  nn::Sequential other({nn::Flatten({.input_shape = {4, 4, 3}}), nn::Dense(2)});
  check_message<IoError>([&] { other.predict(damaged.data, {.verbose = 0}); }, {"b.png"});
}

TEST_CASE("image folders: what is wrong") {
  const TemporaryFolder folder;
  check_message<IoError>([&] { load_image_folder(folder / "none"); }, {"none", "No such file"});
  fs::create_directories(folder / "a");
  check_message<IoError>([&] { load_image_folder(folder.path()); }, {"a folder of .png or .jpg"});
  check_message<ArgumentError>([&] { load_image_folder(folder.path(), {.height = 0}); }, {"0x256"});
  check_message<ArgumentError>([&] { load_image_folder(folder.path(), {.channels = 4}); }, {"4"});
}

TEST_CASE("png: 16 bits, grey of colours, and what is transparent, in sRGB") {
  const TemporaryFolder folder;
  const auto bytes = [&](const std::vector<unsigned char>& file, int channels) {
    put(folder / "a.png", std::string(file.begin(), file.end()));
    const Tensor image = read_png(folder / "a.png", channels);
    const auto data = image.data<std::uint8_t>();
    return std::vector<int>(data.begin(), data.end());
  };
  // two pixels each: grey 32768 and 65535; red and blue; black of opacity 128 and red
  const std::vector<unsigned char> deep{
      0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
      0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x10, 0x00, 0x00, 0x00,
      0x00, 0x81, 0xd9, 0xfc, 0x15, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
      0x9c, 0x63, 0x68, 0x60, 0xf8, 0xff, 0x1f, 0x00, 0x05, 0x02, 0x02, 0x7f, 0x16, 0x5e,
      0xc4, 0x65, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
  const std::vector<unsigned char> colors{
      0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
      0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00,
      0x00, 0x7b, 0x40, 0xe8, 0xdd, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
      0x9c, 0x63, 0xf8, 0xcf, 0x00, 0x04, 0xff, 0x01, 0x07, 0x00, 0x01, 0xff, 0xe2, 0x23,
      0x9e, 0x59, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
  const std::vector<unsigned char> alpha{
      0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
      0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0xf4,
      0x22, 0x7f, 0x8a, 0x00, 0x00, 0x00, 0x11, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x60,
      0x60, 0x60, 0x68, 0xf8, 0xcf, 0xc0, 0xf0, 0x1f, 0x00, 0x07, 0x84, 0x02, 0x7f, 0xfc, 0x1a,
      0x76, 0x9a, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
  CHECK(bytes(deep, 0) == std::vector<int>{128, 255});
  CHECK(bytes(deep, 3) == std::vector<int>{128, 128, 128, 255, 255, 255});
  CHECK(bytes(colors, 0) == std::vector<int>{255, 0, 0, 0, 0, 255});
  CHECK(bytes(colors, 1) == std::vector<int>{76, 29});
  CHECK(bytes(alpha, 0) == std::vector<int>{127, 127, 127, 255, 0, 0});
  CHECK(bytes(alpha, 1) == std::vector<int>{127, 76});
  check_message<IoError>([&] { read_image(folder.path()); }, {"it is a folder"});
}

// ---- tables

TEST_CASE("csv: numbers, quotes, targets by name and by number") {
  const TemporaryFolder folder;
  put(folder / "a.csv",
      "height,\"weight, kg\",kind\r\n1.5,2,cat\r\n+3,-4e1,\"a \"\"dog\"\"\"\n\n5,6,cat\n");
  const CsvTable table = load_csv(folder / "a.csv");
  CHECK(table.columns == std::vector<std::string>{"height", "weight, kg"});
  CHECK(table.classes == std::vector<std::string>{"a \"dog\"", "cat"});
  CHECK(table.data.size() == 3);
  CHECK(row_of(table.data.x(), 1) == std::vector<float>{3, -40});
  CHECK(row_of(table.data.y(), 0)[0] == 1);
  CHECK(row_of(table.data.y(), 1)[0] == 0);

  put(folder / "b.csv", "1;2;3\n4;5;6");
  const CsvTable numbers =
      load_csv(folder / "b.csv", {.target = "0", .header = false, .delimiter = ';'});
  CHECK(numbers.columns == std::vector<std::string>{"1", "2"});
  CHECK(numbers.classes.empty());
  CHECK(row_of(numbers.data.x(), 1) == std::vector<float>{5, 6});
  CHECK(row_of(numbers.data.y(), 1)[0] == 4);
  const CsvTable classes = load_csv(
      folder / "b.csv", {.target = "0", .header = false, .delimiter = ';', .classes = true});
  CHECK(classes.classes == std::vector<std::string>{"1", "4"});
  const CsvTable none =
      load_csv(folder / "b.csv", {.target = "", .header = false, .delimiter = ';'});
  CHECK(none.data.targets() == 0);
  CHECK(none.data.x().row_shape() == Shape{3});
}

TEST_CASE("csv: a first line of numbers is a sample, UTF-8's mark is none, and tiny is 0") {
  const TemporaryFolder folder;
  put(folder / "a.csv", "1,2,cat\n3,4,dog\n");
  CHECK(load_csv(folder / "a.csv").data.size() == 2);
  CHECK(load_csv(folder / "a.csv", {.header = true}).data.size() == 1);
  CHECK(load_csv(folder / "a.csv", {.target = "cat"}).data.size() == 1);
  put(folder / "a.csv", "\xef\xbb\xbf\"a\",b\n1e-50,1e-400\n-1e-50,2\n");
  const CsvTable table = load_csv(folder / "a.csv");
  CHECK(table.columns == std::vector<std::string>{"a"});
  CHECK(table.classes.empty());
  CHECK(row_of(table.data.x(), 0)[0] == 0);
  CHECK(row_of(table.data.y(), 0)[0] == 0);
}

TEST_CASE("csv: what is wrong, and where") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text, std::initializer_list<std::string_view> words,
                           const CsvOptions& options = {}) {
    put(folder / "a.csv", text);
    check_message<IoError>([&] { load_csv(folder / "a.csv", options); }, words);
  };
  check_message<IoError>([&] { load_csv(folder / "none.csv"); }, {"cannot open"});
  refused("", {"no lines"});
  refused("a,b\n", {"behind its header"});
  refused("a,b\n1,2\n1,2,3\n", {"line 3 has 3 fields, not 2"});
  refused("a,b\nx,2\n", {"line 2", "\"x\"", "column \"a\""});
  refused("a,b\n,2\n", {"line 2", "\"\""});
  refused("a,b\n1,\"2", {"quote"});
  refused("a,b\n1,2\n\n\"3\",\"4\n\"\n", {"line 4", "no number, but \"2\" in line 2"});
  refused("a,b\n\n\"1\n\",2\n", {"line 3", "no number"});
  refused("a,b,c\n\"1\",2,\"x\ny\"\n\n1,?,z\n", {"line 5", "\"?\""});
  refused("a,b\n1,2\n3,\n", {"line 3", "\"\"", "column \"b\""});
  refused("a,b\n1,nan\n", {"line 2", "\"nan\"", "must be finite"});
  refused("a,b\n-inf,1\n", {"line 2", "\"-inf\"", "must be finite"});
  refused("a,b\n1e50,1\n", {"\"1e50\"", "must be finite"});
  refused("a;b\n1;1\n", {"separated by commas", "semicolons"});
  refused("a\tb\n1\t1\n", {"separated by commas", "tabs"});
  refused("a\n1\n", {"no column beside the target"});
  put(folder / "a.csv", "a,b\n1,2\n");
  for (const char* target : {"c", "2", "-3", "1x"}) {
    check_message<ArgumentError>([&] { load_csv(folder / "a.csv", {.target = target}); },
                                 {target, "there are: a, b"});
  }
}

}  // namespace
}  // namespace weft::test
