// What a thread that runs steps has to be in: denormal numbers are zero, and signals wait where
// they would do harm.
#pragma once

#include "runtime/denormals.hpp"
#include "runtime/signals.hpp"

namespace weft {

/// Holds for the calling thread, and for the OpenMP threads that its primitives will use, as long
/// as this lives. Threads of a Team are so from their beginning.
class RunMode {
 public:
  /// threads        that primitives may use, with the calling one
  /// block_signals  does any step leave no stack for a handler?
  RunMode(int threads, bool block_signals);
  ~RunMode();
  RunMode(const RunMode&) = delete;
  RunMode& operator=(const RunMode&) = delete;

 private:
  const int threads_;
  const SignalsBlocked signals_;  // first, so that threads that OpenMP starts now have it, too
  const std::uint64_t before_ = FlushDenormals::bits() & FlushDenormals::flush;
  const FlushDenormals flush_;
};

}  // namespace weft
