#include "nn/confusion_metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "nn/losses.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

using Thresholds = std::span<const double>;
using Sums = std::span<const double>;

constexpr std::array half{0.5};
constexpr std::array no_threshold{-1e10};  // all that are among the top k are above it

Thresholds thresholds_of(const std::vector<double>& given, bool top_k = false) {
  if (!given.empty()) return given;
  return top_k ? Thresholds(no_threshold) : Thresholds(half);
}

double ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

// ---- on the host

/// What a threshold divides predictions into.
struct Counts {
  double true_positives = 0, true_negatives = 0, false_positives = 0, false_negatives = 0;

  double precision() const { return ratio(true_positives, true_positives + false_positives); }
  double recall() const { return ratio(true_positives, true_positives + false_negatives); }
  double specificity() const { return ratio(true_negatives, true_negatives + false_positives); }
};

/// Of sums by target and by how many thresholds a prediction is above: those above at least `from`.
Counts counts_above(Sums sums, std::size_t from) {
  const std::size_t buckets = sums.size() / 2;
  Counts counts;
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const double negative = sums[bucket], positive = sums[buckets + bucket];
    (bucket < from ? counts.true_negatives : counts.false_positives) += negative;
    (bucket < from ? counts.false_negatives : counts.true_positives) += positive;
  }
  return counts;
}

/// A prediction above a threshold is above all that are not larger.
Counts counts_at(Sums sums, Thresholds thresholds, std::size_t i) {
  const auto not_larger = std::count_if(thresholds.begin(), thresholds.end(),
                                        [&](double other) { return other <= thresholds[i]; });
  return counts_above(sums, static_cast<std::size_t>(not_larger));
}

template <class F>
double mean_result(Sums sums, Thresholds thresholds, F f) {
  double total = 0;
  for (std::size_t i = 0; i < thresholds.size(); ++i) total += f(counts_at(sums, thresholds, i));
  return total / static_cast<double>(thresholds.size());
}

template <class F>
Tensor all_results(Sums sums, Thresholds thresholds, F f) {
  std::vector<float> results;
  for (std::size_t i = 0; i < thresholds.size(); ++i) {
    results.push_back(static_cast<float>(f(counts_at(sums, thresholds, i))));
  }
  if (results.size() == 1) return Tensor::scalar(results[0]);
  return Tensor::of<float>({static_cast<std::int64_t>(results.size())}, results);
}

/// The largest `wanted` where `given` is at least `least`.
template <class Given, class Wanted>
double best(Sums sums, double least, Given given, Wanted wanted) {
  double largest = 0;
  for (std::size_t from = 1; from < sums.size() / 2; ++from) {
    const Counts counts = counts_above(sums, from);
    if (given(counts) >= least) largest = std::max(largest, wanted(counts));
  }
  return largest;
}

// ---- in the graph

/// How many thresholds each prediction is above, in f32.
struct Buckets {
  std::int64_t count;  ///< one more than there are thresholds
  Value of_prediction;
};

Buckets compared(Value p, Thresholds thresholds) {
  Value above;
  for (const double threshold : thresholds) {
    const Value is_above = greater(p, static_cast<float>(threshold));
    above = above ? above + is_above : is_above;
  }
  return {static_cast<std::int64_t>(thresholds.size()) + 1, above};
}

/// For thresholds 0, 1 / (count - 1), ..., 1, of which the first may be less and the last more.
Buckets evenly(Value p, std::int64_t count, bool beyond_ends) {
  const Value scaled = clip(p, 0, 1) * static_cast<float>(count - 1);
  const Value above = -floor(-scaled);
  return {count + 1, beyond_ends ? maximum(above, 1.0f) : above};
}

bool are_even(Thresholds thresholds) {
  if (thresholds.size() < 3) return false;
  for (std::size_t i = 0; i < thresholds.size(); ++i) {
    const double even = static_cast<double>(i) / static_cast<double>(thresholds.size() - 1);
    if (std::abs(thresholds[i] - even) > 1e-7 + 1e-5 * even) return false;
  }
  return true;
}

void check_thresholds(std::string_view who, Thresholds thresholds) {
  for (const double threshold : thresholds) {
    if (threshold >= 0 && threshold <= 1) continue;
    fail<ArgumentError>("{}: thresholds must lie in [0, 1], not at {}", who, threshold);
  }
}

Buckets buckets(std::string_view who, Value p, const std::vector<double>& given) {
  check_thresholds(who, given);
  if (are_even(given)) return evenly(p, static_cast<std::int64_t>(given.size()), false);
  return compared(p, thresholds_of(given));
}

