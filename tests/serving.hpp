// The programs `weft serve` and `weft train --serve`, running beside a test.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <httplib.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "io/idx.hpp"
#include "nn/nn.hpp"
#include "tests/program.hpp"
#include "tests/sanitizers.hpp"

namespace weft::test {

/// The port in "... http://127.0.0.1:8000/ ..."; 0: there is none.
inline int port_in(const std::string& line) {
  const auto at = line.find("http://");
  const auto colon = at == line.npos ? line.npos : line.find(':', at + 7);
  return colon == line.npos ? 0 : std::atoi(line.c_str() + colon + 1);
}

/// `weft serve` with more arguments, on a port that is free.
class Served : public Program {
 public:
  explicit Served(const std::vector<std::string>& arguments) : Program(with(arguments)) {
    REQUIRE(says("Ctrl-C"));
    port = port_in(out());
    REQUIRE(port > 0);
  }
  httplib::Client client() const { return httplib::Client("127.0.0.1", port); }
  /// Its exit code, after this signal.
  int end(int signal) {
    kill(signal);
    return code();
  }

  int port = 0;

 private:
  static std::vector<std::string> with(const std::vector<std::string>& arguments) {
    std::vector<std::string> words{"serve", "--port", "0"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }
};

/// A network that takes MNIST's pictures. Nobody taught it anything.
inline nn::Sequential digit_model() {
  return nn::Sequential({nn::Flatten({.input_shape = {28, 28, 1}}),
                         nn::Dense(10, {.activation = "softmax", .name = "d"})},
                        {.name = "digits", .seed = 3});
}

/// A folder like MNIST's: images of noise, with a bright square where their class says.
inline void write_squares(const std::filesystem::path& folder, std::int64_t count) {
  std::filesystem::create_directory(folder);
  std::mt19937 random(1);
  for (const auto& [part, samples] : {std::pair{"train", count}, {"t10k", std::int64_t{200}}}) {
    Tensor images(Type{DType::u8, {samples, 28, 28}}), labels(Type{DType::u8, {samples}});
    for (std::int64_t i = 0; i < samples; ++i) {
      const auto label = static_cast<std::uint8_t>(random() % 10);
      labels.data<std::uint8_t>()[static_cast<std::size_t>(i)] = label;
      for (std::int64_t k = 0; k < 28 * 28; ++k) {
        const bool is_inside = k / 28 / 14 == label / 5 && k % 28 / 5 == label % 5;
        images.data<std::uint8_t>()[static_cast<std::size_t>(i * 28 * 28 + k)] =
            static_cast<std::uint8_t>(random() % 180 + (is_inside ? 60 : 0));
      }
    }
    write_idx(folder / fmt::format("{}-images-idx3-ubyte", part), images);
    write_idx(folder / fmt::format("{}-labels-idx1-ubyte", part), labels);
  }
}

/// `weft train --serve` of the tutorial's network on 2000 such images. What it says is held: of 100
/// epochs or more, each of over 100 bytes, it cannot do the last before it is read twice.
class ServedTraining {
 public:
  explicit ServedTraining(int epochs, const std::vector<std::string>& more = {}) {
    write_squares(folder_ / "data", WEFT_ADDRESS_SANITIZER ? 300 : 2000);
    std::vector<std::string> words{"train",  "--data",   (folder_ / "data").string(), "--save",
                                   model(),  "--epochs", fmt::to_string(epochs),      "--serve",
                                   "--port", "0"};
    words.insert(words.end(), more.begin(), more.end());
    program_.emplace(words, Process::held);
    REQUIRE(program_->says("http://"));
    port = port_in(program_->out());
    REQUIRE(port > 0);
  }
  Program& program() { return *program_; }
  std::string model() const { return (folder_ / "m.h5").string(); }
  httplib::Client client() const { return httplib::Client("127.0.0.1", port); }

  int port = 0;

 private:
  TemporaryFolder folder_{};
  std::optional<Program> program_;
};

}  // namespace weft::test
