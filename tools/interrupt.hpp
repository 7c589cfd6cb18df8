// Ctrl-C: what is running ends after the batch at hand.
#pragma once

#include <cstddef>
#include <vector>

#include "nn/callbacks.hpp"

namespace weft::tools {

/// While it lives, SIGINT and SIGTERM are noted; a second one ends the program at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  /// Ends training by an Interrupted after the batch in which it came. An epoch that is broken off
  /// does not end: nothing saves it as a whole one. It must be the last of the callbacks, so that
  /// one before it can keep the state of training, by stops().
  static nn::Callback callback();
  /// Does training end after the batch at hand?
  static bool stops();

 private:
  std::vector<std::byte> stack_;  // of the handler, unless the thread has one
};

}  // namespace weft::tools
