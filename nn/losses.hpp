// Losses: what training makes small. By name, by object, or any function of prediction and target.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "graph/value.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// Known by name: every object below, in snake_case or as its class is written, and Keras' short
/// names mse, mae, mape, msle, bce, kld. Else an object below, or any function that returns the
/// loss of each sample (and position), or of the batch: what is minimized is their mean, or what
/// the object's `reduction` says. Targets are f32 as given; s32 if they were given as integers.
class Loss {
 public:
  using Function = std::function<Value(Value prediction, Value target)>;

  Loss() = default;  ///< none
  /// Throws ArgumentError for an unknown name.
  Loss(const char* name) : Loss(std::string_view(name)) {}
  Loss(const std::string& name) : Loss(std::string_view(name)) {}
  Loss(std::string_view name);
  /// Throws ArgumentError for an unknown reduction.
  template <class F>
  requires std::is_invocable_r_v<Value, const F&, Value, Value> &&(!std::same_as<F, Loss>)Loss(F f)
      : name(name_of_object(f, "loss")) {
    if constexpr (requires { F::integer_targets; }) integer_targets = F::integer_targets;
    if constexpr (requires { f.ignore_class; }) ignore_class = f.ignore_class;
    if constexpr (requires { F::whole_batch; }) whole_batch = F::whole_batch;
    if constexpr (requires { f.reduction; }) set_reduction(f.reduction);
    if constexpr (requires { f.mask(Value{}, Value{}); }) {
      mask = [f](Value p, Value t) { return f.mask(p, t); };
    }
    function = std::move(f);
  }

  explicit operator bool() const noexcept { return static_cast<bool>(function); }
  Value operator()(Value prediction, Value target) const { return function(prediction, target); }
  /// What is minimized, f32[], by Keras' rules:
  ///   sum_over_batch_size (mean)  sum of loss * weight / number of losses that are not masked
  ///   sum                         sum of loss * weight
  ///   mean_with_sample_weight     sum of loss * weight / sum of weights; the mean without weights
  /// With replicas, it is this slice's part: the sum over all of them is the loss of the batch.
  ///   weight   as aligned_weight() takes it, or empty
  ///   share    the slice's rows / the batch's rows
  ///   throws   TypeError if the function returns anything but f32 numbers
  Value reduced(Value prediction, Value target, Value weight = {}, float share = 1) const;

  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  std::string reduction = "sum_over_batch_size";
  bool integer_targets = false;  ///< targets are classes, to be checked against the prediction's
  std::optional<std::int64_t> ignore_class{};  ///< but for this one
  bool whole_batch = false;  ///< compares samples with one another: a batch is not cut in slices
  Function function;
  Function mask;  ///< 1 where a loss counts, else 0; may be empty, and may return an empty Value

 private:
  void set_reduction(const std::string& wanted);
};

// The objects. Each returns one number per sample (and position), and throws ShapeError if targets
// do not fit the prediction, saying what would; ArgumentError for arguments out of range.
//
// The cross-entropies see when a prediction is the output of softmax or sigmoid, and are then
// computed from its input: no clipping, and the gradient is p - t. As in Keras, other probabilities
// are clipped to [1e-7, 1 - 1e-7], and where they are cut, there is no gradient.

// ---- probabilities

/// -sum t log p over the axis of classes, where p is scaled to sum up to 1.
///   prediction, target  f32[...,K]: probabilities, or logits for from_logits
struct CategoricalCrossentropy {
  bool from_logits = false;
  double label_smoothing = 0;  ///< e: targets become t (1 - e) + e / K
  int axis = -1;               ///< of the classes
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "categorical_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// -log p[target], for integer classes.
///   prediction  f32[...,K]
///   target      [...] or [...,1], each in [0, K), or ignore_class
struct SparseCategoricalCrossentropy {
  bool from_logits = false;
  std::optional<std::int64_t> ignore_class{};  ///< has no loss, and does not count in the mean
  int axis = -1;                               ///< of the classes in the prediction
  std::string reduction = "sum_over_batch_size";
  static constexpr bool integer_targets = true;
  static std::string_view name() { return "sparse_categorical_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
  Value mask(Value prediction, Value target) const;
};

/// -t log p - (1 - t) log(1 - p), mean over an axis.
///   prediction, target  f32[...,K]; targets may lack a last axis of size 1
struct BinaryCrossentropy {
  bool from_logits = false;
  double label_smoothing = 0;  ///< e: targets become t (1 - e) + e / 2
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "binary_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// alpha (1 - p)^gamma times each class' -t log p, sum over the axis of classes: what is predicted
/// well already counts less.
///   see  Lin et al., "Focal loss for dense object detection", 2017
struct CategoricalFocalCrossentropy {
  std::vector<double> alpha{0.25};  ///< one for all, or one for each class
  double gamma = 2;
  bool from_logits = false;
  double label_smoothing = 0;  ///< as CategoricalCrossentropy's
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "categorical_focal_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// (1 - q)^gamma times binary cross-entropy, mean over an axis, where q = t p + (1 - t)(1 - p).
struct BinaryFocalCrossentropy {
  bool apply_class_balancing = false;  ///< times t alpha + (1 - t)(1 - alpha)
  double alpha = 0.25;
  double gamma = 2;
  bool from_logits = false;
  double label_smoothing = 0;  ///< as BinaryCrossentropy's
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "binary_focal_crossentropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// (1 - p[target]^q) / q, for integer classes: between cross-entropy (q near 0) and mean absolute
/// error (q near 1), for labels with noise.
///   prediction  f32[...,K]: probabilities
///   see         Zhang and Sabuncu, "Generalized cross entropy loss", 2018
struct CategoricalGeneralizedCrossEntropy {
  double q = 0.5;  ///< between 0 and 1
  std::string reduction = "sum_over_batch_size";
  static constexpr bool integer_targets = true;
  static std::string_view name() { return "categorical_generalized_cross_entropy"; }
  Value operator()(Value prediction, Value target) const;
};

/// sum t log(t / p) over the last axis, both clipped to [1e-7, 1].
struct KLDivergence {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "kl_divergence"; }
  Value operator()(Value prediction, Value target) const;
};

/// p - t log(p + 1e-7), mean over the last axis.
struct Poisson {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "poisson"; }
  Value operator()(Value prediction, Value target) const;
};

// ---- numbers

/// (t - p)^2, mean over the last axis.
struct MeanSquaredError {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "mean_squared_error"; }
  Value operator()(Value prediction, Value target) const;
};

/// |t - p|, mean over the last axis.
struct MeanAbsoluteError {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "mean_absolute_error"; }
  Value operator()(Value prediction, Value target) const;
};

/// 100 |t - p| / max(|t|, 1e-7), mean over the last axis.
struct MeanAbsolutePercentageError {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "mean_absolute_percentage_error"; }
  Value operator()(Value prediction, Value target) const;
};

