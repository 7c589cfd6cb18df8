#include "tools/interrupt.hpp"

#include <csignal>

#include "nn/model.hpp"
#include "tools/commands.hpp"

namespace weft::tools {
namespace {

volatile std::sig_atomic_t noted = 0;

void note(int) { noted = 1; }

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
  noted = 0;
  set(note);
}
InterruptGuard::~InterruptGuard() { set(SIG_DFL); }

nn::Callback InterruptGuard::callback() {
  return {.on_train_batch_end = [](nn::Model&, std::int64_t, nn::Logs&) {
    if (noted != 0) throw Interrupted("stopped");
  }};
}

}  // namespace weft::tools
