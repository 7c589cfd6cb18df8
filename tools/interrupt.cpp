#include "tools/interrupt.hpp"

#include <csignal>

#include "nn/model.hpp"
#include "tools/commands.hpp"

namespace weft::tools {
namespace {

volatile std::sig_atomic_t came = 0;
// Seen once for each batch, so that all who ask about it get one answer.
bool stopping = false;

// For the handler and what the processor saves of its registers, with room to spare.
constexpr std::size_t stack_size = 64 * 1024;

void note(int) { came = 1; }

void set(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  // The second one finds what was there before, and is not waited for. On a stack of its own, since
  // the thread's may not be there (onednn::corrupts_below_stack).
  action.sa_flags =
      handler == SIG_DFL ? 0 : static_cast<int>(SA_RESETHAND | SA_RESTART | SA_ONSTACK);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  came = 0;
  stopping = false;
  stack_t now{};
  if (sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0) {
    stack_.resize(stack_size);
    const stack_t own{.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
    if (sigaltstack(&own, nullptr) != 0) stack_.clear();
  }
  set(note);
}

InterruptGuard::~InterruptGuard() {
  set(SIG_DFL);
  if (stack_.empty()) return;
  const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
  sigaltstack(&none, nullptr);
}

bool InterruptGuard::stops() { return stopping; }

nn::Callback InterruptGuard::callback() {
  nn::Callback callback;
  callback.on_train_batch_end = [](nn::Model&, std::int64_t, nn::Logs&) { stopping = came != 0; };
  callback.on_state = [](nn::Model&, const std::function<nn::FitState()>&) {
    if (stopping) throw Interrupted("stopped");
  };
  return callback;
}

}  // namespace weft::tools
