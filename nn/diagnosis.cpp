#include "nn/diagnosis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

namespace weft::nn {
namespace {

/// What is known of one epoch, from 1.
struct Point {
  int epoch;
  double loss;
};

std::vector<Point> points_of(const History& history, const char* name) {
  std::vector<Point> points;
  if (!history.contains(name)) return points;
  const auto& epochs = history.epochs_of(name);
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    points.push_back({epochs[i] + 1, history[name][i]});
  }
  return points;
}

std::vector<Point> finite(std::vector<Point> points) {
  std::erase_if(points, [](const Point& point) { return !std::isfinite(point.loss); });
  return points;
}

std::vector<Point> since(const std::vector<Point>& points, int epoch) {
  const auto begins = [&](const Point& point) { return point.epoch >= epoch; };
  return {std::ranges::find_if(points, begins), points.end()};
}

/// Of the losses around their curve. Half of the second differences of independent noise are
/// smaller than 0.6745 sqrt(6) of its deviation.
struct Noise {
  double deviation = 0;
  std::size_t differences = 0;  ///< that say it; 0: it is not known
};

/// From at least three losses.
Noise noise_from(std::vector<Point>::const_iterator first,
                 std::vector<Point>::const_iterator last) {
  std::vector<double> differences;
  for (; last - first >= 3; ++first) {
    differences.push_back(std::abs(first[0].loss - 2 * first[1].loss + first[2].loss));
  }
  const auto middle =
      differences.begin() + static_cast<std::ptrdiff_t>((differences.size() - 1) / 2);
  std::ranges::nth_element(differences, middle);
  return {*middle / (0.6745 * std::sqrt(6.0)), differences.size()};
}

/// From the epoch before the best on, where that is enough: a curve that still falls steeply has
/// large differences itself. So has one that leaps behind its best: if that takes it above all that
/// was before, the noise is that of the whole.
Noise noise_of(const std::vector<Point>& all, int best_epoch) {
  if (all.size() < 5) return {};
  const auto best =
      std::ranges::find_if(all, [&](const Point& point) { return point.epoch >= best_epoch; });
  auto first = best == all.begin() ? best : best - 1;
  if (all.end() - first < 4) first = all.begin();
  const Noise late = noise_from(first, all.end()), whole = noise_from(all.begin(), all.end());
  return all.end() - first < 6 && whole.deviation < late.deviation ? whole : late;
}

/// How far the straight line through some points climbs from the first to the last, and how far it
/// must for that to be more than noise.
struct Trend {
  double climb = 0, least = 0;
  bool rises() const { return climb > least; }
  bool falls() const { return -climb > least; }
};

/// `least` is the climb that counts if there were no noise; none: 1 % of the lowest.
Trend trend(const std::vector<Point>& points, const Noise& noise,
            std::optional<double> least = {}) {
  if (points.size() < 2) return {};
  double x = 0, y = 0, xx = 0, xy = 0, lowest = HUGE_VAL;
  for (const Point& point : points) {
    x += point.epoch / static_cast<double>(points.size());
    y += point.loss / static_cast<double>(points.size());
    lowest = std::min(lowest, std::abs(point.loss));
  }
  for (const Point& point : points) {
    xx += (point.epoch - x) * (point.epoch - x);
    xy += (point.epoch - x) * (point.loss - y);
  }
  const double length = points.back().epoch - points.front().epoch, climb = xy / xx * length;
  if (noise.differences == 0) return {climb, 0.05 * lowest};
  // The fewer differences the noise is taken from, the less it is known.
  const double errors = 1.645 * (1 + 3 / static_cast<double>(noise.differences));
  return {climb, std::max(least.value_or(0.01 * lowest),
                          errors * noise.deviation / std::sqrt(xx) * length)};
}

/// The least that is worth a word: 1 % of the best loss, or a tenth of all that it has fallen,
/// where that is less, as it is if it falls slowly.
double least_fall(const std::vector<Point>& points) {
  const double lowest = std::ranges::min_element(points, {}, &Point::loss)->loss;
  return std::min(0.01 * std::abs(lowest), 0.1 * (points.front().loss - lowest));
}

/// From the best on, at least three times in a row.
bool rises_each_time(const std::vector<Point>& points) {
  return points.size() >= 4 && std::ranges::is_sorted(points, {}, &Point::loss) &&
         points.back().loss - points.front().loss > 0.01 * std::abs(points.front().loss);
}

/// To the end, and in the second half still by as much as counts: it has not settled.
bool falls_each_time(const std::vector<Point>& points, double least) {
  return std::ranges::is_sorted(points, std::greater(), &Point::loss) &&
         points[(points.size() - 1) / 2].loss - points.back().loss > least;
}

/// Over the last third, if the best is in its second half; the last, where noise is not known.
bool still_falls(const std::vector<Point>& points, int best_epoch, const Noise& noise) {
  const std::size_t size = std::min(points.size(), std::max<std::size_t>(4, points.size() / 3));
  const std::vector<Point> last(points.end() - static_cast<std::ptrdiff_t>(size), points.end());
  const double least = least_fall(points);
  if (falls_each_time(last, least)) return true;
  const Point& late = noise.differences == 0 ? last.back() : last[size / 2];
  return best_epoch >= late.epoch && trend(last, noise, least).falls();
}

Verdict verdict(const std::vector<Point>& train, const std::vector<Point>& validation,
                int best_epoch) {
  if (validation.size() == 1) return Verdict::unknown;
  const Noise noise = noise_of(validation, best_epoch);
  std::vector<Point> behind = since(validation, best_epoch);
  const bool each_time = rises_each_time(behind);
  behind[0].loss += std::sqrt(2 * std::log(validation.size())) * noise.deviation;
  if (each_time || trend(behind, noise).rises()) {
    const bool unstable = trend(since(train, best_epoch), noise_of(train, best_epoch)).rises();
    return unstable ? Verdict::diverging : Verdict::overfitting;
  }
  return still_falls(validation, best_epoch, noise) ? Verdict::underfitting : Verdict::good_fit;
}

}  // namespace

