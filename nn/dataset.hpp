// Dataset: samples with their targets, kept as they came and turned to f32 as a batch is taken.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "graph/tensor.hpp"

namespace weft::nn {

/// A tensor of one row per sample, or a range of its rows. Shares the tensor's memory.
class Column {
 public:
  Column() = default;
  /// Throws ShapeError for a scalar.
  explicit Column(Tensor data);

  explicit operator bool() const noexcept { return static_cast<bool>(data_); }
  std::int64_t size() const noexcept { return size_; }  ///< rows
  DType dtype() const noexcept { return data_.dtype(); }
  Shape row_shape() const;
  bool is_scaled() const noexcept { return scale_ != 1 || offset_ != 0; }

  /// The same rows, taken as number * scale + offset.
  Column scaled(float scale, float offset = 0) const;
  Column rows(std::int64_t first, std::int64_t last) const;
  /// Copies rows, one after the other, into `batch`: f32, or s32 if the data are integers unscaled.
  /// Allocates nothing. Throws ShapeError if `batch` has not as many elements.
  void take(std::span<const std::int64_t> rows, Tensor& batch) const;
  /// The same into a part of a larger `batch`, from its row `at` on. Throws ShapeError if they go
  /// beyond its end.
  void take(std::span<const std::int64_t> rows, Tensor& batch, std::int64_t at) const;

 private:
  Tensor data_;
  std::int64_t first_ = 0, size_ = 0, row_elements_ = 0;
  float scale_ = 1, offset_ = 0;
};

/// What samples of a class count, by class; 1 for those that are not named.
using ClassWeight = std::map<std::int64_t, double>;

/// Samples x and, for training, targets y and perhaps sample weights; first axes count samples.
/// Copies share memory.
///
///   nn::Dataset train(images, nn::to_categorical(labels));   // u8[60000,28,28,1]
///   model.fit(train.scaled(1.0f / 255));
class Dataset {
 public:
  Dataset() = default;
  /// x: any dtype; y: one-hot vectors, classes or numbers; sample_weight: what each sample's loss
  /// is multiplied by, [N], or [N,T] for each position. Throws ShapeError if the counts differ.
  Dataset(Tensor x, Tensor y = {}, Tensor sample_weight = {});
  /// For models of several inputs and outputs: one x for each input, one y for each output (or
  /// none: {}), one sample_weight for all outputs or one for each, where {} is none.
  ///   throws  ShapeError as above; ArgumentError for another number of weights
  Dataset(std::vector<Tensor> x, std::vector<Tensor> y, std::vector<Tensor> sample_weight = {});

  std::int64_t size() const noexcept { return x_.empty() ? 0 : x_[0].size(); }
  std::size_t inputs() const noexcept { return x_.size(); }
  std::size_t targets() const noexcept { return y_.size(); }
  /// Throw ArgumentError if there is none of that number.
  const Column& x(std::size_t input = 0) const;
  const Column& y(std::size_t target = 0) const;
  /// How many columns of sample weights there are: none, one for all targets, or one for each.
  std::size_t sample_weights() const noexcept { return weights_.size(); }
  /// Those of a target; an empty Column if it has none. Throws as y() does.
  const Column& sample_weight(std::size_t target = 0) const;

  /// The same data, where every x is taken as number * scale + offset.
  Dataset scaled(float scale, float offset = 0) const;
  /// Samples first .. last - 1. Throws ArgumentError if there are none such.
  Dataset rows(std::int64_t first, std::int64_t last) const;
  /// The samples before the last `fraction` of all, and those: Keras' validation_split.
  /// Throws ArgumentError if either would be empty.
  std::pair<Dataset, Dataset> split(double fraction) const;
  /// The same data, where sample weights are also multiplied by what each sample's class counts.
  ///   classes  how many there are; 0: any number
  ///   throws   ArgumentError for a class that is not there, weights below 0 or not finite, and
  ///            targets of several outputs; ShapeError for targets that are neither classes [N] or
  ///            [N,1], nor vectors [N,K], of which the largest number names the class
  Dataset class_weighted(const ClassWeight& weights, std::int64_t classes = 0) const;

 private:
  std::vector<Column> x_, y_, weights_;
};

/// One-hot vectors: f32 of labels' shape (less a last axis of size 1) and an axis of `classes`.
///   labels   u8, s8 or s32, or f32 whole numbers
///   classes  0: the largest label + 1
///   throws   ArgumentError for a label that is negative, not whole, or not below classes
Tensor to_categorical(const Tensor& labels, std::int64_t classes = 0);

/// Throws ArgumentError, naming the label and where it is, unless all are whole numbers in
/// [0, classes), or the one that is ignored.
void check_labels(const Column& labels, std::int64_t classes,
                  std::optional<std::int64_t> ignored = {});

/// Throws ArgumentError, naming the number and where it is, unless all are finite and at least 0.
void check_sample_weights(const Column& weights);

}  // namespace weft::nn
