#include "runtime/run_mode.hpp"

#include <omp.h>

namespace weft {
namespace {

/// Brings OpenMP's threads of the calling thread into the mode. OpenMP keeps them from one region
/// to the next, so it is done once for each number of them that is more than before.
void prepare_workers(int threads) {
  thread_local int prepared = 1;
  if (threads <= prepared || omp_get_active_level() >= omp_get_max_active_levels()) return;
#pragma omp parallel num_threads(threads)
  {
    if (omp_get_thread_num() > 0) {
      block_signals();  // the process' signals go to other threads
      FlushDenormals::set(FlushDenormals::flush);
    }
  }
  prepared = threads;
}

}  // namespace

RunMode::RunMode(int threads, bool block_signals) : signals_(block_signals || threads > 1) {
  prepare_workers(threads);
}

}  // namespace weft
