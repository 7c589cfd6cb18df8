// Losses: what training makes small. By name, by object, or any function of prediction and target.
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <string_view>

#include "graph/value.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// Known by name: categorical_crossentropy, sparse_categorical_crossentropy, binary_crossentropy,
/// mean_squared_error (mse), mean_absolute_error (mae). Else an object below, or any function that
/// returns the loss of each sample, or of the batch: what is minimized is the mean of what it
/// returns. Targets are f32 as given; s32 if they were given as integers.
class Loss {
 public:
  using Function = std::function<Value(Value prediction, Value target)>;

  Loss() = default;  ///< none
  /// Throws ArgumentError for an unknown name.
  Loss(const char* name) : Loss(std::string_view(name)) {}
  Loss(const std::string& name) : Loss(std::string_view(name)) {}
  Loss(std::string_view name);
  template <class F>
  requires std::is_invocable_r_v<Value, const F&, Value, Value> &&(!std::same_as<F, Loss>)Loss(F f)
      : name(name_of_object(f, "loss")) {
    if constexpr (requires { F::integer_targets; }) integer_targets = F::integer_targets;
    function = std::move(f);
  }

  explicit operator bool() const noexcept { return static_cast<bool>(function); }
  Value operator()(Value prediction, Value target) const { return function(prediction, target); }
  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  bool integer_targets = false;  ///< targets are classes, to be checked against the prediction's
  Function function;
};

// The objects. Each returns one number per sample (and position), and throws ShapeError if targets
// do not fit the prediction, saying what would.
//
// The cross-entropies see when a prediction is the output of softmax or sigmoid, and are then
// computed from its input: no clipping, and the gradient is p - t. As in Keras, other probabilities
// are clipped to [1e-7, 1 - 1e-7].

/// -sum t log p over the last axis, where p is scaled to sum up to 1.
///   prediction, target  f32[...,K]: probabilities, or logits for from_logits
struct CategoricalCrossentropy {
  bool from_logits = false;
  double label_smoothing = 0;  ///< e: targets become t (1 - e) + e / K
  static std::string_view name() { return "categorical_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// -log p[target], for integer classes.
///   prediction  f32[...,K]
///   target      [...] or [...,1], each in [0, K)
struct SparseCategoricalCrossentropy {
  bool from_logits = false;
  static constexpr bool integer_targets = true;
  static std::string_view name() { return "sparse_categorical_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// -t log p - (1 - t) log(1 - p), mean over the last axis.
///   prediction, target  f32[...,K]; targets may lack a last axis of size 1
struct BinaryCrossentropy {
  bool from_logits = false;
  double label_smoothing = 0;  ///< e: targets become t (1 - e) + e / 2
  static std::string_view name() { return "binary_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// (t - p)^2, mean over the last axis.
struct MeanSquaredError {
  static std::string_view name() { return "mean_squared_error"; }
  Value operator()(Value prediction, Value target) const;
};

/// |t - p|, mean over the last axis.
struct MeanAbsoluteError {
  static std::string_view name() { return "mean_absolute_error"; }
  Value operator()(Value prediction, Value target) const;
};

/// What losses and metrics do first with targets of the prediction's shape: as f32, with the last
/// axis of size 1 if that is what they lack. Throws ShapeError that begins with `who`.
Value dense_target(std::string_view who, Value prediction, Value target);
/// And with targets that are classes: s32, of the prediction's shape without its last axis.
Value class_target(std::string_view who, Value prediction, Value target);

}  // namespace weft::nn