/// (log(1 + t) - log(1 + p))^2, mean over the last axis; both are at least 1e-7.
struct MeanSquaredLogarithmicError {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "mean_squared_logarithmic_error"; }
  Value operator()(Value prediction, Value target) const;
};

/// e^2 / 2 for |e| <= delta, else delta |e| - delta^2 / 2, mean over the last axis; e = p - t.
struct Huber {
  double delta = 1;
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "huber"; }
  Value operator()(Value prediction, Value target) const;
};

/// log cosh(p - t), mean over the last axis.
struct LogCosh {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "log_cosh"; }
  Value operator()(Value prediction, Value target) const;
};

/// -sum t p along an axis, both scaled to length 1 (to 0 where they are shorter than 1e-7): the
/// cosine of the angle between them, less than 0 where they look the same way. As a metric, the
/// sign is the cosine's own, as in Keras.
struct CosineSimilarity {
  int axis = -1;
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "cosine_similarity"; }
  Value operator()(Value prediction, Value target) const;
  Value metric(Value prediction, Value target) const;
};

// ---- margins

/// max(1 - t p, 0), mean over the last axis. Targets are -1 or 1; a batch of 0 and 1 alone is taken
/// as that.
struct Hinge {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "hinge"; }
  Value operator()(Value prediction, Value target) const;
};

/// The square of that, before the mean.
struct SquaredHinge {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "squared_hinge"; }
  Value operator()(Value prediction, Value target) const;
};

/// max(0, 1 + max((1 - t) p) - sum t p), over the last axis.
struct CategoricalHinge {
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "categorical_hinge"; }
  Value operator()(Value prediction, Value target) const;
};

// ---- overlaps

/// 1 - 2 sum t p / (sum t + sum p + 1e-7): how little two masks overlap.
///   axis  to sum over; none named: all, and so there is one loss for the batch
struct Dice {
  std::vector<int> axis{};
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "dice"; }
  Value operator()(Value prediction, Value target) const;
};

/// 1 - s / (s + alpha sum t (1 - p) + beta sum p (1 - t) + 1e-7), where s = sum t p.
///   axis  as Dice's
///   see   Salehi et al., "Tversky loss function for image segmentation", 2017
struct Tversky {
  double alpha = 0.5, beta = 0.5;
  std::vector<int> axis{};
  std::string reduction = "sum_over_batch_size";
  static std::string_view name() { return "tversky"; }
  Value operator()(Value prediction, Value target) const;
};

// ---- similarity

/// log(1 + sum e^(g a (d - m)) sum e^(g b (1 - m - d))) over the other samples of the batch, where
/// d is 1 - p.p', at least 0: the first sum is over those of the same class, with a = m + d, the
/// second over all others, with b = max(1 + m - d, 0). Samples whose loss is 0 do not count in the
/// mean.
///   prediction  f32[N,D], rows of length 1
///   target      classes [N] or [N,1]
///   see         Sun et al., "Circle loss", 2020
struct Circle {
  double gamma = 80;            ///< g
  double margin = 0.4;          ///< m
  bool remove_diagonal = true;  ///< a sample is not compared with itself
  std::string reduction = "sum_over_batch_size";
  static constexpr bool whole_batch = true;
  static std::string_view name() { return "circle"; }
  Value operator()(Value prediction, Value target) const;
  Value mask(Value prediction, Value target) const;
};

// ---- what losses and metrics do first

/// Targets of the prediction's shape, as f32, with the last axis of size 1 if that is what they
/// lack. Throws ShapeError that begins with `who`.
Value dense_target(std::string_view who, Value prediction, Value target);
/// Targets that are classes: s32, of the prediction's shape without its last axis.
Value class_target(std::string_view who, Value prediction, Value target);
/// Throws TypeError unless these are f32 numbers: what `who` returned.
void expect_numbers(std::string_view who, Value numbers);
/// Sample weights, to multiply numbers with: f32 of the numbers' first axes, and of size 1 along
/// the rest.
///   weight  [N], [N,1] or, for positions within samples, [N,T,...], beginning as the numbers do
///   throws  ShapeError if it does not
Value aligned_weight(std::string_view who, Value numbers, Value weight);

}  // namespace weft::nn