/// 1 for the k largest of the last axis, the first among equals, else 0.
Value top_k_mask(std::string_view who, Value p, std::int64_t k) {
  if (k < 1) fail<ArgumentError>("{}: top_k must be at least 1, not {}", who, k);
  const std::int64_t classes = p.shape()[-1];
  Value mask, rest = p;
  for (std::int64_t i = 0; i < std::min(k, classes); ++i) {
    const Value largest = one_hot(argmax(rest), classes);
    mask = mask ? maximum(mask, largest) : largest;
    rest = select(largest, scalar_like(rest, std::numeric_limits<float>::lowest()), rest);
  }
  return mask;
}

Value of_class(std::string_view who, Value x, std::int64_t id) {
  const Shape& shape = x.shape();
  if (shape.rank() < 2) {
    fail<ShapeError>("{}: for a class_id, the output must be [N,K], not {}", who,
                     with_any_batch(shape));
  }
  if (id < 0 || id >= shape[-1]) {
    fail<ArgumentError>("{}: there is no class_id {} among the {} classes 0 to {}", who, id,
                        shape[-1], shape[-1] - 1);
  }
  std::vector<std::int64_t> first(shape.rank(), 0), last(shape.begin(), shape.end());
  first.back() = id;
  last.back() = id + 1;
  return slice(x, first, last);
}

/// The weights of predictions, by label (if they are told apart), target and bucket.
Value histogram(std::string_view who, const Buckets& buckets, Value target, Value weight,
                bool by_label = false) {
  const Shape& shape = target.shape();
  Value place = not_equal(target, scalar_like(target, 0)) * static_cast<float>(buckets.count) +
                buckets.of_prediction;
  std::int64_t size = 2 * buckets.count;
  if (by_label) {
    std::vector<float> first(static_cast<std::size_t>(shape[-1]));
    for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<float>(i) * size;
    place = place + Graph::of(target).constant(Tensor::of<float>({shape[-1]}, first));
    size *= shape[-1];
  }
  weight = weight ? aligned_weight(who, target, weight) : scalar_like(target, 1);
  const Shape flat{shape.elements()};
  return scatter_add(reshape(broadcast_to(weight, shape), flat),
                     cast(reshape(place, flat), DType::s32), {size});
}

Value counted(std::string_view who, Value p, Value target, Value weight,
              const std::vector<double>& thresholds, std::optional<std::int64_t> class_id = {},
              std::optional<std::int64_t> top_k = {}) {
  Value t = dense_target(who, p, target);
  Buckets above = buckets(who, p, thresholds);
  if (top_k) {
    if (thresholds.empty()) above = compared(p, no_threshold);
    above.of_prediction = above.of_prediction * top_k_mask(who, p, *top_k);
  }
  if (class_id) {
    above.of_prediction = of_class(who, above.of_prediction, *class_id);
    t = of_class(who, t, *class_id);
  }
  return histogram(who, above, t, weight);
}

/// For the best of one where the other is good enough.
Value counted_evenly(std::string_view who, std::string_view asked, double least, Value p,
                     Value target, Value weight, std::int64_t num_thresholds,
                     std::optional<std::int64_t> class_id) {
  if (!(least >= 0 && least <= 1)) {
    fail<ArgumentError>("{}: {} must be from 0 to 1, not {}", who, asked, least);
  }
  if (num_thresholds < 1) {
    fail<ArgumentError>("{}: num_thresholds must be at least 1, not {}", who, num_thresholds);
  }
  Value t = dense_target(who, p, target);
  if (class_id) {
    p = of_class(who, p, *class_id);
    t = of_class(who, t, *class_id);
  }
  return histogram(who, num_thresholds == 1 ? compared(p, half) : evenly(p, num_thresholds, false),
                   t, weight);
}

// ---- curves

/// A point of a curve.
struct Point {
  double x, y;
};

Point point(const std::string& curve, const Counts& counts) {
  if (curve == "ROC") return {1 - counts.specificity(), counts.recall()};
  if (curve == "PR") return {counts.recall(), counts.precision()};
  const double positives = counts.true_positives + counts.false_negatives;
  const double negatives = counts.true_negatives + counts.false_positives;
  if (counts.true_positives == 0) return {0, 1};
  const double scale = ratio(positives, negatives) / counts.true_positives;
  return {std::max(0.0, 1 - scale * counts.false_negatives), 1 - scale * counts.false_positives};
}

