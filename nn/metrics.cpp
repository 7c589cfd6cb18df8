#include "nn/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "graph/print.hpp"
#include "nn/confusion_metrics.hpp"
#include "nn/losses.hpp"
#include "nn/score_metrics.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

constexpr float epsilon = 1e-7f;  // Keras' fuzz factor

struct Row {
  std::string_view name;
  Metric (*make)();
};

template <class T>
Metric make() {
  return T{};
}

constexpr std::array known{
    Row{"accuracy", []() -> Metric { return accuracy; }},
    Row{"acc", []() -> Metric { return accuracy; }},
    Row{"categorical_accuracy", make<CategoricalAccuracy>},
    Row{"sparse_categorical_accuracy", make<SparseCategoricalAccuracy>},
    Row{"binary_accuracy", make<BinaryAccuracy>},
    Row{"top_k_categorical_accuracy", make<TopKCategoricalAccuracy>},
    Row{"sparse_top_k_categorical_accuracy", make<SparseTopKCategoricalAccuracy>},
    Row{"true_positives", make<TruePositives>},
    Row{"true_negatives", make<TrueNegatives>},
    Row{"false_positives", make<FalsePositives>},
    Row{"false_negatives", make<FalseNegatives>},
    Row{"precision", make<Precision>},
    Row{"recall", make<Recall>},
    Row{"auc", make<AUC>},
    Row{"f1_score", make<F1Score>},
    Row{"fbeta_score", make<FBetaScore>},
    Row{"confusion_matrix", make<ConfusionMatrix>},
    Row{"binary_iou", make<BinaryIoU>},
    Row{"r2_score", make<R2Score>},
    Row{"mean_squared_error", make<MeanSquaredError>},
    Row{"mse", make<MeanSquaredError>},
    Row{"root_mean_squared_error", make<RootMeanSquaredError>},
    Row{"mean_absolute_error", make<MeanAbsoluteError>},
    Row{"mae", make<MeanAbsoluteError>},
    Row{"mean_absolute_percentage_error", make<MeanAbsolutePercentageError>},
    Row{"mape", make<MeanAbsolutePercentageError>},
    Row{"mean_squared_logarithmic_error", make<MeanSquaredLogarithmicError>},
    Row{"msle", make<MeanSquaredLogarithmicError>},
    Row{"huber", make<Huber>},
    Row{"log_cosh_error", make<LogCoshError>},
    Row{"logcosh", make<LogCoshError>},
    Row{"log_cosh", make<LogCosh>},
    Row{"cosine_similarity", make<CosineSimilarity>},
    Row{"pearson_correlation", make<PearsonCorrelation>},
    Row{"concordance_correlation", make<ConcordanceCorrelation>},
    Row{"categorical_crossentropy", make<CategoricalCrossentropy>},
    Row{"sparse_categorical_crossentropy", make<SparseCategoricalCrossentropy>},
    Row{"binary_crossentropy", make<BinaryCrossentropy>},
    Row{"bce", make<BinaryCrossentropy>},
    Row{"categorical_focal_crossentropy", make<CategoricalFocalCrossentropy>},
    Row{"binary_focal_crossentropy", make<BinaryFocalCrossentropy>},
    Row{"kl_divergence", make<KLDivergence>},
    Row{"kld", make<KLDivergence>},
    Row{"poisson", make<Poisson>},
    Row{"hinge", make<Hinge>},
    Row{"squared_hinge", make<SquaredHinge>},
    Row{"categorical_hinge", make<CategoricalHinge>},
};

/// The place of the largest element; f32 holds every class exactly, and has the faster kernels.
Value largest(Value x) { return cast(argmax(x), DType::f32); }

/// Whether fewer than k numbers of a row are larger than the one at the class.
Value among_largest(std::string_view who, Value prediction, Value classes, std::int64_t k) {
  if (k < 1) fail<ArgumentError>("{}: k must be at least 1, not {}", who, k);
  const Value chosen = sum(prediction * one_hot(classes, prediction.shape()[-1]), {-1}, Keep::axes);
  return less(sum(greater(prediction, chosen), {-1}), static_cast<float>(k));
}

Value centered(Value x, int axis) { return x - mean(x, {axis}, Keep::axes); }
Value variance(Value x, int axis) { return mean(square(centered(x, axis)), {axis}, Keep::axes); }

}  // namespace

// ---- Metric

Metric::Metric(std::string_view wanted) {
  *this = find_named("metric", wanted, std::span<const Row>(known)).make();
  name = wanted;
}

Value Metric::operator()(Value prediction, Value target) const {
  if (function_) return function_(prediction, target);
  fail<ArgumentError>("{}: it has no number for each sample; sums() has what it keeps", name);
}

