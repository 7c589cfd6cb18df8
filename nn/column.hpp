// Column: one tensor of each sample of a data set, kept as it came, or made when a batch needs it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "graph/tensor.hpp"
#include "nn/source.hpp"

namespace weft::nn {

/// One row per sample: those of a tensor, whose memory is shared, or what a Source makes.
class Column {
 public:
  Column() = default;
  /// Throws ShapeError for a scalar.
  explicit Column(Tensor data);
  /// A column of a source. Throws ArgumentError if it has none of that number.
  explicit Column(std::shared_ptr<const Source> source, std::size_t column = 0);

  explicit operator bool() const noexcept { return static_cast<bool>(data_) || source_; }
  std::int64_t size() const noexcept { return size_; }  ///< rows
  DType dtype() const noexcept { return source_ ? DType::f32 : data_.dtype(); }
  Shape row_shape() const;
  bool is_scaled() const noexcept { return scale_ != 1 || offset_ != 0; }
  /// Are rows made as they are needed?
  bool is_made() const noexcept { return source_ != nullptr; }

  /// The same rows, taken as number * scale + offset.
  Column scaled(float scale, float offset = 0) const;
  Column rows(std::int64_t first, std::int64_t last) const;
  /// These rows, in this order.
  Column picked(std::span<const std::int64_t> rows) const;
  /// What a function makes of each row.
  Column mapped(const Shape& row_shape, MapRow function) const;

  /// Copies rows, one after the other, into `batch`: f32, or s32 if the data are integers unscaled.
  /// Allocates nothing, unless they are made. What is random in them follows from `pass`, a number
  /// for each time that the data are gone through. Throws ShapeError if `batch` has not as many
  /// elements.
  void take(std::span<const std::int64_t> rows, Tensor& batch) const;
  /// The same into a part of a larger `batch`, from its row `at` on. Throws ShapeError if they go
  /// beyond its end.
  void take(std::span<const std::int64_t> rows, Tensor& batch, std::int64_t at,
            std::uint64_t pass = 0) const;
  /// All rows: f32, or s32 for integers that are not scaled.
  Tensor to_tensor() const;
  /// One row as f32, made with that randomness.
  void take_row(std::int64_t row, std::span<float> to, Random& random) const;

  /// A hash that tells its rows and their order from others': of all rows of a tensor of up to
  /// 256 MB, of every so many of a larger one, about 64 MB of them; of what a source says of itself
  /// (Source::fingerprint), and which of its samples these are; and of how they are scaled.
  std::uint64_t fingerprint() const;

  /// Makes some rows of several columns at once, so that a sample that has rows in several of them
  /// is made once; `to` has a tensor for each, from its row 0 on.
  static void make(std::span<const Column> columns, std::span<const std::int64_t> rows,
                   std::span<Tensor> to, std::uint64_t pass);

 private:
  std::int64_t stored(std::int64_t row) const noexcept {
    return picked_ ? (*picked_)[static_cast<std::size_t>(first_ + row)] : first_ + row;
  }

  Tensor data_;
  std::shared_ptr<const Source> source_;
  std::size_t column_ = 0;                                     // of the source
  std::shared_ptr<const std::vector<std::int64_t>> picked_{};  // which rows, if not all in order
  Shape row_shape_;
  std::int64_t first_ = 0, size_ = 0, row_elements_ = 0;
  float scale_ = 1, offset_ = 0;
};

}  // namespace weft::nn
