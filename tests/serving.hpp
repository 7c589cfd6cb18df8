// The program `weft serve`, running beside a test.
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
#include <string>
#include <thread>
#include <vector>

#include "nn/nn.hpp"

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

}  // namespace weft::test