Value Metric::sums(Value prediction, Value target, Value weight) const {
  if (sums_) {
    const Value sums = sums_(prediction, target, weight);
    expect_numbers(name, sums);
    if (sums.shape().rank() > 1) {
      fail<ShapeError>("{}: sums must be f32[k], not {}", name, sums.type());
    }
    return sums;
  }
  const Value numbers = function_(prediction, target);
  expect_numbers(name, numbers);
  // Each sample counts once, however many positions it has; what is no number for each sample
  // counts for all of them.
  const auto sum_of_samples = [rows = prediction.shape()[0]](Value x) {
    const float part = static_cast<float>(rows) / static_cast<float>(x.shape().elements());
    const Value total = x.shape().rank() == 0 ? x : sum(x);
    return part == 1 ? total : total * part;
  };
  if (!weight) return sum_of_samples(numbers);
  weight = aligned_weight(name, numbers, weight);
  // As in Keras, what a loss masks is left out only where there are weights.
  if (const Value mask = mask_ ? mask_(prediction, target) : Value{}) weight = weight * mask;
  return concat(
      {reshape(sum_of_samples(numbers * weight), {1}), reshape(sum_of_samples(weight), {1})}, 0);
}

double Metric::mean_of(Sums sums, double samples) {
  const double weight = sums.size() > 1 ? sums[1] : samples;
  return weight == 0 ? 0 : sums[0] / weight;
}

// ---- how often it is right

Value categorical_accuracy(Value prediction, Value target) {
  return equal(largest(prediction),
               largest(dense_target("categorical_accuracy", prediction, target)));
}

Value sparse_categorical_accuracy(Value prediction, Value target) {
  const Value classes = class_target("sparse_categorical_accuracy", prediction, target);
  return equal(largest(prediction), cast(classes, DType::f32));
}

Value binary_accuracy(Value prediction, Value target) {
  return BinaryAccuracy{}(prediction, target);
}

Value accuracy(Value prediction, Value target) {
  const Shape& outputs = prediction.shape();
  const Shape& targets = target.shape();
  if (outputs.rank() > 0 && outputs[-1] == 1) return binary_accuracy(prediction, target);
  if (targets.rank() < outputs.rank() || (targets.rank() > 0 && targets[-1] == 1)) {
    return sparse_categorical_accuracy(prediction, target);
  }
  return categorical_accuracy(prediction, target);
}

Value Accuracy::operator()(Value prediction, Value target) const {
  return equal(prediction, dense_target(name(), prediction, target));
}

Value BinaryAccuracy::operator()(Value prediction, Value target) const {
  const Value wanted = dense_target(name(), prediction, target);
  return mean(equal(greater(prediction, static_cast<float>(threshold)), wanted), {-1});
}

Value TopKCategoricalAccuracy::operator()(Value prediction, Value target) const {
  const Value classes = argmax(dense_target(name(), prediction, target));
  return among_largest(name(), prediction, classes, k);
}

Value SparseTopKCategoricalAccuracy::operator()(Value prediction, Value target) const {
  const Value classes = class_target(name(), prediction, target);
  if (!from_sorted_ids) return among_largest(name(), prediction, classes, k);
  const Shape& shape = prediction.shape();
  std::vector<std::int64_t> first(shape.rank(), 0), last(shape.begin(), shape.end());
  last.back() = std::min(last.back(), k);
  const Value wanted = reshape(cast(classes, DType::f32), shape.with(-1, 1));
  return max(equal(slice(prediction, first, last), wanted), {-1});
}

// ---- how far it is off

Value RootMeanSquaredError::operator()(Value prediction, Value target) const {
  return square(prediction - dense_target(name(), prediction, target));
}

double RootMeanSquaredError::result(double mean) const { return std::sqrt(mean); }

Value LogCoshError::operator()(Value prediction, Value target) const {
  return LogCosh{}(prediction, target);
}

Value PearsonCorrelation::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  const Value deviations = sqrt(variance(t, axis) * variance(prediction, axis));
  return mean(centered(t, axis) * centered(prediction, axis) / deviations, {axis});
}

Value ConcordanceCorrelation::operator()(Value prediction, Value target) const {
  const Value t = dense_target(name(), prediction, target);
  const Value shift = mean(t, {axis}, Keep::axes) - mean(prediction, {axis}, Keep::axes);
  const Value spread = variance(t, axis) + variance(prediction, axis) + square(shift) + epsilon;
  return mean(2.0f * centered(t, axis) * centered(prediction, axis) / spread, {axis});
}

}  // namespace weft::nn
