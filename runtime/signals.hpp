// Which threads signals may interrupt. A handler runs on the stack of the thread that it
// interrupts, and some versions of oneDNN do not keep one there (onednn::corrupts_below_stack).
#pragma once

#include <pthread.h>

#include <csignal>
#include <initializer_list>

namespace weft {

/// All signals that come from outside. What a thread raises by its own fault cannot wait.
inline sigset_t outside_signals() noexcept {
  sigset_t signals;
  sigfillset(&signals);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
    sigdelset(&signals, own);
  }
  return signals;
}

/// From now on the calling thread, and those that it starts, leave such signals to others.
inline void block_signals() noexcept {
  const sigset_t signals = outside_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

/// The same for as long as this lives; they come when it ends. If it is not to be, nothing happens.
class SignalsBlocked {
 public:
  explicit SignalsBlocked(bool active = true) noexcept : active_(active) {
    if (!active_) return;
    const sigset_t signals = outside_signals();
    active_ = pthread_sigmask(SIG_BLOCK, &signals, &before_) == 0;
  }
  ~SignalsBlocked() {
    if (active_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  bool active_;
  sigset_t before_;
};

}  // namespace weft
