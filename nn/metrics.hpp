// Metrics: what is reported beside the loss. By name, by object, or any function of prediction and
// target.
#pragma once

#include <any>
#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "graph/tensor.hpp"
#include "graph/value.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// A number for each sample (and position), of which the mean is shown.
template <class T>
concept SampleMetric = std::is_invocable_r_v<Value, const T&, Value, Value>;
/// Sums over samples, and what follows from them.
template <class T>
concept SumMetric = requires(const T& metric, Value v, std::span<const double> sums) {
  { metric.sums(v, v, v) } -> std::same_as<Value>;
  { metric.result(sums) } -> std::convertible_to<double>;
};
template <class T>
concept MetricType = SampleMetric<T> || SumMetric<T>;

/// Known by name: those of this file, of confusion_metrics.hpp and of score_metrics.hpp that need
/// no arguments, and the losses of losses.hpp, whose mean is shown. Else an object of one of them;
/// a function that returns a number for each sample, or for the batch: what is shown is the mean
/// over all samples so far; or an object of the user's that keeps sums:
///
///   struct Spread {
///     static std::string_view name() { return "spread"; }
///     /// f32[k], added up over batches; weight: of the samples, f32[N], or empty
///     Value sums(Value prediction, Value target, Value weight) const;
///     double result(std::span<const double> sums) const;      // the number to show
///     Tensor results(std::span<const double> sums) const;     // if there are several; optional
///   };
///
/// Where replicas share a batch, sums() sees a slice, and its results are added: no sum may depend
/// on how samples are cut into batches.
class Metric {
 public:
  using Function = std::function<Value(Value prediction, Value target)>;

  /// Shown under the name as written here. Throws ArgumentError for an unknown name.
  Metric(const char* name) : Metric(std::string_view(name)) {}
  Metric(const std::string& name) : Metric(std::string_view(name)) {}
  Metric(std::string_view name);
  /// Shown under a name of the user's choice: {"recall_of_7", nn::Recall{.class_id = 7}}.
  template <MetricType T>
  Metric(std::string name, T metric) : name(std::move(name)) {
    adopt(std::move(metric));
  }
  template <MetricType T>
  requires(!std::same_as<T, Metric>) Metric(T metric) : name(name_of_object(metric, "metric")) {
    adopt(std::move(metric));
  }

  /// The number of each sample. Throws ArgumentError if the metric keeps sums of its own.
  Value operator()(Value prediction, Value target) const;
  /// What a slice of a batch adds to the sums: f32[k], or f32[].
  ///   weight   of the samples, as aligned_weight() takes it; empty: each counts 1
  ///   throws   ShapeError for targets that do not fit; TypeError if it is not f32
  Value sums(Value prediction, Value target, Value weight = {}) const;
  /// The number to show, of sums over a number of samples.
  double result(std::span<const double> sums, double samples) const {
    return result_(sums, samples);
  }
  /// All numbers, where there are several; else result() as a scalar.
  Tensor results(std::span<const double> sums, double samples) const {
    return results_(sums, samples);
  }

  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return std::any_cast<T>(&object_);
  }

  std::string name;

 private:
  using Sums = std::span<const double>;

  template <class T>
  void adopt(T metric) {
    if constexpr (SumMetric<T>) {
      sums_ = [metric](Value p, Value t, Value w) { return metric.sums(p, t, w); };
      result_ = [metric](Sums sums, double) { return metric.result(sums); };
      if constexpr (requires(Sums sums) { Tensor(metric.results(sums)); }) {
        results_ = [metric](Sums sums, double) { return metric.results(sums); };
      }
    } else {
      adopt_function(metric);
      if constexpr (requires(double mean) { double(metric.result(mean)); }) {
        result_ = [metric](Sums sums, double samples) {
          return metric.result(mean_of(sums, samples));
        };
      }
    }
    if (!results_) {
      results_ = [result = result_](Sums sums, double samples) {
        return Tensor::scalar(static_cast<float>(result(sums, samples)));
      };
    }
    object_ = std::move(metric);
  }
  /// Of a loss that has another sign as a metric, the metric.
  template <class T>
  void adopt_function(const T& metric) {
    if constexpr (requires { metric.metric(Value{}, Value{}); }) {
      function_ = [metric](Value p, Value t) { return metric.metric(p, t); };
    } else {
      function_ = metric;
    }
    if constexpr (requires { metric.mask(Value{}, Value{}); }) {
      mask_ = [metric](Value p, Value t) { return metric.mask(p, t); };
    }
    result_ = mean_of;
  }
  static double mean_of(Sums sums, double samples);

  Function function_, mask_;  // empty if it keeps sums of its own
  std::function<Value(Value prediction, Value target, Value weight)> sums_;
  std::function<double(Sums sums, double samples)> result_;
  std::function<Tensor(Sums sums, double samples)> results_;
  std::any object_;
};

