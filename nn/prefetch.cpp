#include "nn/prefetch.hpp"

#include <algorithm>
#include <system_error>

#include "graph/error.hpp"
#include "nn/shapes.hpp"
#include "runtime/fork.hpp"
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
      shared_(std::make_unique<Shared>(static_cast<std::size_t>(ahead) + 1)),
      forks_(fork_count()) {
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
  if (forks_ != fork_count()) {
    abandon_if_forked(threads_, forks_);
    // Its condition variables would wait for threads that are not there.
    static_cast<void>(shared_.release());
    return;
  }
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stop = true;
  }
  shared_->taken.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::span<const std::int64_t> Prefetcher::rows_of(std::int64_t batch) const {
  const std::int64_t first = batch * batch_size_;
  const std::int64_t count =
      std::min(batch_size_, static_cast<std::int64_t>(order_.size()) - first);
  return order_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

void Prefetcher::work() {
  Shared& shared = *shared_;
  for (;;) {
    std::unique_lock lock(shared.mutex);
    const auto slots = static_cast<std::int64_t>(shared.slots.size());
    // The slot of the batch at hand is not free, and those before it are.
    shared.taken.wait(lock, [&] {
      return shared.stop || shared.claimed == batches_ ||
             shared.claimed < std::max<std::int64_t>(shared.current, 0) + slots;
    });
    if (shared.stop || shared.claimed == batches_) return;
    const std::int64_t batch = shared.claimed++;
    Slot& slot = shared.slot_of(batch);
    lock.unlock();

    std::exception_ptr error;
    try {
      make_batch(columns_, rows_of(batch), pass_, slot.tensors);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = error;
    slot.ready = batch;
    lock.unlock();
    shared.made.notify_all();
  }
}

std::span<const Tensor> Prefetcher::next() {
  if (forks_ != fork_count()) {
    make_batch(columns_, rows_of(++shared_->current), pass_, own_);
    return own_;
  }
  std::unique_lock lock(shared_->mutex);
  const std::int64_t batch = ++shared_->current;
  shared_->taken.notify_all();
  Slot& slot = shared_->slot_of(batch);
  shared_->made.wait(lock, [&] { return slot.ready == batch; });
  if (slot.error) std::rethrow_exception(slot.error);
  return slot.tensors;
}

}  // namespace weft::nn
