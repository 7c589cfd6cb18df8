// Model::MadeRows: the batches of columns that a Source makes, for the loops of training.cpp alone.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "nn/model.hpp"
#include "nn/prefetch.hpp"

namespace weft::nn {

/// Rows that are made as they are needed, of all columns of a data set that has such, batch by
/// batch: ahead, or when it is their turn.
class Model::MadeRows {
 public:
  MadeRows(const Dataset& data, std::span<const std::int64_t> order, std::int64_t batch_size,
           std::uint64_t seed, std::int64_t iteration, bool with_targets)
      : order_(order), batch_size_(batch_size) {
    const auto add = [&](const Column& column) {
      if (!column.is_made()) return;
      places_.emplace_back(&column, columns_.size());
      columns_.push_back(column);
    };
    for (std::size_t i = 0; i < data.inputs(); ++i) add(data.x(i));
    for (std::size_t i = 0; with_targets && i < data.targets(); ++i) {
      add(data.y(i));
      if (i < data.sample_weights()) add(data.sample_weight(i));
    }
    if (columns_.empty()) return;
    pass_ = Random(seed, fmt::format("pass {}", iteration)).bits();
    if (data.prefetched_batches() == 0) return;
    prefetcher_.emplace(columns_, order, batch_size, pass_, data.prefetched_batches(),
                        data.prefetch_threads());
  }

  /// Goes on to the next batch. Throws what making it throws.
  void next() {
    if (columns_.empty()) return;
    if (prefetcher_) {
      batch_ = prefetcher_->next();
      return;
    }
    const auto count = std::min(order_.size(), static_cast<std::size_t>(batch_size_));
    make_batch(columns_, order_.first(count), pass_, own_);
    order_ = order_.subspan(count);
    batch_ = own_;
  }
  /// Of this batch; nullptr for a column that is not made.
  const Tensor* batch(const Column& column) const {
    for (const auto& [made, place] : places_) {
      if (made == &column) return &batch_[place];
    }
    return nullptr;
  }
  /// Rows of this batch, which are those of `to` from `first` on.
  void take(const Column& column, std::span<const std::int64_t> rows, Tensor& to,
            std::int64_t first) const {
    const Tensor* made = batch(column);
    if (made == nullptr) return column.take(rows, to, first);
    const std::int64_t row = column.row_shape().elements();
    const auto from = made->data<float>().subspan(static_cast<std::size_t>(first * row),
                                                  rows.size() * static_cast<std::size_t>(row));
    std::ranges::copy(from, to.data<float>().begin() + first * row);
  }

 private:
  std::span<const std::int64_t> order_;
  std::int64_t batch_size_;
  std::uint64_t pass_ = 0;
  std::vector<Column> columns_{};
  std::vector<std::pair<const Column*, std::size_t>> places_{};
  std::optional<Prefetcher> prefetcher_{};
  std::vector<Tensor> own_{};
  std::span<const Tensor> batch_{};
};

}  // namespace weft::nn
