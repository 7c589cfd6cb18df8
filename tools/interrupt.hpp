// Ctrl-C: what is running ends after the batch at hand.
#pragma once

#include "nn/callbacks.hpp"

namespace weft::tools {

/// While it lives, SIGINT and SIGTERM are noted; a second one ends the program at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  /// Throws Interrupted after the batch in which it came. An epoch that is broken off does not end:
  /// nothing saves it as a whole one, and the state of training that --resume keeps stays.
  static nn::Callback callback();
};

}  // namespace weft::tools
