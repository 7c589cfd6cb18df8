#include "runtime/team.hpp"

#include <omp.h>

#include <map>

namespace weft {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Returns when the value is no longer `old`. A meeting of replicas is a matter of microseconds if
/// each has a core; if not, spinning would keep the others from coming.
void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < 4000; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

Team::Team(std::size_t replicas) : replicas_(replicas) {
  for (std::size_t r = 1; r < replicas; ++r) threads_.emplace_back([this, r] { serve(r); });
}

Team::~Team() {
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
  if (!team) team = std::make_shared<Team>(replicas);
  return team;
}

void Team::serve(std::size_t replica) {
  std::uint32_t seen = 0;
  for (;;) {
    wait_while(started_, seen);
    seen = started_.load(std::memory_order_acquire);
    if (closing_) return;
    omp_set_num_threads(threads_each_);
    work_as(replica);
    finished_.fetch_add(1, std::memory_order_release);
    finished_.notify_one();
  }
}

void Team::work_as(std::size_t replica) {
  try {
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
  work_ = &work;
  threads_each_ = threads_each;
  error_ = nullptr;
  failed_ = false;
  arrived_.store(0, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  const int own_threads = omp_get_max_threads();
  omp_set_num_threads(threads_each);
  work_as(0);
  omp_set_num_threads(own_threads);
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
