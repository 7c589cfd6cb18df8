// What keeps a process whole when it forks. Only the thread that forks goes on in the child, so
// whatever another thread is in the middle of stays so for ever: a lock that it holds, a list that
// it changes, a variable that it has half updated. A fork therefore waits until all threads are
// outside such work, and no other begins any before the child is there.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

namespace weft {

/// While one lives, no other thread's fork() gets through. Every lock of Weft is taken within one,
/// so that all of them are free in the child. Sections nest; they must be short, since a fork waits
/// for them: no call of the user's that may wait for something itself belongs into one.
class Section {
 public:
  enum class Kind : std::uint8_t {
    step,     ///< one run of an executable, one look at shared state
    compile,  ///< may take seconds, and runs steps; never begun within a `step`
  };
  explicit Section(Kind kind) noexcept;
  ~Section();
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

 private:
  const Kind kind_;
};

/// How many forks lie between this process and the one in which Weft was started. Threads that were
/// made when this was less do not exist.
std::uint32_t fork_count() noexcept;

/// Of the calling thread: another for each thread that there ever was, also across forks.
std::uint64_t thread_number() noexcept;

/// Whether that thread, which was noted when fork_count() was `noted_at`, is in this process.
bool is_here(std::uint64_t thread, std::uint32_t noted_at) noexcept;

/// Forgets threads that were made when fork_count() was another: they can neither be joined nor
/// destroyed.
void abandon_if_forked(std::vector<std::thread>& threads, std::uint32_t made_at);

}  // namespace weft
