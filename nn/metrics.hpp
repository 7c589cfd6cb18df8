// Metrics: what is reported beside the loss. By name, or a named function of prediction and target.
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <string_view>

#include "graph/value.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// Known by name: accuracy (acc), categorical_accuracy, sparse_categorical_accuracy,
/// binary_accuracy, mean_squared_error (mse), mean_absolute_error (mae), and the cross-entropies of
/// losses.hpp. Else a name and a function that returns a number for each sample, or for the batch.
/// What is shown is the mean over all samples so far.
class Metric {
 public:
  using Function = std::function<Value(Value prediction, Value target)>;

  /// Shown under the name as written here. Throws ArgumentError for an unknown name.
  Metric(const char* name) : Metric(std::string_view(name)) {}
  Metric(const std::string& name) : Metric(std::string_view(name)) {}
  Metric(std::string_view name);
  Metric(std::string name, Function function)
      : name(std::move(name)), function(std::move(function)) {}
  template <class F>
  requires std::is_invocable_r_v<Value, const F&, Value, Value> &&
      (!std::same_as<F, Metric>)Metric(F f)
      : name(name_of_object(f, "metric")), function(std::move(f)) {}

  Value operator()(Value prediction, Value target) const { return function(prediction, target); }
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  Function function;
};

// Each returns 1 for a sample (and position) that is right, else 0, in f32.

/// Whether target and prediction are largest at the same place; the first of equals counts.
Value categorical_accuracy(Value prediction, Value target);
/// Whether the prediction is largest at the class that the target names.
Value sparse_categorical_accuracy(Value prediction, Value target);
/// Whether prediction > 0.5 is what the target is, 1 or 0; mean over the last axis.
Value binary_accuracy(Value prediction, Value target);
/// The one of these that shapes call for, as in Keras: binary if the prediction's last axis has
/// size 1; else sparse if targets have a lower rank or a last axis of size 1; else categorical.
Value accuracy(Value prediction, Value target);

}  // namespace weft::nn
