// The program weft, run as its users run it.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/io_files.hpp"

extern char** environ;

namespace weft::test {

/// A program that goes on until it is waited for, or is killed at the end of its scope.
class Process {
 public:
  /// As `out`: what it says goes into a pipe, where it has to wait while 4096 bytes stand unread;
  /// so it is not at its end before the test is. says(), read() and wait() read.
  static constexpr char held[] = "held";

  /// What it says goes into a file: `out`, or one that out() reads.
  explicit Process(std::vector<std::string> words, const char* out = nullptr) {
    out_ = out != nullptr && out != held ? out : (folder_ / "out").string();
    if (out == held) {
      REQUIRE(::mkfifo(out_.c_str(), 0600) == 0);
      pipe_ = ::open(out_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
      REQUIRE(pipe_ >= 0);
      REQUIRE(::fcntl(pipe_, F_SETPIPE_SZ, 4096) > 0);
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out_.c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, (folder_ / "err").c_str(), O_WRONLY | O_CREAT,
                                     0600);
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    REQUIRE(posix_spawnp(&child_, pointers[0], &actions, nullptr, pointers.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() {
    if (child_ > 0) kill(SIGKILL), wait();
    if (pipe_ >= 0) ::close(pipe_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return child_; }
  void kill(int signal) const { ::kill(child_, signal); }
  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
  }
  /// Its exit status, as of waitpid().
  int wait() {
    while (pipe_ >= 0 && !ended()) {
      read();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    read();
    int status = 0;
    if (::waitpid(child_, &status, 0) != child_) status = -1;
    child_ = 0;
    return status;
  }
  /// Its exit code; -1 if a signal ended it.
  int code() {
    const int status = wait();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// What is held, so that it may say as much again.
  void read() const {
    if (pipe_ < 0) return;
    std::string part(4096, '\0');
    const ssize_t count = ::read(pipe_, part.data(), part.size());
    if (count > 0) said_.append(part, 0, static_cast<std::size_t>(count));
  }
  std::string out() const { return pipe_ < 0 ? content(out_) : said_; }
  std::string err() const { return content(folder_ / "err"); }
  /// Waits until it has said so, for a minute.
  bool says(std::string_view text) const {
    for (int i = 0; i < 6000; ++i) {
      read();
      if (out().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

 private:
  TemporaryFolder folder_{};
  std::string out_;
  int pipe_ = -1;               // the end that is read of what is held; -1: nothing is
  mutable std::string said_{};  // what was read of it
  pid_t child_ = 0;
};

#ifdef WEFT_PROGRAM

/// The program weft.
class Program : public Process {
 public:
  explicit Program(std::vector<std::string> arguments, const char* out = nullptr)
      : Process((arguments.insert(arguments.begin(), WEFT_PROGRAM), std::move(arguments)), out) {}
};

struct Outcome {
  int code;
  std::string out, err;
};

inline Outcome run(const std::vector<std::string>& arguments, const char* out = nullptr) {
  Program program(arguments, out);
  const int status = program.wait();
  REQUIRE(WIFEXITED(status));
  return {WEXITSTATUS(status), out != nullptr ? "" : program.out(), program.err()};
}

/// It says nothing but its result.
inline std::string check_done(const std::vector<std::string>& arguments) {
  CAPTURE(fmt::format("{}", fmt::join(arguments, " ")));
  const Outcome outcome = run(arguments);
  CHECK(outcome.code == 0);
  CHECK(outcome.err == "");
  return outcome.out;
}

/// It says what is wrong, on stderr alone.
inline void check_fails(int code, const std::vector<std::string>& arguments,
                        std::initializer_list<std::string_view> texts) {
  CAPTURE(fmt::format("{}", fmt::join(arguments, " ")));
  const Outcome outcome = run(arguments);
  CHECK(outcome.code == code);
  CHECK(outcome.out == "");
  CAPTURE(outcome.err);
  CHECK(outcome.err.starts_with("weft: "));
  CHECK(outcome.err.ends_with("\n"));
  for (const std::string_view text : texts) {
    CAPTURE(text);
    CHECK(outcome.err.find(text) != std::string::npos);
  }
}

#endif

}  // namespace weft::test