double height(const std::string& method, double a, double b) {
  if (method == "interpolation") return (a + b) / 2;
  return method == "minoring" ? std::min(a, b) : std::max(a, b);
}

/// Between two points of a PR curve, true positives grow linearly with all that are predicted true.
double interpolated(const Counts& low, const Counts& high) {
  const double more = low.true_positives - high.true_positives;
  const double all_low = low.true_positives + low.false_positives;
  const double all_high = high.true_positives + high.false_positives;
  const double slope = ratio(more, std::max(all_low - all_high, 0.0));
  const double intercept = high.true_positives - slope * all_high;
  const double growth = all_low > 0 && all_high > 0 ? all_low / all_high : 1;
  return ratio(slope * (more + intercept * std::log(growth)),
               high.true_positives + high.false_negatives);
}

/// The area of one label.
double area(const AUC& auc, Sums sums) {
  const std::size_t buckets = sums.size() / 2;
  Counts high;  // at the threshold above
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    high.true_negatives += sums[bucket];
    high.false_negatives += sums[buckets + bucket];
  }
  const bool interpolates = auc.curve == "PR" && auc.summation_method == "interpolation";
  double total = 0;
  for (std::size_t from = buckets - 1; from >= 1; --from) {
    Counts low = high;
    low.true_positives += sums[buckets + from];
    low.false_negatives -= sums[buckets + from];
    low.false_positives += sums[from];
    low.true_negatives -= sums[from];
    if (from < buckets - 1) {
      const Point a = point(auc.curve, low), b = point(auc.curve, high);
      total += interpolates ? interpolated(low, high)
                            : (a.x - b.x) * height(auc.summation_method, a.y, b.y);
    }
    high = low;
  }
  return total;
}

void expect_known(std::string_view what, const std::string& given,
                  std::initializer_list<std::string_view> known) {
  if (std::find(known.begin(), known.end(), given) != known.end()) return;
  fail<ArgumentError>("auc: unknown {} \"{}\"; known are {}", what, given, fmt::join(known, ", "));
}

double true_positives(const Counts& c) { return c.true_positives; }
double true_negatives(const Counts& c) { return c.true_negatives; }
double false_positives(const Counts& c) { return c.false_positives; }
double false_negatives(const Counts& c) { return c.false_negatives; }
double precision(const Counts& c) { return c.precision(); }
double recall(const Counts& c) { return c.recall(); }
double specificity(const Counts& c) { return c.specificity(); }

}  // namespace

// ---- counts

Value TruePositives::sums(Value prediction, Value target, Value weight) const {
  return counted(name(), prediction, target, weight, thresholds);
}
double TruePositives::result(Sums sums) const {
  return mean_result(sums, thresholds_of(thresholds), true_positives);
}
Tensor TruePositives::results(Sums sums) const {
  return all_results(sums, thresholds_of(thresholds), true_positives);
}

Value TrueNegatives::sums(Value prediction, Value target, Value weight) const {
  return counted(name(), prediction, target, weight, thresholds);
}
double TrueNegatives::result(Sums sums) const {
  return mean_result(sums, thresholds_of(thresholds), true_negatives);
}
Tensor TrueNegatives::results(Sums sums) const {
  return all_results(sums, thresholds_of(thresholds), true_negatives);
}

Value FalsePositives::sums(Value prediction, Value target, Value weight) const {
  return counted(name(), prediction, target, weight, thresholds);
}
double FalsePositives::result(Sums sums) const {
  return mean_result(sums, thresholds_of(thresholds), false_positives);
}
Tensor FalsePositives::results(Sums sums) const {
  return all_results(sums, thresholds_of(thresholds), false_positives);
}

Value FalseNegatives::sums(Value prediction, Value target, Value weight) const {
  return counted(name(), prediction, target, weight, thresholds);
}
double FalseNegatives::result(Sums sums) const {
  return mean_result(sums, thresholds_of(thresholds), false_negatives);
}
Tensor FalseNegatives::results(Sums sums) const {
  return all_results(sums, thresholds_of(thresholds), false_negatives);
}

Value Precision::sums(Value prediction, Value target, Value weight) const {
  return counted(name(), prediction, target, weight, thresholds, class_id, top_k);
}
double Precision::result(Sums sums) const {
  return mean_result(sums, thresholds_of(thresholds, top_k.has_value()), precision);
}
Tensor Precision::results(Sums sums) const {
  return all_results(sums, thresholds_of(thresholds, top_k.has_value()), precision);
}

