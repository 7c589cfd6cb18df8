// CoreTurn: runs that use several threads each do not fight for the same cores.
#pragma once

namespace weft {

/// While it lives, so many cores are the calling thread's, with the threads that OpenMP gives it.
/// Others who want several wait in the order in which they came, until there are as many left.
/// Without that, two runs that need all cores take longer side by side than one after the other,
/// since each waits inside its loops for threads that the other one keeps from running. One core, or
/// none, is never waited for. Not to be nested.
class CoreTurn {
 public:
  explicit CoreTurn(int cores);
  ~CoreTurn();
  CoreTurn(const CoreTurn&) = delete;
  CoreTurn& operator=(const CoreTurn&) = delete;

 private:
  const int count_;
};

}  // namespace weft
