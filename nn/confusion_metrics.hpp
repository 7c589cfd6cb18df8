// Metrics that count right and wrong answers above and below thresholds.
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

// Predictions are f32[N,...] of any shape; targets have the same, and all that are not 0 are true.
// A prediction is taken as true where it is above the threshold. Where there are several
// thresholds, what is shown is the mean of their results, and Model::metric_result() has them all.
//
// sums() throws ShapeError for targets of another shape, and ArgumentError for thresholds outside
// [0, 1], a top_k below 1 and a class_id that is not there. Sums are the weights of predictions, by
// whether they should be true, and by how many thresholds they are above.

/// How many are true and predicted so.
struct TruePositives {
  std::vector<double> thresholds{};  ///< none: 0.5
  static std::string_view name() { return "true_positives"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

/// How many are false and predicted so.
struct TrueNegatives {
  std::vector<double> thresholds{};  ///< none: 0.5
  static std::string_view name() { return "true_negatives"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

/// How many are false, but predicted true.
struct FalsePositives {
  std::vector<double> thresholds{};  ///< none: 0.5
  static std::string_view name() { return "false_positives"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

/// How many are true, but predicted false.
struct FalseNegatives {
  std::vector<double> thresholds{};  ///< none: 0.5
  static std::string_view name() { return "false_negatives"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

/// How many of those predicted true are so; 0 if there are none.
struct Precision {
  std::vector<double> thresholds{};        ///< none: 0.5, or with top_k none at all
  std::optional<std::int64_t> top_k{};     ///< only the k largest of the last axis can be true
  std::optional<std::int64_t> class_id{};  ///< of the last axis, only this is looked at
  static std::string_view name() { return "precision"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

/// How many of those that are true are predicted so; 0 if there are none.
struct Recall {
  std::vector<double> thresholds{};        ///< as Precision's
  std::optional<std::int64_t> top_k{};     ///< as Precision's
  std::optional<std::int64_t> class_id{};  ///< as Precision's
  static std::string_view name() { return "recall"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
  Tensor results(std::span<const double> sums) const;
};

// The best of one at the thresholds where the other is at least as good as asked for; 0 if it is so
// at none. Sensitivity is recall; specificity is how many of those that are false are predicted so.
// Thresholds lie evenly from 0 to 1; one alone is 0.5.

struct SensitivityAtSpecificity {
  double specificity = 0.5;  ///< from 0 to 1, else ArgumentError
  std::int64_t num_thresholds = 200;
  std::optional<std::int64_t> class_id{};
  static std::string_view name() { return "sensitivity_at_specificity"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

struct SpecificityAtSensitivity {
  double sensitivity = 0.5;  ///< from 0 to 1, else ArgumentError
  std::int64_t num_thresholds = 200;
  std::optional<std::int64_t> class_id{};
  static std::string_view name() { return "specificity_at_sensitivity"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

struct PrecisionAtRecall {
  double recall = 0.5;  ///< from 0 to 1, else ArgumentError
  std::int64_t num_thresholds = 200;
  std::optional<std::int64_t> class_id{};
  static std::string_view name() { return "precision_at_recall"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

struct RecallAtPrecision {
  double precision = 0.5;  ///< from 0 to 1, else ArgumentError
  std::int64_t num_thresholds = 200;
  std::optional<std::int64_t> class_id{};
  static std::string_view name() { return "recall_at_precision"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

/// The area below a curve of which each threshold gives a point; predictions are cut to [0, 1].
///   throws  ArgumentError for an unknown curve or summation_method, fewer than 2 thresholds, and
///           label_weights that are not one for each label
///   see     Davis and Goadrich, "The relationship between precision-recall and ROC curves", 2006,
///           for interpolation below the PR curve; Flach and Kull, "Precision-recall-gain curves",
///           2015
struct AUC {
  std::int64_t num_thresholds = 200;               ///< evenly from 0 to 1
  std::string curve = "ROC";                       ///< "ROC", "PR" or "PRGAIN"
  std::string summation_method = "interpolation";  ///< or "minoring", "majoring"
  std::vector<double> thresholds{};                ///< instead of num_thresholds, besides 0 and 1
  bool multi_label = false;                        ///< the mean of the areas of all labels
  std::optional<std::int64_t> num_labels{};        ///< with multi_label: as many as there must be
  std::vector<double> label_weights{};             ///< of labels, in the mean or in the counts
  bool from_logits = false;                        ///< sigmoid makes probabilities of predictions
  static std::string_view name() { return "auc"; }
  Value sums(Value prediction, Value target, Value weight) const;
  double result(std::span<const double> sums) const;
};

}  // namespace weft::nn
