#include "io/keras/trial.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace weft {
namespace {

constexpr rlim_t most_seconds = 60;

/// A crash is expected here: no core file, no message of the C library's, no handler of the host's.
void be_quiet() {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
  const rlimit no_core{0, 0}, time{most_seconds, most_seconds};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::setrlimit(RLIMIT_CPU, &time);
  for (const int crash : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP, SIGXCPU}) {
    ::signal(crash, SIG_DFL);
  }
}

}  // namespace

bool survives(const std::function<void()>& function) {
  std::array<int, 2> ends{};  // read, write
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return true;
  const pid_t child = ::fork();
  if (child == 0) {
    be_quiet();
    try {
      function();
    } catch (...) {
    }
    const char done = 1;
    ::_exit(::write(ends[1], &done, 1) == 1 ? 0 : 1);
  }
  ::close(ends[1]);
  // By a byte, not by the exit code: a host that waits for children of its own may get that.
  char done = child < 0 ? 1 : 0;
  while (child > 0 && ::read(ends[0], &done, 1) < 0 && errno == EINTR) {
  }
  ::close(ends[0]);
  while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return done == 1;
}

}  // namespace weft
