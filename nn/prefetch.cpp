#include "nn/prefetch.hpp"

#include <algorithm>
#include <system_error>

#include "graph/error.hpp"
#include "nn/shapes.hpp"
#include "runtime/signals.hpp"

namespace weft::nn {

void make_batch(std::span<const Column> columns, std::span<const std::int64_t> rows,
                std::uint64_t pass, std::vector<Tensor>& to) {
  to.resize(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Shape shape = with_batch(static_cast<std::int64_t>(rows.size()), columns[i].row_shape());
    if (!to[i] || to[i].shape() != shape) to[i] = Tensor(Type{DType::f32, shape});
  }
  Column::make(columns, rows, to, pass);
}

Prefetcher::Prefetcher(std::vector<Column> columns, std::span<const std::int64_t> order,
                       std::int64_t batch_size, std::uint64_t pass, int ahead, int threads)
    : columns_(std::move(columns)),
      order_(order),
      batch_size_(batch_size),
      batches_((static_cast<std::int64_t>(order.size()) + batch_size - 1) / batch_size),
      pass_(pass),
      slots_(static_cast<std::size_t>(ahead) + 1) {
  const auto most = std::min<std::int64_t>(threads, batches_);
  const SignalsBlocked blocked;  // the threads inherit it
  try {
    for (std::int64_t i = 0; i < most; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    if (!threads_.empty()) return;  // fewer do it, too
    fail<MemoryError>("prefetch: the system starts no thread ({}): allow more, or do without",
                      error.code().message());
  }
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  taken_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Prefetcher::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    const auto slots = static_cast<std::int64_t>(slots_.size());
    // The slot of the batch at hand is not free, and those before it are.
    taken_.wait(lock, [&] {
      return stop_ || claimed_ == batches_ ||
             claimed_ < std::max<std::int64_t>(current_, 0) + slots;
    });
    if (stop_ || claimed_ == batches_) return;
    const std::int64_t batch = claimed_++;
    Slot& slot = slot_of(batch);
    lock.unlock();

    const std::int64_t first = batch * batch_size_;
    const std::int64_t count =
        std::min(batch_size_, static_cast<std::int64_t>(order_.size()) - first);
    std::exception_ptr error;
    try {
      make_batch(columns_,
                 order_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                 pass_, slot.tensors);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = error;
    slot.ready = batch;
    lock.unlock();
    made_.notify_all();
  }
}

std::span<const Tensor> Prefetcher::next() {
  std::unique_lock lock(mutex_);
  const std::int64_t batch = ++current_;
  taken_.notify_all();
  Slot& slot = slot_of(batch);
  made_.wait(lock, [&] { return slot.ready == batch; });
  if (slot.error) std::rethrow_exception(slot.error);
  return slot.tensors;
}

}  // namespace weft::nn
