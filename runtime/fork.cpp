#include "runtime/fork.hpp"

#include <omp.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>

namespace weft {
namespace {

/// Counts the threads inside, in several places, so that they do not fight for one cache line.
class Gate {
 public:
  static constexpr std::size_t slots = 32;

  void enter(std::size_t slot) noexcept {
    for (;;) {
      inside_[slot].count.fetch_add(1);
      if (!closed_.load()) return;
      leave(slot);
      closed_.wait(true);
    }
  }
  void leave(std::size_t slot) noexcept {
    inside_[slot].count.fetch_sub(1);
    if (closed_.load()) inside_[slot].count.notify_all();
  }
  /// Lets nobody in any more, and returns when all others have left.
  ///   own     the calling thread's slot
  ///   inside  whether it is inside itself
  void close(std::size_t own, bool inside) noexcept {
    closed_ = true;
    for (std::size_t slot = 0; slot < slots; ++slot) {
      const std::uint32_t least = inside && slot == own ? 1 : 0;
      std::atomic<std::uint32_t>& count = inside_[slot].count;
      for (std::uint32_t now = count; now > least; now = count) count.wait(now);
    }
  }
  void open() noexcept {
    closed_ = false;
    closed_.notify_all();
  }

 private:
  struct alignas(64) Slot {
    std::atomic<std::uint32_t> count{0};
  };
  std::array<Slot, slots> inside_;
  alignas(64) std::atomic<bool> closed_{false};
};

std::atomic<std::uint32_t> forks{0};
std::atomic<std::uint64_t> survivor{0};  // of the last fork: the thread that forked
std::atomic<std::uint64_t> threads_seen{0};

struct Here {  // of the calling thread
  const std::uint64_t number = ++threads_seen;
  const std::size_t slot = number % Gate::slots;
  std::array<int, 2> depth{};  // of sections, by kind
};
thread_local Here here;

class Gates {
 public:
  /// Never destroyed: threads may still be running when the process ends.
  static Gates& shared() {
    static Gates& gates = *new Gates;
    return gates;
  }
  Gate& operator[](Section::Kind kind) { return gates_[static_cast<std::size_t>(kind)]; }

 private:
  Gates() { pthread_atfork(before_fork, in_parent, in_child); }

  /// Compiles first: they run steps, which must still get in.
  static void before_fork() {
    Gates& gates = shared();
    gates.forking_.lock();
    for (const Section::Kind kind : {Section::Kind::compile, Section::Kind::step}) {
      gates[kind].close(here.slot, here.depth[static_cast<std::size_t>(kind)] > 0);
    }
    // GCC's OpenMP keeps threads for this one, and the child would wait for them for ever. Without
    // them it makes new ones, as this process does when it needs them next. LLVM's OpenMP sees to
    // forks by itself, and does not survive this call.
#ifndef KMP_VERSION_MAJOR
    if (omp_get_level() == 0) omp_pause_resource_all(omp_pause_hard);
#endif
  }
  static void in_parent() {
    Gates& gates = shared();
    for (Gate& gate : gates.gates_) gate.open();
    gates.forking_.unlock();
  }
  static void in_child() {
    survivor = here.number;
    ++forks;
    in_parent();
  }

  std::mutex forking_;  // held by the thread that forks, in the parent and in the child
  std::array<Gate, 2> gates_;
};

}  // namespace

Section::Section(Kind kind) noexcept : kind_(kind) {
  if (here.depth[static_cast<std::size_t>(kind)]++ == 0) Gates::shared()[kind].enter(here.slot);
}

Section::~Section() {
  if (--here.depth[static_cast<std::size_t>(kind_)] == 0) Gates::shared()[kind_].leave(here.slot);
}

std::uint32_t fork_count() noexcept { return forks.load(std::memory_order_relaxed); }

std::uint64_t thread_number() noexcept { return here.number; }

bool is_here(std::uint64_t thread, std::uint32_t noted_at) noexcept {
  return noted_at == fork_count() || thread == survivor;
}

void abandon_if_forked(std::vector<std::thread>& threads, std::uint32_t made_at) {
  if (made_at == fork_count() || threads.empty()) return;
  static std::mutex mutex;
  static auto& abandoned = *new std::vector<std::vector<std::thread>>;  // never destroyed
  const std::lock_guard lock(mutex);
  abandoned.push_back(std::exchange(threads, {}));
}

}  // namespace weft
