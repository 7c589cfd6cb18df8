// What may crash, tried in a child process.
#include "io/keras/trial.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

namespace weft::test {
namespace {

TEST_CASE("trial: a function survives that returns or throws, and nothing it does stays") {
  int number = 1;
  CHECK(survives([&] { number = 2; }));
  CHECK(survives([&] {
    number = 3;
    throw std::runtime_error("not seen");
  }));
  CHECK(number == 1);
}

TEST_CASE("trial: a crash is seen, whatever its kind") {
  CHECK_FALSE(survives([] { std::abort(); }));
  CHECK_FALSE(survives([] { std::raise(SIGSEGV); }));
  CHECK_FALSE(survives([] { std::raise(SIGXCPU); }));
  CHECK_FALSE(survives([] { std::_Exit(0); }));  // it did not come to its end
}

TEST_CASE("trial: a host that waits for its children itself does no harm") {
  const auto before = std::signal(SIGCHLD, SIG_IGN);  // children are then reaped by the system
  CHECK(survives([] {}));
  CHECK_FALSE(survives([] { std::abort(); }));
  std::signal(SIGCHLD, before);
}

TEST_CASE("trial: threads try side by side") {
  std::vector<int> right(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&right, i] {
      right[static_cast<std::size_t>(i)] = survives([i] {
                                             if (i % 2 == 1) std::abort();
                                           }) == (i % 2 == 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int each : right) CHECK(each == 1);
}

}  // namespace
}  // namespace weft::test
