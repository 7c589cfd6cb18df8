// Who reads and who changes variables: the locks that runs of executables and Variables take.
// Included by .cpp files only.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace weft {

/// Held by any number of readers, or by one who changes variables. One who waits to do that goes
/// before readers who come later, so that predictions without end do not keep a training step
/// waiting. So nobody may take it twice.
class VariableLock {
 public:
  VariableLock() {
    pthread_rwlockattr_t kind;
    pthread_rwlockattr_init(&kind);
    pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&lock_, &kind);
    pthread_rwlockattr_destroy(&kind);
  }
  ~VariableLock() { pthread_rwlock_destroy(&lock_); }
  VariableLock(const VariableLock&) = delete;
  VariableLock& operator=(const VariableLock&) = delete;

  void lock() { pthread_rwlock_wrlock(&lock_); }
  void lock_shared() { pthread_rwlock_rdlock(&lock_); }
  void unlock() { pthread_rwlock_unlock(&lock_); }
  void unlock_shared() { unlock(); }

 private:
  pthread_rwlock_t lock_;
};

/// The locks of several variables. Variables of one set mostly share one.
class VariableLocks {
 public:
  void add(const std::shared_ptr<VariableLock>& lock, bool changes) {
    const auto place = std::ranges::lower_bound(locks_, lock.get(), std::less<>(),
                                                [](const Use& use) { return use.lock.get(); });
    if (place != locks_.end() && place->lock == lock) {
      place->changes = place->changes || changes;
    } else {
      locks_.insert(place, {lock, changes});
    }
  }

  /// Holds all of them. They are taken in one order, by address, so that nobody waits in a circle.
  class Held {
   public:
    explicit Held(const VariableLocks& locks) : locks_(locks) {
      for (const Use& use : locks_.locks_) use.changes ? use.lock->lock() : use.lock->lock_shared();
    }
    ~Held() {
      for (const Use& use : locks_.locks_) use.lock->unlock();
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    const VariableLocks& locks_;
  };

 private:
  struct Use {
    std::shared_ptr<VariableLock> lock;
    bool changes;
  };
  std::vector<Use> locks_;  // by address
};

}  // namespace weft
