#include "runtime/threads.hpp"

#include <omp.h>

#include <atomic>

#include "graph/error.hpp"
#include "runtime/config.hpp"
#include "runtime/onednn.hpp"

namespace weft {
namespace {

std::atomic<int> chosen{0};

}  // namespace

int thread_count() {
  if (omp_get_active_level() >= omp_get_max_active_levels()) return 1;
  if (const int count = chosen; count > 0) return count;
  if (config().threads > 0) return config().threads;
  return omp_get_max_threads();
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