Diagnosis diagnosis(const History& history) {
  Diagnosis result;
  if (!history.epoch.empty()) result.epochs = history.epoch.back() + 1;
  const std::vector<Point> all = points_of(history, "loss");
  // Training may recover: what counts is the end.
  const auto is_finite = [](const Point& point) { return std::isfinite(point.loss); };
  const auto sound = std::find_if(all.rbegin(), all.rend(), is_finite);
  if (sound != all.rbegin()) result.diverged_from = sound.base()->epoch;

  const std::vector<Point> train = finite(all), validation = finite(points_of(history, "val_loss"));
  result.validated = history.contains("val_loss");
  if (!validation.empty()) {
    const Point best = *std::ranges::min_element(validation, {}, &Point::loss);
    result.best_epoch = best.epoch;
    result.best_loss = best.loss;
    result.verdict = verdict(train, validation, best.epoch);
    if (result.verdict == Verdict::overfitting) {
      result.overfitting_from = since(validation, best.epoch)[1].epoch;
    }
  }
  if (result.diverged_from) result.verdict = Verdict::diverging;
  return result;
}

std::string Diagnosis::text() const {
  if (epochs == 0) return "No epoch ran.";
  std::string out;
  if (best_epoch) {
    out = fmt::format(
        "Best epoch: {} of {} (val_loss {}). ", *best_epoch, epochs,
        *best_loss < 1e-3 ? fmt::format("{:.3g}", *best_loss) : fmt::format("{:.4f}", *best_loss));
  }
  switch (verdict) {
    case Verdict::unknown:
      if (best_epoch) {
        return out +
               "One validated epoch does not show whether the loss falls or rises. Train "
               "longer.";
      }
      if (validated) {
        return "The validation loss is no finite number in any epoch, so there is nothing to judge "
               "by: look for such numbers in the validation data, or try a lower learning rate.";
      }
      return "There is no validation loss to judge by: give fit validation_data or "
             "validation_split.";
    case Verdict::underfitting:
      return out +
             "The validation loss was still falling: the model may be underfitting. Train longer.";
    case Verdict::good_fit:
      return out +
             "At the end, the validation loss neither falls nor clearly rises: the model "
             "has learned about what it can from these data.";
    case Verdict::overfitting:
      return out + fmt::format(
                       "From epoch {} on the model overfits: the validation loss rises, while the "
                       "training loss "
                       "does not. Stop at epoch {}, or use more data, dropout or a smaller model.",
                       *overfitting_from, *best_epoch);
    case Verdict::diverging:
      break;
  }
  if (diverged_from) {
    return out + fmt::format(
                     "From epoch {} on the training loss is no finite number: training "
                     "diverged. Try a lower learning rate.",
                     *diverged_from);
  }
  return out +
         "From then on, both the training loss and the validation loss rise: training is unstable. "
         "Try "
         "a lower learning rate.";
}

}  // namespace weft::nn
