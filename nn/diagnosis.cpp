#include "nn/diagnosis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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

/// How far the straight line through the points climbs from the first to the last.
double climb(const std::vector<Point>& points) {
  if (points.size() < 2) return 0;
  const auto count = static_cast<double>(points.size());
  double x = 0, y = 0, xx = 0, xy = 0;
  for (const Point& point : points) {
    x += point.epoch / count;
    y += point.loss / count;
  }
  for (const Point& point : points) {
    xx += (point.epoch - x) * (point.epoch - x);
    xy += (point.epoch - x) * (point.loss - y);
  }
  return xy / xx * (points.back().epoch - points.front().epoch);
}

/// Of the line's climb, for noise of that deviation.
double standard_error(const std::vector<Point>& points, double noise) {
  double x = 0, xx = 0;
  for (const Point& point : points) x += point.epoch / static_cast<double>(points.size());
  for (const Point& point : points) xx += (point.epoch - x) * (point.epoch - x);
  return noise / std::sqrt(xx) * (points.back().epoch - points.front().epoch);
}

double noise_of(const std::vector<Point>& points) {
  std::vector<double> differences;
  for (std::size_t i = 3; i < points.size(); ++i) {
    differences.push_back(std::abs(points[i].loss - 3 * points[i - 1].loss +
                                   3 * points[i - 2].loss - points[i - 3].loss));
  }
  if (differences.empty()) return 0;
  const auto middle =
      differences.begin() + static_cast<std::ptrdiff_t>((differences.size() - 1) / 2);
  std::ranges::nth_element(differences, middle);
  return *middle / (0.6745 * std::sqrt(20.0));
}

}  // namespace

Diagnosis diagnosis(const History& history) {
  Diagnosis result;
  if (!history.epoch.empty()) result.epochs = history.epoch.back() + 1;
  const std::vector<Point> all = points_of(history, "loss");
  const auto lost =
      std::ranges::find_if(all, [](const Point& point) { return !std::isfinite(point.loss); });
  if (lost != all.end()) result.diverged_from = lost->epoch;

  const std::vector<Point> train = finite(all), validation = finite(points_of(history, "val_loss"));
  if (!validation.empty()) {
    const Point best = *std::ranges::min_element(validation, {}, &Point::loss);
    result.best_epoch = best.epoch;
    result.best_loss = best.loss;
    const std::vector<Point> behind = since(validation, best.epoch);
    if (behind.size() < 2) {
      result.verdict = Verdict::underfitting;
    } else {
      const double rise = climb(behind);
      const bool rises = rise > 0.01 * std::abs(best.loss) &&
                         rise > 1.645 * standard_error(behind, noise_of(validation));
      const bool learns = climb(since(train, best.epoch)) < 0;
      result.verdict = !rises   ? Verdict::good_fit
                       : learns ? Verdict::overfitting
                                : Verdict::diverging;
      if (result.verdict == Verdict::overfitting) result.overfitting_from = behind[1].epoch;
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
      return "There is no validation loss to judge by: give fit validation_data or "
             "validation_split.";
    case Verdict::underfitting:
      return out + "It is the last one, so the model may still be underfitting: train longer.";
    case Verdict::good_fit:
      return out +
             "Behind it, the validation loss neither falls below that nor clearly rises: the model "
             "has learned about what it can from these data.";
    case Verdict::overfitting:
      return out + fmt::format(
                       "From epoch {} on the model overfits: the training loss goes on falling, "
                       "but the validation loss rises. Stop at epoch {}, or use more data, "
                       "dropout or a smaller model.",
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
         "Behind it, both the training loss and the validation loss rise: training is unstable. "
         "Try "
         "a lower learning rate.";
}

}  // namespace weft::nn
