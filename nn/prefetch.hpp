// Prefetcher: makes batches in threads of its own, ahead of the steps that need them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "nn/dataset.hpp"

namespace weft::nn {

/// Some rows of columns, made at once: `to` gets a tensor f32[rows,...] for each column, in the
/// memory that it has if that fits.
void make_batch(std::span<const Column> columns, std::span<const std::int64_t> rows,
                std::uint64_t pass, std::vector<Tensor>& to);

/// Rows of columns, batch by batch in the order given. What a batch has depends on the order and
/// the pass alone, whoever makes it and when.
class Prefetcher {
 public:
  /// The order must live as long; `ahead` is at least 1.
  Prefetcher(std::vector<Column> columns, std::span<const std::int64_t> order,
             std::int64_t batch_size, std::uint64_t pass, int ahead, int threads);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Waits for the next batch: a tensor f32[rows,...] for each column, there until the next call.
  /// Throws what making it threw.
  std::span<const Tensor> next();

 private:
  struct Slot {
    std::vector<Tensor> tensors{};
    std::optional<std::int64_t> ready{};  ///< which batch it has
    std::exception_ptr error{};
  };
  /// What the threads have in common.
  struct Shared {
    explicit Shared(std::size_t count) : slots(count) {}
    Slot& slot_of(std::int64_t batch) {
      return slots[static_cast<std::size_t>(batch) % slots.size()];
    }
    std::vector<Slot> slots;
    std::mutex mutex;
    std::condition_variable made, taken;
    std::int64_t claimed = 0;   // the next that nobody makes yet
    std::int64_t current = -1;  // which next() returned last
    bool stop = false;
  };
  void work();
  std::span<const std::int64_t> rows_of(std::int64_t batch) const;

  std::vector<Column> columns_;
  std::span<const std::int64_t> order_;
  std::int64_t batch_size_, batches_;
  std::uint64_t pass_;
  std::unique_ptr<Shared> shared_;
  std::uint32_t forks_;               // fork_count() when the threads were made
  std::vector<Tensor> own_;           // made in a forked child, which has none of the threads
  std::vector<std::thread> threads_;  // last: they use all the others
};

}  // namespace weft::nn
