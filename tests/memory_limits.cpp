// Where memory is short, what is thrown says what it was for. In a child process with a limit.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>

#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/team.hpp"
#include "tests/io_files.hpp"
#include "tests/messages.hpp"
#include "tests/nn_testing.hpp"
#include "tests/sanitizers.hpp"

namespace weft {
namespace {

using test::message_of, test::TemporaryFolder;

/// The message of the MemoryError that f throws where there is so much more address space.
std::string under_limit(std::size_t more, const std::function<void()>& f) {
  const TemporaryFolder folder;
  const std::string file = (folder / "message").string();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t limit = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + more;
    const rlimit both{limit, limit};
    setrlimit(RLIMIT_AS, &both);
    const std::string message = message_of<MemoryError>(f);
    std::ofstream(file) << message;
    ::_exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

constexpr std::size_t megabyte = std::size_t{1} << 20;

#if !WEFT_ADDRESS_SANITIZER && !WEFT_THREAD_SANITIZER

TEST_CASE("memory: a tensor says how much was asked for, and for what") {
  CHECK(under_limit(64 * megabyte, [] {
          Tensor(Type{DType::f32, {1024, 1024, 100}});
        }) == "tensor: there is no memory for f32[1024,1024,100], which takes 419430400 bytes");
  CHECK(under_limit(64 * megabyte,
                    [] {
                      Variables variables;
                      for (int i = 0; i < 100; ++i) {
                        variables.set("w" + std::to_string(i), Tensor::full({1 << 20}, 1));
                      }
                    })
            .find("there is no memory for f32[1048576], which takes 4194304 bytes") !=
        std::string::npos);
}

TEST_CASE("memory: weights say whose they are") {
  const std::string message = under_limit(64 * megabyte, [] {
    nn::Sequential model({nn::Dense(16384, {.name = "wide"})});
    model.build({16384});
  });
  CHECK(message ==
        "weight \"wide/kernel\": tensor: there is no memory for f32[16384,16384], which takes "
        "1073741824 bytes");
}

TEST_CASE("memory: a program says that it was its arena") {
  const std::string message = under_limit(64 * megabyte, [] {
    Graph graph;
    const Value x = graph.input({DType::f32, {1 << 20, 1}}, "x");
    const Value k = graph.input({DType::f32, {1, 128}}, "k");
    compile({sum(matmul(x, k))}, {.threads = 1});
  });
  CHECK(message.starts_with("compile: the arena of a program: there is no memory for u8["));
}

TEST_CASE("memory: nothing is compiled where libraries would not survive") {
  const std::string message = under_limit(8 * megabyte, [] {
    Graph graph;
    compile({exp(graph.input({DType::f32, {4}}, "x"))});
  });
  CHECK(message ==
        "compile: the limit of address space (ulimit -v) leaves less than the 33554432 bytes that "
        "compiling needs");
}

TEST_CASE("memory: threads that the system does not start are an error that says so") {
  const std::string message = under_limit(4 * megabyte, [] { Team team(64); });
  CHECK(message.starts_with("team: the system starts no more than "));
  CHECK(message.ends_with("allow more, or compute with fewer (set_threads, WEFT_THREADS)"));
}

#endif

}  // namespace
}  // namespace weft
