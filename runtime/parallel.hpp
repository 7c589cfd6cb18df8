// The threads of this replica: how many, and a loop cut among them, as oneDNN's own primitives are.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstddef>

namespace weft {

/// The calling thread's number of OpenMP threads, for as long as this lives.
class ThreadCount {
 public:
  explicit ThreadCount(int count) : before_(omp_get_max_threads()) {
    if (count != before_) omp_set_num_threads(count);
  }
  ~ThreadCount() { omp_set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

/// Calls f(first, last) for consecutive ranges that together are [0, count), each range by one
/// thread. Ranges depend on count, grain and the number of threads only, so results do too.
///   grain   the least number of items worth a thread of their own
template <class F>
void parallel_for(std::size_t count, std::size_t grain, F f) {
  const std::size_t threads =
      std::min<std::size_t>(static_cast<std::size_t>(omp_get_max_threads()),
                            (count + grain - 1) / std::max<std::size_t>(grain, 1));
  if (threads <= 1) {
    if (count > 0) f(std::size_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(static_cast <int>(threads))
  {
    const auto i = static_cast<std::size_t>(omp_get_thread_num());
    const std::size_t first = count * i / threads, last = count * (i + 1) / threads;
    if (first < last) f(first, last);
  }
}

}  // namespace weft
