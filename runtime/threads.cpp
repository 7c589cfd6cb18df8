#include "runtime/threads.hpp"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "graph/error.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/config.hpp"
#include "runtime/onednn.hpp"

namespace weft {
namespace {

std::atomic<int> chosen{0};
// What OpenMP says of itself, unless a program tells it otherwise later.
const int of_openmp = omp_get_max_threads();

/// The processors that the process may use at a time: what its affinity allows, and the quota of
/// its control group, rounded up, as of the first time.
int processors() {
  static const int quota = [] {
    const auto limit = cpu_quota("/");
    return limit && *limit < 1e6 ? std::max(static_cast<int>(std::ceil(*limit)), 1) : 1 << 20;
  }();
  return std::min(omp_get_num_procs(), quota);
}

}  // namespace

int thread_count() {
  if (omp_get_active_level() >= omp_get_max_active_levels()) return 1;
  if (const int count = chosen; count > 0) return count;
  if (config().threads > 0) return config().threads;
  const int count = omp_get_max_threads();
  if (config().has_openmp_threads || count != of_openmp) return count;  // somebody wants so many
  return std::min(count, processors());
}

void set_threads(int count) {
  if (count < 0) {
    fail<ArgumentError>("set_threads: the count must be at least 1, or 0 to unset it; not {}",
                        count);
  }
  chosen = count;
}

std::string onednn_version() { return onednn::version(); }
std::string instruction_set() { return onednn::isa(); }

}  // namespace weft
