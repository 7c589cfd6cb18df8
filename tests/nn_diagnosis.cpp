// What a history says in words.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "nn/nn.hpp"

namespace weft::test {
namespace {

using nn::Verdict;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Where a validation loss is negative, the epoch was not validated.
nn::History history_of(const std::vector<double>& loss, const std::vector<double>& validation) {
  nn::History history;
  for (std::size_t i = 0; i < loss.size(); ++i) {
    nn::Logs logs;
    logs.set("loss", loss[i]);
    if (i < validation.size() && !(validation[i] < 0)) logs.set("val_loss", validation[i]);
    history.append(static_cast<int>(i), logs);
  }
  return history;
}

bool says(const nn::Diagnosis& found, std::string_view words) {
  return found.text().find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("diagnosis: validation loss that rises behind the best epoch is overfitting") {
  // The tutorial's network on MNIST.
  const nn::Diagnosis found = nn::diagnosis(
      history_of({.2795, .0893, .0642, .0520, .0442, .0377, .0324, .0283, .0234, .0200},
                 {.0964, .0671, .0627, .0559, .0559, .0555, .0490, .0515, .0545, .0556}));
  CHECK(found.verdict == Verdict::overfitting);
  CHECK(found.epochs == 10);
  CHECK(found.best_epoch == 7);
  CHECK(found.best_loss == 0.0490);
  CHECK(found.overfitting_from == 8);
  CHECK(found.text() ==
        "Best epoch: 7 of 10 (val_loss 0.0490). From epoch 8 on the model overfits: the training "
        "loss goes on falling, but the validation loss rises. Stop at epoch 7, or use more data, "
        "dropout or a smaller model.");

  // From the second epoch on, and with a bend in it.
  CHECK(nn::diagnosis(history_of({1, .5, .2}, {.5, .6, .9})).overfitting_from == 2);
  CHECK(nn::diagnosis(history_of({1, .8, .6, .5, .4, .3, .2}, {1, .5, .3, .25, .3, .4, .55}))
            .overfitting_from == 5);
}

TEST_CASE("diagnosis: if the best epoch is the last one, the model may underfit") {
  const nn::Diagnosis found = nn::diagnosis(history_of({3, 2, 1}, {3, 2, 1.5}));
  CHECK(found.verdict == Verdict::underfitting);
  CHECK(found.best_epoch == 3);
  CHECK(!found.overfitting_from);
  CHECK(says(found, "Best epoch: 3 of 3 (val_loss 1.5000). It is the last one"));
  CHECK(says(found, "train longer"));
  CHECK(nn::diagnosis(history_of({3}, {3})).verdict == Verdict::underfitting);
}

TEST_CASE("diagnosis: noise around a level line is no overfitting") {
  // A rise of less than 1 %.
  CHECK(nn::diagnosis(history_of({3, 2, 1, .5}, {3, 2, 2.005, 2.01})).verdict == Verdict::good_fit);
  int alarms = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    nn::Random random(seed);
    std::vector<double> loss, validation;
    for (int epoch = 0; epoch < 60; ++epoch) {
      loss.push_back(std::exp(-epoch / 8.0));
      validation.push_back(0.5 + std::exp(-epoch / 5.0) + 0.02 * random.normal());
    }
    const nn::Diagnosis level = nn::diagnosis(history_of(loss, validation));
    if (level.verdict == Verdict::overfitting) ++alarms;
    // The same noise on a line that rises by ten times as much is always found.
    for (std::size_t epoch = 0; epoch < 60; ++epoch) {
      validation[epoch] += 0.2 * std::max(0.0, static_cast<double>(epoch) - 20) / 40;
    }
    CAPTURE(seed);
    CHECK(nn::diagnosis(history_of(loss, validation)).verdict == Verdict::overfitting);
  }
  // More than one in twenty, since the line begins with the lowest of all.
  CAPTURE(alarms);
  CHECK(alarms < 50);
}

TEST_CASE("diagnosis: what is no number, and what was not validated") {
  const nn::Diagnosis diverged = nn::diagnosis(history_of({3, 2, nan, nan}, {3, 2.5, nan, nan}));
  CHECK(diverged.verdict == Verdict::diverging);
  CHECK(diverged.best_epoch == 2);
  CHECK(diverged.diverged_from == 3);
  CHECK(says(diverged, "From epoch 3 on the training loss is no finite number"));

  const nn::Diagnosis rising = nn::diagnosis(history_of({3, 2, 3, 4}, {3, 2.5, 3, 5}));
  CHECK(rising.verdict == Verdict::diverging);
  CHECK(says(rising, "both the training loss and the validation loss rise"));

  const nn::Diagnosis none = nn::diagnosis(history_of({3, 2}, {}));
  CHECK(none.verdict == Verdict::unknown);
  CHECK(!none.best_epoch);
  CHECK(says(none, "validation_data"));
  CHECK(nn::diagnosis({}).text() == "No epoch ran.");

  // Every second epoch was validated.
  const nn::History second = history_of({6, 5, 4, 3, 2, 1}, {-1, 2, -1, 1, -1, 2});
  CHECK(second.epochs_of("val_loss") == std::vector<int>{1, 3, 5});
  const nn::Diagnosis found = nn::diagnosis(second);
  CHECK(found.best_epoch == 4);
  CHECK(found.overfitting_from == 6);
}

}  // namespace weft::test