Value Recall::sums(Value prediction, Value target, Value weight) const {
  return counted(name(), prediction, target, weight, thresholds, class_id, top_k);
}
double Recall::result(Sums sums) const {
  return mean_result(sums, thresholds_of(thresholds, top_k.has_value()), recall);
}
Tensor Recall::results(Sums sums) const {
  return all_results(sums, thresholds_of(thresholds, top_k.has_value()), recall);
}

// ---- the best of one where the other is good enough

Value SensitivityAtSpecificity::sums(Value prediction, Value target, Value weight) const {
  return counted_evenly(name(), "specificity", specificity, prediction, target, weight,
                        num_thresholds, class_id);
}
double SensitivityAtSpecificity::result(Sums sums) const {
  return best(sums, specificity, nn::specificity, recall);
}

Value SpecificityAtSensitivity::sums(Value prediction, Value target, Value weight) const {
  return counted_evenly(name(), "sensitivity", sensitivity, prediction, target, weight,
                        num_thresholds, class_id);
}
double SpecificityAtSensitivity::result(Sums sums) const {
  return best(sums, sensitivity, recall, specificity);
}

Value PrecisionAtRecall::sums(Value prediction, Value target, Value weight) const {
  return counted_evenly(name(), "recall", recall, prediction, target, weight, num_thresholds,
                        class_id);
}
double PrecisionAtRecall::result(Sums sums) const {
  return best(sums, recall, nn::recall, precision);
}

Value RecallAtPrecision::sums(Value prediction, Value target, Value weight) const {
  return counted_evenly(name(), "precision", precision, prediction, target, weight, num_thresholds,
                        class_id);
}
double RecallAtPrecision::result(Sums sums) const {
  return best(sums, precision, nn::precision, recall);
}

// ---- AUC

Value AUC::sums(Value prediction, Value target, Value weight) const {
  expect_known("curve", curve, {"ROC", "PR", "PRGAIN"});
  expect_known("summation_method", summation_method, {"interpolation", "minoring", "majoring"});
  check_thresholds(name(), thresholds);
  if (num_thresholds < 2) {
    fail<ArgumentError>("auc: num_thresholds must be at least 2, not {}", num_thresholds);
  }
  const Value t = dense_target(name(), prediction, target);
  const std::int64_t labels = prediction.shape()[-1];
  if (multi_label && prediction.shape().rank() != 2) {
    fail<ShapeError>("auc: for multi_label, the output must be [N,K], not {}",
                     with_any_batch(prediction.shape()));
  }
  if (num_labels && (!multi_label || *num_labels != labels)) {
    fail<ArgumentError>("auc: num_labels is {}, but there are {}", *num_labels,
                        multi_label ? fmt::format("{} labels", labels)
                                    : std::string("labels only with multi_label"));
  }
  if (!label_weights.empty() && static_cast<std::int64_t>(label_weights.size()) != labels) {
    fail<ArgumentError>("auc: there are {} label_weights for {} labels", label_weights.size(),
                        labels);
  }
  if (!label_weights.empty() && !multi_label) {
    const std::vector<float> numbers(label_weights.begin(), label_weights.end());
    const Value of_labels = Graph::of(t).constant(Tensor::of<float>({labels}, numbers));
    weight =
        weight ? aligned_weight(name(), t, weight) * of_labels : broadcast_to(of_labels, t.shape());
  }
  const Value p = from_logits ? sigmoid(prediction) : prediction;
  std::vector<double> all(thresholds);
  std::sort(all.begin(), all.end());
  all.insert(all.begin(), 0);
  all.push_back(1);
  const bool even = thresholds.empty() || are_even(all);
  all.front() -= 1e-7;
  all.back() += 1e-7;
  const auto count = thresholds.empty() ? num_thresholds : static_cast<std::int64_t>(all.size());
  return histogram(name(), even ? evenly(p, count, true) : compared(p, all), t, weight,
                   multi_label);
}

double AUC::result(Sums sums) const {
  if (!multi_label) return area(*this, sums);
  const std::size_t count = 2 * (thresholds.empty() ? static_cast<std::size_t>(num_thresholds) + 1
                                                    : thresholds.size() + 3);
  const std::size_t labels = sums.size() / count;
  double total = 0, weights = 0;
  for (std::size_t label = 0; label < labels; ++label) {
    const double weight = label_weights.empty() ? 1 : label_weights[label];
    total += weight * area(*this, sums.subspan(label * count, count));
    weights += weight;
  }
  return ratio(total, weights);
}

}  // namespace weft::nn
