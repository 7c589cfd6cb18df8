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
  static bool interrupted() noexcept;
  /// Stops training after the batch in which it came.
  static nn::Callback callback();
};

}  // namespace weft::tools
