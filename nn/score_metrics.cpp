#include "nn/score_metrics.hpp"

#include <algorithm>
#include <cmath>

#include "graph/print.hpp"
#include "nn/losses.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

constexpr double epsilon = 1e-7;  // Keras' fuzz factor

using Sums = std::span<const double>;

void expect_known(std::string_view who, std::string_view what, const std::string& given,
                  std::initializer_list<std::string_view> known) {
  if (std::find(known.begin(), known.end(), given) != known.end()) return;
  fail<ArgumentError>("{}: unknown {} \"{}\"; known are {}", who, what, given,
                      fmt::join(known, ", "));
}

void expect_rows(std::string_view who, Value prediction) {
  if (prediction.shape().rank() == 2) return;
  fail<ShapeError>("{}: the output must be [N,K], not {}", who, with_any_batch(prediction.shape()));
}

Tensor vector_of(const std::vector<float>& numbers) {
  return Tensor::of<float>({static_cast<std::int64_t>(numbers.size())}, numbers);
}

// ---- confusion matrices

/// f32[K * K] of classes in f32: the weight of samples by target and by prediction.
Value class_counts(std::string_view who, Value predicted, Value truth, Value weight,
                   std::int64_t classes, std::optional<std::int64_t> ignored = {}) {
  const auto k = static_cast<float>(classes);
  const auto inside = [&](Value x) { return greater(x, -1.0f) * less(x, k); };
  weight = weight ? aligned_weight(who, truth, weight) : scalar_like(truth, 1);
  weight = broadcast_to(weight, truth.shape());
  const Shape flat{truth.shape().elements()};
  predicted = reshape(predicted, flat);
  truth = reshape(truth, flat);
  Value counted = inside(predicted) * inside(truth);
  if (ignored) {
    counted = counted * not_equal(truth, scalar_like(truth, static_cast<float>(*ignored)));
  }
  const Value place = (truth * k + predicted) * counted;
  return scatter_add(reshape(weight, flat) * counted, cast(place, DType::s32), {classes * classes});
}

/// Numbers as classes, in f32.
Value whole(Value x) { return cast(cast(x, DType::s32), DType::f32); }
Value largest(Value x, int axis) { return cast(argmax(x, axis), DType::f32); }

Value iou_sums(std::string_view who, const IoU& iou, Value prediction, Value target, Value weight) {
  if (iou.num_classes < 1) {
    fail<ArgumentError>("{}: num_classes must be at least 1, not {}", who, iou.num_classes);
  }
  if (iou.target_class_ids.empty()) {
    fail<ArgumentError>("{}: target_class_ids names no class", who);
  }
  for (const std::int64_t id : iou.target_class_ids) {
    if (id >= 0 && id < iou.num_classes) continue;
    fail<ArgumentError>("{}: there is no class {} among the {} classes 0 to {}", who, id,
                        iou.num_classes, iou.num_classes - 1);
  }
  const Value truth = iou.sparse_y_true ? whole(target) : largest(target, iou.axis);
  const Value predicted = iou.sparse_y_pred ? whole(prediction) : largest(prediction, iou.axis);
  if (truth.shape().elements() != predicted.shape().elements()) {
    fail<ShapeError>("{}: predicted classes are {}, but those of targets are {}", who,
                     with_any_batch(predicted.shape()), with_any_batch(truth.shape()));
  }
  return class_counts(who, predicted, truth, weight, iou.num_classes, iou.ignore_class);
}

/// The mean over some classes, or all of them.
double iou_result(Sums sums, std::size_t classes, const std::vector<std::int64_t>* ids) {
  double total = 0, occurring = 0;
  const std::size_t count = ids == nullptr ? classes : ids->size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t c = ids == nullptr ? i : static_cast<std::size_t>((*ids)[i]);
    double united = -sums[c * classes + c];
    for (std::size_t other = 0; other < classes; ++other) {
      united += sums[c * classes + other] + sums[other * classes + c];
    }
    if (united <= 1e-9) continue;
    total += sums[c * classes + c] / (united + epsilon);
    ++occurring;
  }
  return total / (occurring + epsilon);
}

std::vector<std::int64_t> all_classes(std::int64_t count) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(i);
  return ids;
}

// ---- F scores

double f_score(double beta, double hits, double predicted, double there) {
  const double precision = hits / (predicted + epsilon), recall = hits / (there + epsilon);
  const double square = beta * beta;
  return (1 + square) * precision * recall / (square * precision + recall + epsilon);
}

