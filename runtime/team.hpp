// Team: the threads that run replicas side by side, and the barrier where they meet.
// Included by .cpp files only.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace weft {

/// A fixed number of replicas: the caller's thread is the first, the others wait between runs.
/// Waiting spins briefly and then sleeps, so that a machine that is shared is not burnt up.
class Team {
 public:
  /// pin: each replica runs on cores of its own, as many as it has threads, among those that the
  /// calling thread may use now; if they do not suffice, it is as if not asked for.
  explicit Team(std::size_t replicas, bool pin = false);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  /// The process' team of that size, made when first asked for; pinned if WEFT_PIN says so.
  static std::shared_ptr<Team> of(std::size_t replicas);

  std::size_t size() const noexcept { return replicas_; }

  /// Calls work(0), ..., work(size() - 1), each in its own thread with that many OpenMP threads,
  /// and returns when all have. One run at a time: others wait. Rethrows the first exception of
  /// any; the others, who may stand at a barrier then, are let go.
  void run(int threads_each, const std::function<void(std::size_t replica)>& work);

  /// To be called within run() by all replicas alike: returns when all have come.
  void barrier();

 private:
  struct Interrupted {};  // thrown out of barrier() when another replica has failed

  /// Makes the other threads, also once more in a forked child, which has none of them.
  void start_threads();
  void serve(std::size_t replica, std::uint32_t seen);
  void close();
  void work_as(std::size_t replica);
  /// The cores of a replica; none: any.
  std::span<const int> cores_of(std::size_t replica) const;

  const std::size_t replicas_;
  std::vector<int> cores_;  // to be pinned to; empty: replicas are not pinned
  std::mutex running_;
  // The run at hand, written before `started_` is raised.
  const std::function<void(std::size_t)>* work_ = nullptr;
  int threads_each_ = 1;
  std::mutex error_mutex_;
  std::exception_ptr error_;

  alignas(64) std::atomic<std::uint32_t> started_{0};   // runs begun; odd sizes do not matter
  alignas(64) std::atomic<std::uint32_t> finished_{0};  // replicas that have finished this run
  alignas(64) std::atomic<std::uint32_t> arrived_{0};   // at the barrier
  alignas(64) std::atomic<std::uint32_t> passed_{0};    // barriers passed, or broken off
  std::atomic<bool> failed_{false}, closing_{false};
  std::vector<std::thread> threads_;
  std::uint32_t forks_ = 0;  // fork_count() when they were made
};

}  // namespace weft
