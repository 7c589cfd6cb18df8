#include "runtime/team.hpp"

#include <sched.h>

#include <chrono>
#include <map>
#include <system_error>

#include "graph/error.hpp"
#include "runtime/config.hpp"
#include "runtime/denormals.hpp"
#include "runtime/fork.hpp"
#include "runtime/parallel.hpp"
#include "runtime/signals.hpp"

namespace weft {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Returns when the value is no longer `old`. A meeting of replicas is a matter of microseconds if
/// each has a core. If another program has taken one of the cores, a replica that sleeps soon
/// leaves its own to the one that is waited for: with a busy loop on one of two cores, steps
/// took 1.13 times as long as one replica's on a quiet machine, and 1.24 times when it spun for 100
/// microseconds. The spin is bounded in time and not in turns, since a pause takes 4 ns on one
/// processor and 40 on another.
void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  using Clock = std::chrono::steady_clock;
  constexpr auto spin = std::chrono::microseconds(20);
  constexpr int turns = 32;  // between two looks at the clock
  const auto start = Clock::now();
  do {
    for (int i = 0; i < turns; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (Clock::now() - start < spin);
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

/// Keeps the calling thread on the given cores for as long as this lives; on any if there are none.
class Pinned {
 public:
  explicit Pinned(std::span<const int> cores) : active_(!cores.empty()) {
    if (!active_) return;
    active_ = sched_getaffinity(0, sizeof before_, &before_) == 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) CPU_SET(core, &set);
    if (active_) sched_setaffinity(0, sizeof set, &set);
  }
  ~Pinned() {
    if (active_) sched_setaffinity(0, sizeof before_, &before_);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  bool active_;
  cpu_set_t before_;
};

/// Those that the calling thread may use.
std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

}  // namespace

Team::Team(std::size_t replicas, bool pin) : replicas_(replicas) {
  if (pin) cores_ = allowed_cores();
  start_threads();
}

void Team::start_threads() {
  abandon_if_forked(threads_, forks_);
  if (!threads_.empty()) return;
  forks_ = fork_count();
  const SignalsBlocked blocked;  // the threads inherit it
  try {
    for (std::size_t r = 1; r < replicas_; ++r) {
      threads_.emplace_back([this, r, seen = started_.load()] { serve(r, seen); });
    }
  } catch (const std::system_error& error) {
    const std::size_t had = threads_.size() + 1;
    close();
    threads_.clear();
    closing_ = false;
    fail<MemoryError>(
        "team: the system starts no more than {} of {} threads ({}): allow more, or compute with "
        "fewer (set_threads, WEFT_THREADS)",
        had, replicas_, error.code().message());
  }
}

Team::~Team() { close(); }

void Team::close() {
  abandon_if_forked(threads_, forks_);
  closing_ = true;
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::shared_ptr<Team> Team::of(std::size_t replicas) {
  static std::mutex mutex;
  static std::map<std::size_t, std::shared_ptr<Team>> teams;
  const std::lock_guard lock(mutex);
  auto& team = teams[replicas];
  if (!team) team = std::make_shared<Team>(replicas, config().pin);
  return team;
}

std::span<const int> Team::cores_of(std::size_t replica) const {
  const auto each = static_cast<std::size_t>(threads_each_);
  if (cores_.size() < replicas_ * each) return {};
  return std::span(cores_).subspan(replica * each, each);
}

void Team::serve(std::size_t replica, std::uint32_t seen) {
  const FlushDenormals flush;  // these threads run steps and nothing else
  for (;;) {
    wait_while(started_, seen);
    seen = started_.load(std::memory_order_acquire);
    if (closing_) return;
    work_as(replica);
    finished_.fetch_add(1, std::memory_order_release);
    finished_.notify_one();
  }
}

void Team::work_as(std::size_t replica) {
  const ThreadCount threads(threads_each_);
  try {
    const Pinned pinned(cores_of(replica));
    (*work_)(replica);
  } catch (const Interrupted&) {
    // Another replica has failed, and keeps the reason.
  } catch (...) {
    {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
    failed_ = true;
    passed_.fetch_add(1, std::memory_order_release);
    passed_.notify_all();
  }
}

void Team::run(int threads_each, const std::function<void(std::size_t)>& work) {
  const std::lock_guard lock(running_);
  start_threads();
  work_ = &work;
  threads_each_ = threads_each;
  error_ = nullptr;
  failed_ = false;
  arrived_.store(0, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  work_as(0);
  const auto others = static_cast<std::uint32_t>(replicas_ - 1);
  for (std::uint32_t count = finished_.load(std::memory_order_acquire); count != others;
       count = finished_.load(std::memory_order_acquire)) {
    wait_while(finished_, count);
  }
  if (error_) std::rethrow_exception(error_);
}

void Team::barrier() {
  const std::uint32_t before = passed_.load(std::memory_order_acquire);
  if (failed_) throw Interrupted{};
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == replicas_) {
    arrived_.store(0, std::memory_order_relaxed);
    passed_.fetch_add(1, std::memory_order_release);
    passed_.notify_all();
  } else {
    wait_while(passed_, before);
  }
  if (failed_) throw Interrupted{};
}

}  // namespace weft