/// Of sums f32[3,K]: hits, how often predicted, how often there.
double f_score(double beta, Sums sums, std::size_t k) {
  const std::size_t classes = sums.size() / 3;
  return f_score(beta, sums[k], sums[classes + k], sums[2 * classes + k]);
}

Value f_score_sums(std::string_view who, const FBetaScore& score, Value prediction, Value target,
                   Value weight) {
  const auto& [average, beta, threshold] = score;
  expect_known(who, "average", average, {"none", "micro", "macro", "weighted"});
  if (!(beta > 0)) fail<ArgumentError>("{}: beta must be above 0, not {}", who, beta);
  if (threshold && !(*threshold > 0 && *threshold <= 1)) {
    fail<ArgumentError>("{}: threshold must be above 0 and at most 1, not {}", who, *threshold);
  }
  expect_rows(who, prediction);
  const Value t = dense_target(who, prediction, target);
  const Value predicted = threshold ? greater(prediction, static_cast<float>(*threshold))
                                    : greater_equal(prediction, max(prediction, {-1}, Keep::axes)) *
                                          greater(abs(prediction), 1e-9f);
  const auto total = [&](Value x) {
    return sum(weight ? x * aligned_weight(who, x, weight) : x, {0});
  };
  return concat({total(predicted * t), total(predicted), total(t)}, 0);
}

// ---- R^2, of sums f32[4,K] and the number of targets: t, t^2, (t - p)^2, weights

struct Fit {
  double score, variance;  ///< variance: sum (t - mean t)^2
};

Fit fit_of(Sums sums, std::size_t k) {
  const std::size_t outputs = sums.size() / 4;
  const double total = sums[k], squares = sums[outputs + k], residual = sums[2 * outputs + k];
  const double variance = squares - total * total / sums[3 * outputs + k];
  const double score = 1 - residual / variance;
  return {std::isinf(score) ? 0 : score, variance};
}

double adjusted(double score, double targets, std::int64_t regressors) {
  const double left = targets - 1 - static_cast<double>(regressors);
  if (regressors == 0 || left <= 0) return score;
  return 1 - (1 - score) * (targets - 1) / left;
}

}  // namespace

// ---- ConfusionMatrix

Value ConfusionMatrix::sums(Value prediction, Value target, Value weight) const {
  const Shape& outputs = prediction.shape();
  const bool binary = outputs.rank() > 0 && outputs[-1] == 1;
  const bool vectors = !binary && target.shape() == outputs;
  const Value predicted = binary ? reshape(greater(prediction, static_cast<float>(threshold)),
                                           Shape(std::span(outputs.begin(), outputs.end() - 1)))
                                 : largest(prediction, -1);
  const Value truth = vectors ? largest(cast(target, DType::f32), -1)
                              : cast(class_target(name(), prediction, target), DType::f32);
  return class_counts(name(), predicted, truth, weight, binary ? 2 : outputs[-1]);
}

double ConfusionMatrix::result(Sums sums) const {
  const auto classes = static_cast<std::size_t>(std::llround(std::sqrt(sums.size())));
  double right = 0, all = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    all += sums[i];
    if (i % (classes + 1) == 0) right += sums[i];
  }
  return all == 0 ? 0 : right / all;
}

Tensor ConfusionMatrix::results(Sums sums) const {
  const auto classes = std::llround(std::sqrt(sums.size()));
  return vector_of({sums.begin(), sums.end()}).reshaped({classes, classes});
}

// ---- intersection over union

Value IoU::sums(Value prediction, Value target, Value weight) const {
  return iou_sums(name(), *this, prediction, target, weight);
}
double IoU::result(Sums sums) const {
  return iou_result(sums, static_cast<std::size_t>(num_classes), &target_class_ids);
}

Value MeanIoU::sums(Value prediction, Value target, Value weight) const {
  return iou_sums(
      name(),
      {num_classes, all_classes(num_classes), ignore_class, sparse_y_true, sparse_y_pred, axis},
      prediction, target, weight);
}
double MeanIoU::result(Sums sums) const {
  return iou_result(sums, static_cast<std::size_t>(num_classes), nullptr);
}

