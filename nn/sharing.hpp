// Sharing: what lets several threads use one model.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "runtime/fork.hpp"

namespace weft::nn {

/// The locks of a model. A copy has its own, since nobody uses it yet; so has a model that was
/// moved, which nobody may use while that happens.
class Sharing {
 public:
  Sharing() = default;
  Sharing(const Sharing&) noexcept {}
  Sharing(Sharing&&) noexcept {}
  Sharing& operator=(const Sharing&) noexcept { return *this; }
  Sharing& operator=(Sharing&&) noexcept { return *this; }

  /// A look at what is known of the model. Nothing that takes long happens within.
  class Look {
   public:
    explicit Look(Sharing& sharing) : lock_(sharing.looking_) {}

   private:
    const Section section_{Section::Kind::step};
    const std::lock_guard<std::mutex> lock_;
  };

  /// Weights are made, or a step is compiled: one thread after the other. Those that find what they
  /// need do not wait for it.
  class Making {
   public:
    explicit Making(Sharing& sharing) : lock_(sharing.making_) {}

   private:
    const Section section_{Section::Kind::compile};
    const std::lock_guard<std::recursive_mutex> lock_;
  };

  enum class Length : std::uint8_t {
    batch,  ///< others wait for their turn
    fit,    ///< others are refused
  };
  /// One thread at a time trains, and may begin to do so again within that: a callback of fit may
  /// call train_on_batch. Throws BusyError if another thread is within fit, and if fit finds it
  /// training. In a forked child, what threads of the parent did is over.
  class Training {
   public:
    Training(Sharing& sharing, std::string_view who, Length length);
    ~Training();
    Training(const Training&) = delete;
    Training& operator=(const Training&) = delete;

   private:
    bool begin(std::string_view who, Length length);

    Sharing& sharing_;
    bool was_fit_ = false;
  };

  /// Throws BusyError while another thread trains.
  void expect_no_training(std::string_view who);

 private:
  bool is_trained_by_others() const noexcept;

  std::mutex looking_;
  std::recursive_mutex making_;
  // Who trains, guarded by looking_.
  std::uint64_t trainer_ = 0;        // thread_number()
  std::uint32_t trainer_forks_ = 0;  // fork_count() then
  int depth_ = 0;
  bool is_fit_ = false;
  std::atomic<std::uint32_t> trained_{0};  // changes when somebody is done
};

}  // namespace weft::nn
