// A team that somebody else holds: whoever needs it waits until this is gone.
#pragma once

#include <atomic>
#include <thread>

#include "runtime/team.hpp"

namespace weft::test {

class HeldTeam {
 public:
  explicit HeldTeam(std::size_t replicas)
      : holder_([this, replicas] {
          Team::of(replicas)->run(1, [this](std::size_t) {
            held_ = true;
            while (!done_) std::this_thread::yield();
          });
        }) {
    while (!held_) std::this_thread::yield();
  }
  ~HeldTeam() {
    done_ = true;
    holder_.join();
  }
  HeldTeam(const HeldTeam&) = delete;
  HeldTeam& operator=(const HeldTeam&) = delete;

 private:
  std::atomic<bool> held_{false}, done_{false};
  std::thread holder_;
};

}  // namespace weft::test