Value OneHotIoU::sums(Value prediction, Value target, Value weight) const {
  return iou_sums(name(), {num_classes, target_class_ids, ignore_class, false, sparse_y_pred, axis},
                  prediction, target, weight);
}
double OneHotIoU::result(Sums sums) const {
  return iou_result(sums, static_cast<std::size_t>(num_classes), &target_class_ids);
}

Value OneHotMeanIoU::sums(Value prediction, Value target, Value weight) const {
  return iou_sums(name(),
                  {num_classes, all_classes(num_classes), ignore_class, false, sparse_y_pred, axis},
                  prediction, target, weight);
}
double OneHotMeanIoU::result(Sums sums) const {
  return iou_result(sums, static_cast<std::size_t>(num_classes), nullptr);
}

Value BinaryIoU::sums(Value prediction, Value target, Value weight) const {
  const Value t = scalar_like(prediction, static_cast<float>(threshold));
  return iou_sums(name(), {2, target_class_ids}, greater_equal(prediction, t), target, weight);
}
double BinaryIoU::result(Sums sums) const { return iou_result(sums, 2, &target_class_ids); }

// ---- F scores

Value FBetaScore::sums(Value prediction, Value target, Value weight) const {
  return f_score_sums(name(), *this, prediction, target, weight);
}

double FBetaScore::result(Sums sums) const {
  const std::size_t classes = sums.size() / 3;
  if (average == "micro") {
    double totals[3] = {};
    for (std::size_t i = 0; i < sums.size(); ++i) totals[i / classes] += sums[i];
    return f_score(beta, totals[0], totals[1], totals[2]);
  }
  double score = 0, all = 0;
  for (std::size_t k = 0; k < classes; ++k) all += sums[2 * classes + k];
  for (std::size_t k = 0; k < classes; ++k) {
    const double part = average == "weighted" ? sums[2 * classes + k] / (all + epsilon)
                                              : 1 / static_cast<double>(classes);
    score += part * f_score(beta, sums, k);
  }
  return score;
}

Tensor FBetaScore::results(Sums sums) const {
  if (average != "none") return Tensor::scalar(static_cast<float>(result(sums)));
  std::vector<float> scores;
  for (std::size_t k = 0; k < sums.size() / 3; ++k) {
    scores.push_back(static_cast<float>(f_score(beta, sums, k)));
  }
  return vector_of(scores);
}

Value F1Score::sums(Value prediction, Value target, Value weight) const {
  return f_score_sums(name(), {average, 1, threshold}, prediction, target, weight);
}
double F1Score::result(Sums sums) const { return FBetaScore{average, 1, threshold}.result(sums); }
Tensor F1Score::results(Sums sums) const { return FBetaScore{average, 1, threshold}.results(sums); }

// ---- R^2

Value R2Score::sums(Value prediction, Value target, Value weight) const {
  expect_known(name(), "class_aggregation", class_aggregation,
               {"uniform_average", "variance_weighted_average", "none"});
  if (num_regressors < 0) {
    fail<ArgumentError>("{}: num_regressors must be at least 0, not {}", name(), num_regressors);
  }
  expect_rows(name(), prediction);
  const Value t = dense_target(name(), prediction, target);
  weight = weight ? aligned_weight(name(), t, weight) : scalar_like(t, 1);
  weight = broadcast_to(weight, t.shape());
  const auto total = [&](Value x) { return sum(x * weight, {0}); };
  const Value targets = scalar_like(t, static_cast<float>(t.shape().elements()));
  return concat({total(t), total(square(t)), total(square(t - prediction)), sum(weight, {0}),
                 reshape(targets, {1})},
                0);
}

double R2Score::result(Sums sums) const {
  const std::size_t outputs = sums.size() / 4;
  double score = 0, parts = 0;
  for (std::size_t k = 0; k < outputs; ++k) {
    const Fit fit = fit_of(sums, k);
    const double part = class_aggregation == "variance_weighted_average" ? fit.variance : 1;
    score += part * fit.score;
    parts += part;
  }
  return adjusted(score / parts, sums.back(), num_regressors);
}

Tensor R2Score::results(Sums sums) const {
  if (class_aggregation != "none") return Tensor::scalar(static_cast<float>(result(sums)));
  std::vector<float> scores;
  for (std::size_t k = 0; k < sums.size() / 4; ++k) {
    scores.push_back(
        static_cast<float>(adjusted(fit_of(sums, k).score, sums.back(), num_regressors)));
  }
  return vector_of(scores);
}

}  // namespace weft::nn
