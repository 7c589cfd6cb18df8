#include "runtime/core_turn.hpp"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>

namespace weft {
namespace {

class Cores {
 public:
  static Cores& shared() {
    static Cores& cores = *new Cores;  // threads may outlive static objects
    return cores;
  }
  int all() const noexcept { return all_; }

  void take(int count) {
    Waiting self{count};
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty() && free_ >= count) {
        free_ -= count;
        return;
      }
      queue_.push_back(&self);
    }
    self.may_go.wait(false);
    const std::lock_guard lock(mutex_);  // who said so is done with `self`
  }

  void give_back(int count) {
    const std::lock_guard lock(mutex_);
    free_ += count;
    while (!queue_.empty() && queue_.front()->count <= free_) {
      Waiting& next = *queue_.front();
      queue_.pop_front();
      free_ -= next.count;
      next.may_go = true;
      next.may_go.notify_one();
    }
  }

 private:
  struct Waiting {
    explicit Waiting(int n) : count(n) {}
    const int count;
    std::atomic<bool> may_go{false};
  };

  const int all_ = std::max(1, omp_get_num_procs());
  std::mutex mutex_;
  int free_ = all_;
  std::deque<Waiting*> queue_;
};

}  // namespace

CoreTurn::CoreTurn(int cores) : count_(cores > 1 ? std::min(cores, Cores::shared().all()) : 0) {
  if (count_ > 0) Cores::shared().take(count_);
}

CoreTurn::~CoreTurn() {
  if (count_ > 0) Cores::shared().give_back(count_);
}

}  // namespace weft
