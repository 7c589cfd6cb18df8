// The programs `weft serve` and `weft train --serve`, running beside a test.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <httplib.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "io/idx.hpp"
#include "nn/nn.hpp"
#include "tests/program.hpp"

extern char** environ;

namespace weft::test {

/// A program that runs until the end of its scope, and the first line that it says.
class Running {
 public:
  explicit Running(std::vector<std::string> words) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    REQUIRE(::posix_spawnp(&pid_, pointers[0], &actions, nullptr, pointers.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    out_ = ends[0];
  }
  ~Running() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(out_);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  /// Up to a newline; less if it ended or says nothing for half a minute.
  std::string line() {
    std::string text;
    char letter = 0;
    pollfd ready{.fd = out_, .events = POLLIN, .revents = 0};
    while (::poll(&ready, 1, 30000) == 1 && ::read(out_, &letter, 1) == 1 && letter != '\n') {
      text += letter;
    }
    return text;
  }

  /// Its exit code, after this signal; -1 if it did not end by itself within 10 seconds.
  int end(int signal) {
    ::kill(pid_, signal);
    int status = 0;
    for (int i = 0; i < 1000; ++i) {
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
  }

 private:
  pid_t pid_ = 0;
  int out_ = -1;
};

/// The port in "... http://127.0.0.1:8000/ ..."; 0: there is none.
inline int port_in(const std::string& line) {
  const auto at = line.find("http://");
  const auto colon = at == line.npos ? line.npos : line.find(':', at + 7);
  return colon == line.npos ? 0 : std::atoi(line.c_str() + colon + 1);
}

/// `weft serve` with more arguments, on a port that is free.
class Served : public Running {
 public:
  explicit Served(const std::string& program, std::vector<std::string> arguments)
      : Running(with(program, std::move(arguments))), said(line()), port(port_in(said)) {
    CAPTURE(said);
    REQUIRE(port > 0);
  }
  httplib::Client client() const { return httplib::Client("127.0.0.1", port); }

  std::string said;
  int port;

 private:
  static std::vector<std::string> with(const std::string& program,
                                       std::vector<std::string> arguments) {
    std::vector<std::string> words{program, "serve", "--port", "0"};
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

/// `weft train --serve` of the tutorial's network on 2000 such images.
class ServedTraining {
 public:
  explicit ServedTraining(int epochs, const std::vector<std::string>& more = {}) {
    write_squares(folder_ / "data", 2000);
    std::vector<std::string> words{"train",  "--data",   (folder_ / "data").string(), "--save",
                                   model(),  "--epochs", fmt::to_string(epochs),      "--serve",
                                   "--port", "0"};
    words.insert(words.end(), more.begin(), more.end());
    program_.emplace(words);
    REQUIRE(says("http://"));
    port = port_in(program_->out());
    REQUIRE(port > 0);
  }
  Program& program() { return *program_; }
  std::string model() const { return (folder_ / "m.h5").string(); }
  httplib::Client client() const { return httplib::Client("127.0.0.1", port); }
  /// Waits until it says so, up to a minute.
  bool says(std::string_view text) const {
    for (int i = 0; i < 6000; ++i) {
      if (program_->out().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  int port = 0;

 private:
  TemporaryFolder folder_{};
  std::optional<Program> program_;
};

}  // namespace weft::test
