// What a thread that runs steps has to be in: denormal numbers are zero, and signals wait where
// they would do harm.
#pragma once

#include "runtime/denormals.hpp"
#include "runtime/signals.hpp"

namespace weft {

/// Holds for the calling thread as long as this lives. The OpenMP threads that its primitives use
/// are brought into the same mode once, and stay so: a meeting of all of them at each run would
/// cost more than a small step. Threads of a Team are so from their beginning.
class RunMode {
 public:
  /// threads        that primitives may use, with the calling one
  /// block_signals  does any step leave no stack for a handler?
  RunMode(int threads, bool block_signals);
  RunMode(const RunMode&) = delete;
  RunMode& operator=(const RunMode&) = delete;

 private:
  const SignalsBlocked signals_;  // first: threads that OpenMP starts during the run inherit both
  const FlushDenormals flush_;
};

}  // namespace weft
