#include "runtime/run_mode.hpp"

#include <omp.h>

namespace weft {
namespace {

/// Of an OpenMP thread: is it in the mode, and which one did it have before?
struct Worker {
  bool is_flushing = false, has_blocked = false;
  std::uint64_t before = 0;
};
thread_local Worker worker;

/// Calls f in each OpenMP thread of the calling one. OpenMP keeps them from one region to the next,
/// unless there is one with fewer between; then it starts others, with the caller's mode and mask.
template <class F>
void in_workers(int threads, F f) {
  if (threads <= 1 || omp_get_active_level() >= omp_get_max_active_levels()) return;
#pragma omp parallel num_threads(threads)
  {
    if (omp_get_thread_num() > 0) f();
  }
}

}  // namespace

RunMode::RunMode(int threads, bool block_signals) : threads_(threads), signals_(block_signals) {
  in_workers(threads_, [block_signals] {
    // For good: the caller's thread takes the process' signals.
    if (block_signals && !worker.has_blocked) weft::block_signals();
    worker.has_blocked |= block_signals;
    worker.before = FlushDenormals::bits() & FlushDenormals::flush;
    worker.is_flushing = true;
    FlushDenormals::set(FlushDenormals::flush);
  });
}

RunMode::~RunMode() {
  in_workers(threads_, [before = before_] {
    FlushDenormals::set(worker.is_flushing ? worker.before : before);
    worker.is_flushing = false;
  });
}

}  // namespace weft
