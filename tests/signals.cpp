// Signals that come while steps run: handlers must not meet a thread without a stack.
#include "runtime/signals.hpp"

#include <doctest/doctest.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "autodiff/gradients.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/onednn.hpp"
#include "runtime/team.hpp"
#include "tests/messages.hpp"
#include "tests/sanitizers.hpp"

namespace weft {
namespace {

constexpr int right = 0, wrong_numbers = 1, too_few_signals = 2, no_child = 3;

volatile std::sig_atomic_t signals = 0;
void count_signal(int) { signals = signals + 1; }

/// A dense layer and its gradients, again and again, while a timer ticks, as profilers make one.
/// The products are of the sizes of a small network's first dense layer.
int train_under_timer() {
  Graph graph;
  const Value x = graph.input({DType::f32, {16, 1352}}, "x");
  const Value k = graph.input({DType::f32, {1352, 128}}, "k");
  const Value y = sum(square(matmul(x, k)));
  const auto slopes = gradients(y, {x, k});
  Executable step = compile({y, slopes[0], slopes[1]}, {.threads = 1});
  std::uint32_t seed = 1;
  for (const char* name : {"x", "k"}) {
    Tensor input = step.input(name);
    for (float& number : input.data<float>()) {
      seed = seed * 1664525u + 1013904223u;
      number = static_cast<float>(seed >> 8) / 16777216.0f - 0.5f;
    }
  }
  step.step();
  const Tensor wanted = step.output(2).clone();

  struct sigaction action {};
  action.sa_handler = count_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPROF, &action, nullptr);
  const itimerval often{{0, 500}, {0, 500}};
  setitimer(ITIMER_PROF, &often, nullptr);
  for (int i = 0; i < 1000; ++i) {
    step.step();
    std::free(std::malloc(100'000));  // finds a damaged heap
    if (to_floats(step.output(2)) != to_floats(wanted)) return wrong_numbers;
  }
  return signals > 0 ? right : too_few_signals;
}

TEST_CASE("signals: a timer's handler damages nothing while products run") {
#if WEFT_THREAD_SANITIZER
  return;  // it knows nothing of a fork without exec
#endif
  for (int round = 0; round < 2; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const bool quiet = std::freopen("/dev/null", "w", stderr) != nullptr;
      ::_exit(quiet ? train_under_timer() : no_child);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == right);
  }
}

bool is_blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

TEST_CASE("signals: wait for the end of a scope, but not those of a thread's own faults") {
  CHECK(!is_blocked(SIGINT));
  {
    const SignalsBlocked blocked;
    for (const int outside : {SIGINT, SIGTERM, SIGPROF, SIGUSR1}) CHECK(is_blocked(outside));
    for (const int own : {SIGSEGV, SIGFPE, SIGABRT}) CHECK(!is_blocked(own));
    {
      const SignalsBlocked not_active(false);
      CHECK(is_blocked(SIGINT));
    }
    CHECK(is_blocked(SIGINT));
  }
  CHECK(!is_blocked(SIGINT));
}

TEST_CASE("signals: the threads of a team leave them to others") {
  Team team(3);
  std::atomic<int> blocking{0};
  team.run(1, [&](std::size_t replica) {
    if (replica > 0 && is_blocked(SIGINT)) ++blocking;
  });
  CHECK(blocking == 2);
  CHECK(!is_blocked(SIGINT));
}

TEST_CASE("signals: which implementations leave no stack, in which versions") {
#if defined(__x86_64__)
  const bool is_fixed =
      dnnl_version()->major > 3 || (dnnl_version()->major == 3 && dnnl_version()->minor > 11);
  if (!is_fixed && dnnl_version()->major == 2) {
    CHECK(onednn::corrupts_below_stack("gemm:jit"));
    CHECK(onednn::corrupts_below_stack("x64:gemm:jit"));
  }
#endif
  for (const char* sound : {"brgemm:avx512_core", "jit:avx2", "ref:any", "weft", ""}) {
    CHECK(!onednn::corrupts_below_stack(sound));
  }
}

}  // namespace
}  // namespace weft
