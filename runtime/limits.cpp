#include "runtime/limits.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <exception>
#include <latch>
#include <thread>
#include <vector>

#include "graph/error.hpp"

namespace weft {
namespace {

bool is_limited() {
  rlimit space{};
  return getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY;
}

/// glibc loads what it ends threads with when the first one ends so, and aborts if it cannot.
void load_unwinder() {
  pthread_t thread;
  const auto end = [](void*) -> void* { pthread_exit(nullptr); };
  if (pthread_create(&thread, nullptr, end, nullptr) == 0) pthread_join(thread, nullptr);
}

}  // namespace

void expect_room() {
  if (!is_limited()) return;
  constexpr std::size_t room = std::size_t{32} << 20;
  void* trial = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (trial == MAP_FAILED) {
    fail<MemoryError>(
        "compile: the limit of address space (ulimit -v) leaves less than the {} bytes that "
        "compiling needs",
        room);
  }
  munmap(trial, room);
  static const bool is_loaded = (load_unwinder(), true);
  static_cast<void>(is_loaded);
}

int threads_to_be_had(int threads) {
  thread_local int started = 1;
  if (threads <= started || !is_limited()) return threads;
  std::latch tried(1);
  std::vector<std::jthread> trials;
  bool all = true;
  try {
    for (int i = 1; i < threads; ++i) trials.emplace_back([&tried] { tried.wait(); });
  } catch (const std::exception&) {
    all = false;
  }
  tried.count_down();
  trials.clear();
  if (!all) return 1;
#pragma omp parallel num_threads(threads)
  {}
  return started = threads;
}

}  // namespace weft
