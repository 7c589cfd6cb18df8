// Metrics that compare classes (confusion matrix, intersection over union, F scores), and R^2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/tensor.hpp"
#include "graph/value.hpp"

namespace weft::nn {

/// How often samples of each class are taken for each class. What is shown is how many of them lie
/// on the diagonal; Model::metric_result() has the matrix: f32[K,K], the weight of samples of class
/// row that were taken for class column.
///   prediction  f32[...,K], of which the largest counts; or [...,1], true above the threshold
///   target      classes [...] or [...,1], or vectors [...,K]
struct ConfusionMatrix {
  double threshold = 0.5;
  static std::string_view name() { return "confusion_matrix"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

// Intersection over union: of the samples (or pixels) that are of a class or taken for it, how many
// are both; the mean over the target classes that occur. Predictions and targets are classes of the
// same shape, or for sparse_... = false numbers for each class along an axis, of which the largest
// counts. Classes out of range do not count. Weights are as given: Keras would round them down.
//
// sums() throws ShapeError if there are not as many targets as predictions, ArgumentError for
// target_class_ids that are out of range or none.

struct IoU {
  std::int64_t num_classes = 2;
  std::vector<std::int64_t> target_class_ids{0, 1};
  std::optional<std::int64_t> ignore_class{};  ///< targets of this class do not count
  bool sparse_y_true = true, sparse_y_pred = true;
  int axis = -1;
  static std::string_view name() { return "io_u"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

/// IoU of all classes.
struct MeanIoU {
  std::int64_t num_classes = 2;
  std::optional<std::int64_t> ignore_class{};
  bool sparse_y_true = true, sparse_y_pred = true;
  int axis = -1;
  static std::string_view name() { return "mean_io_u"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

/// IoU of targets that are one-hot vectors.
struct OneHotIoU {
  std::int64_t num_classes = 2;
  std::vector<std::int64_t> target_class_ids{0, 1};
  std::optional<std::int64_t> ignore_class{};
  bool sparse_y_pred = false;
  int axis = -1;
  static std::string_view name() { return "one_hot_io_u"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

/// OneHotIoU of all classes.
struct OneHotMeanIoU {
  std::int64_t num_classes = 2;
  std::optional<std::int64_t> ignore_class{};
  bool sparse_y_pred = false;
  int axis = -1;
  static std::string_view name() { return "one_hot_mean_io_u"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

/// IoU of two classes, where a prediction of at least the threshold is class 1.
struct BinaryIoU {
  std::vector<std::int64_t> target_class_ids{0, 1};
  double threshold = 0.5;
  static std::string_view name() { return "binary_io_u"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

/// (1 + beta^2) precision recall / (beta^2 precision + recall), by class. Where there is no
/// threshold, the largest of a row is predicted, and all that are as large.
///   prediction, target  f32[N,K]
///   throws              ShapeError for others; ArgumentError for an unknown average, beta or
///                       threshold out of range
struct FBetaScore {
  /// "none": Model::metric_result() has the classes' scores f32[K], and their mean is shown;
  /// "micro": of all classes' counts together; "macro": the mean; "weighted": by how many of each
  /// class there are.
  std::string average = "none";
  double beta = 1;                    ///< above 0: how much more recall counts than precision
  std::optional<double> threshold{};  ///< above 0, at most 1
  static std::string_view name() { return "fbeta_score"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

/// FBetaScore for beta = 1.
struct F1Score {
  std::string average = "none";
  std::optional<double> threshold{};
  static std::string_view name() { return "f1_score"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

/// 1 - sum (t - p)^2 / sum (t - mean t)^2, by output.
///   prediction, target  f32[N,K]
///   throws              ShapeError for others; ArgumentError for an unknown class_aggregation and
///                       num_regressors below 0
struct R2Score {
  /// "uniform_average": the mean; "variance_weighted_average": weighted by the variance of targets;
  /// "none": Model::metric_result() has all of them, f32[K], and their mean is shown.
  std::string class_aggregation = "uniform_average";
  /// p above 0: adjusted to 1 - (1 - R^2)(n - 1) / (n - p - 1) for n targets, if there are enough.
  std::int64_t num_regressors = 0;
  static std::string_view name() { return "r2_score"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

}  // namespace weft::nn
