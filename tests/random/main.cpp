// Makes random programs, compiles them in several ways and compares with the reference evaluation;
// with --networks, networks of layers instead of graphs of ops.
//   weft_random_programs [--networks] [--seed FIRST] [--count N] [--seconds S] [--no-shrink]
// Prints each failing program, made as small as it fails, as C++; exits with 1 if there was one.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "runtime/threads.hpp"
#include "tests/random/networks.hpp"
#include "tests/random/program.hpp"

namespace {

char current[64] = "";

/// A crash names its seed, too.
void tell(int signal) {
  [[maybe_unused]] const auto written = ::write(2, current, std::strlen(current));
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

using namespace weft::random_test;

/// Checks the graph of a seed. Returns the first difference and C++ that builds the graph, or an
/// empty string.
std::string check_graph(std::uint64_t seed, bool shrinks) {
  Program program;
  try {
    program = Generator(seed, seed % 2 == 0).make();
  } catch (const std::exception& error) {  // an op that could be built, but not evaluated
    return fmt::format("the reference threw {}", error.what());
  }
  std::string text = check(program);
  if (text.empty()) return "";
  if (shrinks) {
    program = shrink(program, [](const Program& smaller) { return !check(smaller).empty(); });
    text = check(program);
  }
  return fmt::format("{}\n{}", text, to_cpp(program));
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = 1, count = 0;
  double seconds = 60;
  bool shrinks = true, networks = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--no-shrink") {
      shrinks = false;
    } else if (word == "--networks") {
      networks = true;
    } else if (word == "--seed" && has_value) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--count" && has_value) {
      count = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--seconds" && has_value) {
      seconds = std::strtod(argv[++i], nullptr);
    } else {
      fmt::print(stderr,
                 "usage: {} [--networks] [--seed FIRST] [--count N | --seconds S] [--no-shrink]\n",
                 argv[0]);
      return 2;
    }
  }
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS}) ::signal(signal, tell);
  const auto start = std::chrono::steady_clock::now();
  const auto goes_on = [&](std::uint64_t done) {
    if (count > 0) return done < count;
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() <
           seconds;
  };
  std::uint64_t done = 0, wrong = 0;
  for (; goes_on(done); ++done, ++seed) {
    std::snprintf(current, sizeof current, "crashed with --seed %llu\n",
                  static_cast<unsigned long long>(seed));
    const std::string text = networks ? check_network(seed, shrinks) : check_graph(seed, shrinks);
    if (text.empty()) continue;
    ++wrong;
    fmt::print("== seed {}: {}\n", seed, text);
    std::fflush(stdout);
  }
  fmt::print("random {}: {} compared, {} wrong ({})\n", networks ? "networks" : "programs", done,
             wrong, weft::instruction_set());
  return wrong == 0 ? 0 : 1;
}