// ---- how often it is right: 1 for a sample (and position) that is, else 0, in f32

/// Whether target and prediction are largest at the same place; the first of equals counts.
Value categorical_accuracy(Value prediction, Value target);
/// Whether the prediction is largest at the class that the target names.
Value sparse_categorical_accuracy(Value prediction, Value target);
/// Whether prediction > 0.5 is what the target is, 1 or 0; mean over the last axis.
Value binary_accuracy(Value prediction, Value target);
/// The one of these that shapes call for, as in Keras: binary if the prediction's last axis has
/// size 1; else sparse if targets have a lower rank or a last axis of size 1; else categorical.
Value accuracy(Value prediction, Value target);

/// Whether prediction and target are equal. (The name "accuracy" is the function of that name.)
struct Accuracy {
  static std::string_view name() { return "accuracy"; }
  Value operator()(Value prediction, Value target) const;
};

struct BinaryAccuracy {
  double threshold = 0.5;
  static std::string_view name() { return "binary_accuracy"; }
  Value operator()(Value prediction, Value target) const;
};

struct CategoricalAccuracy {
  static std::string_view name() { return "categorical_accuracy"; }
  Value operator()(Value prediction, Value target) const {
    return categorical_accuracy(prediction, target);
  }
};

struct SparseCategoricalAccuracy {
  static std::string_view name() { return "sparse_categorical_accuracy"; }
  Value operator()(Value prediction, Value target) const {
    return sparse_categorical_accuracy(prediction, target);
  }
};

/// Whether fewer than k classes are predicted above the one where the target is largest.
struct TopKCategoricalAccuracy {
  std::int64_t k = 5;
  static std::string_view name() { return "top_k_categorical_accuracy"; }
  Value operator()(Value prediction, Value target) const;
};

/// The same for targets that are classes.
///   from_sorted_ids  predictions are classes too, the likeliest first
struct SparseTopKCategoricalAccuracy {
  std::int64_t k = 5;
  bool from_sorted_ids = false;
  static std::string_view name() { return "sparse_top_k_categorical_accuracy"; }
  Value operator()(Value prediction, Value target) const;
};

// ---- how far it is off. The losses of losses.hpp are metrics, too.

/// The root of the mean of (t - p)^2.
struct RootMeanSquaredError {
  static std::string_view name() { return "root_mean_squared_error"; }
  Value operator()(Value prediction, Value target) const;
  double result(double mean) const;
};

/// LogCosh, under the name that Keras has for it as a metric.
struct LogCoshError {
  static std::string_view name() { return "logcosh"; }
  Value operator()(Value prediction, Value target) const;
};

/// Pearson's correlation of prediction and target along an axis, mean over samples.
struct PearsonCorrelation {
  int axis = -1;
  static std::string_view name() { return "pearson_correlation"; }
  Value operator()(Value prediction, Value target) const;
};

/// Lin's concordance correlation along an axis, mean over samples.
struct ConcordanceCorrelation {
  int axis = -1;
  static std::string_view name() { return "concordance_correlation"; }
  Value operator()(Value prediction, Value target) const;
};

}  // namespace weft::nn
