// Dataset: samples with their targets, kept as they came and turned to f32 as a batch is taken, or
// made only then: read from files, generated, augmented.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "graph/tensor.hpp"
#include "nn/augmentation.hpp"
#include "nn/column.hpp"

namespace weft::nn {

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

  /// The same of columns, some of which may be made as they are needed.
  Dataset(std::vector<Column> x, std::vector<Column> y, std::vector<Column> sample_weight = {});
  /// Samples that a function makes, of rows of these shapes, all f32.
  ///   size  how many an epoch has
  ///
  ///   auto circles = nn::Dataset::generate(1000, {{28, 28, 1}}, {{1}},
  ///       [](std::int64_t, nn::Random& random, auto rows) { draw(random, rows[0], rows[1]); });
  static Dataset generate(std::int64_t size, std::vector<Shape> x, std::vector<Shape> y,
                          MakeSample make);

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
  /// The same samples in a random order, which follows from the seed: before a split of data that
  /// are sorted by class.
  Dataset shuffled(std::uint64_t seed = 0) const;
  /// The same data with what a function makes of each row of x, as batches are taken.
  ///   row_shape  of what it makes; none: as x's
  ///   input      which x
  Dataset mapped(MapRow function, std::optional<Shape> row_shape = {}, std::size_t input = 0) const;
  /// The same data with images turned, shifted, ... anew in each epoch (nn/augmentation.hpp).
  /// Throws as augment() does.
  Dataset augmented(const Augmentation& augmentation) const;
  /// How data that are made as they are needed are made: `batches` ahead of the step that needs
  /// them, in `threads` of their own, 2 and 1 by default; 0 batches: within the step. No result
  /// depends on it. Throws ArgumentError for a number below 0, or no thread.
  Dataset prefetched(int batches, int threads = 1) const;
  int prefetched_batches() const noexcept { return ahead_; }
  int prefetch_threads() const noexcept { return threads_; }
  /// The same data, where sample weights are also multiplied by what each sample's class counts.
  ///   classes  how many there are; 0: any number
  ///   throws   ArgumentError for a class that is not there, weights below 0 or not finite, and
  ///            targets of several outputs; ShapeError for targets that are neither classes [N] or
  ///            [N,1], nor vectors [N,K], of which the largest number names the class
  Dataset class_weighted(const ClassWeight& weights, std::int64_t classes = 0) const;

 private:
  template <class F>
  Dataset each(F f) const;  ///< f of every column

  std::vector<Column> x_, y_, weights_;
  int ahead_ = 2, threads_ = 1;
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
