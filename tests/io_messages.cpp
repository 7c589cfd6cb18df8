// Whatever is wrong with a file, the message names it, is short, and has no control characters.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>

#include "io/csv.hpp"
#include "io/idx.hpp"
#include "io/image.hpp"
#include "io/keras/zip.hpp"
#include "io/model_files.hpp"
#include "io/npy.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

/// What there was to refuse, and how often it was refused.
struct Refusals {
  int count = 0;

  template <class F>
  void expect_good_message(const fs::path& file, F read) {
    try {
      read();
      return;
    } catch (const Error& error) {
      ++count;
      std::string message = error.what();
      CAPTURE(message);
      const std::size_t at = message.find(file.string());
      CHECK(at != std::string::npos);
      CHECK(std::ranges::none_of(
          message, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
      CHECK(message.size() < file.string().size() + 900);
    }
  }
};

nn::Model model_of(const char* name) {
  nn::Model model = nn::Sequential(
      {nn::Conv2D(2, 3, {.activation = "relu", .input_shape = {5, 5, 1}, .name = "c"}),
       nn::BatchNormalization({.name = "n"}), nn::Flatten(), nn::Dense(2, {.name = "e"})},
      {.name = name});
  model.compile({.optimizer = "adam", .loss = "mse"});
  model.optimizer_variables();
  return model;
}

/// Damage of a few kinds: bytes, and in texts also words.
std::string damaged(std::string bytes, std::mt19937& random) {
  const auto any = [&](std::size_t below) { return random() % std::max<std::size_t>(below, 1); };
  static constexpr std::array<std::string_view, 8> words{
      "\x1b[2J", "-3", "null", "[]", "\"\\u0000\"", "1e999", "{}", "\"x\\ny\""};
  for (std::size_t i = 0, count = 1 + any(3); i < count; ++i) {
    const std::size_t at = any(bytes.size());
    switch (any(6)) {
      case 0:
        bytes[at] = static_cast<char>(any(256));
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << any(8));
        break;
      case 2:
        bytes.resize(at + 1);
        break;
      case 3:
        bytes.insert(at, std::string(any(3000), static_cast<char>(any(256))));
        break;
      default: {  // a word in a number's or a text's place
        const std::size_t digit = bytes.find_first_of("0123456789\"", at);
        if (digit != std::string::npos) bytes.replace(digit, 1, words[any(words.size())]);
      }
    }
  }
  return bytes;
}

}  // namespace

TEST_CASE("messages: of models' files, whatever is damaged in them") {
  const TemporaryFolder folder;
  std::mt19937 random(5);
  nn::Model model = model_of("m");
  for (const char* name : {"m.h5", "m.keras", "m.json"}) model.save(folder / name);
  model.save_weights(folder / "m.weights.h5");
  Refusals refusals;
  for (const char* name : {"m.h5", "m.keras", "m.json", "m.weights.h5"}) {
    const std::string bytes = content(folder / name);
    for (int i = 0; i < 300; ++i) {
      const fs::path file = put(folder / (std::string("bad_") + name), damaged(bytes, random));
      refusals.expect_good_message(file, [&] { nn::load_model(file).summary(); });
      refusals.expect_good_message(file, [&] { model_of("other").load_weights(file); });
    }
  }
  CHECK(refusals.count > 500);
}

TEST_CASE("messages: of tables, arrays and pictures, whatever is damaged in them") {
  const TemporaryFolder folder;
  std::mt19937 random(6);
  put(folder / "t.csv", "a,b,c\n1,2,x\n3,4.5,\"y\"\n5,6,x\n");
  const Tensor image = Tensor::of<std::uint8_t>({4, 4, 1}, std::vector<std::uint8_t>(16, 9));
  write_npy(folder / "t.npy", image);
  write_idx(folder / "t.idx", image);
  write_png(folder / "t.png", image);
  Refusals refusals;
  for (const char* name : {"t.csv", "t.npy", "t.idx", "t.png"}) {
    const std::string bytes = content(folder / name);
    for (int i = 0; i < 300; ++i) {
      const fs::path file = put(folder / (std::string("bad_") + name), damaged(bytes, random));
      refusals.expect_good_message(file, [&] {
        if (name[2] == 'c') load_csv(file);
        if (name[2] == 'n') read_npy(file);
        if (name[2] == 'i') read_idx(file);
        if (name[2] == 'p') read_image(file);
      });
    }
  }
  CHECK(refusals.count > 500);
}

TEST_CASE("messages: descriptions of models that are wrong in themselves") {
  const TemporaryFolder folder;
  const std::string good = model_of("m").to_json();
  Refusals refusals;
  const auto wrong = [&](const std::string& from, const std::string& to) {
    std::string json = good;
    const std::size_t at = json.find(from);
    REQUIRE(at != std::string::npos);
    const fs::path file = put(folder / "m.json", json.replace(at, from.size(), to));
    const auto before = refusals.count;
    refusals.expect_good_message(file, [&] { nn::load_model(file); });
    CHECK_MESSAGE(refusals.count == before + 1, from, " became ", to.substr(0, 40));
  };
  const std::string large(1 << 20, 'n');
  wrong(R"("units":2)", R"("units":-3)");
  wrong(R"("filters":2)", R"("filters":")" + large + '"');
  wrong(R"("class_name":"Dense")", R"("class_name":")" + large + '"');
  wrong(R"("class_name":"Dense")", R"("class_name":"\u0000\u001b[2J\n")");
  wrong(R"("activation":"relu")", R"("activation":")" + large + '"');
  wrong(R"("padding":"valid")", R"("padding":"\u0007)" + large + '"');
  wrong(R"("kernel_size":[3,3])", R"("kernel_size":[9,9])");
  wrong("{", "");
  wrong("}", std::string("\0\x1b", 2) + large);
  CHECK(refusals.count == 9);
}

TEST_CASE("messages: a table with a column for each letter, or a name of a megabyte") {
  const TemporaryFolder folder;
  const std::string large(1 << 20, 'n');
  Refusals refusals;
  const auto wrong = [&](const std::string& text, const CsvOptions& options = {}) {
    const fs::path file = put(folder / "t.csv", text);
    refusals.expect_good_message(file, [&] { load_csv(file, options); });
  };
  wrong("a," + large + "\n1,\x1b[2J\nx,1\n");
  wrong("a,b\n" + large + ",1\n");
  wrong(large + ",b\n1,2\n", {.target = "c"});
  wrong("1,2\n3," + large + "\n");
  wrong("a,b\n1,\n");
  CHECK(refusals.count == 5);
}

}  // namespace weft::test
