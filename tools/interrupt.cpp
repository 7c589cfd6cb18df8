#include "tools/interrupt.hpp"

#include <csignal>

#include "nn/model.hpp"
#include "tools/commands.hpp"

namespace weft::tools {
namespace {

volatile std::sig_atomic_t came = 0;
// Seen once for each batch, so that all who ask about it get one answer.
bool stopping = false;

void note(int) { came = 1; }

void set(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  // The second one finds what was there before, and is not waited for.
  action.sa_flags = handler == SIG_DFL ? 0 : static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  came = 0;
  stopping = false;
  set(note);
}
InterruptGuard::~InterruptGuard() { set(SIG_DFL); }

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
