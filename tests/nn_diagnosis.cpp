// What a history says in words.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
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
        "Best epoch: 7 of 10 (val_loss 0.0490). From epoch 8 on the model overfits: the validation "
        "loss rises, while the training loss does not. Stop at epoch 7, or use more data, dropout "
        "or a smaller model.");

  CHECK(
      nn::diagnosis(history_of({2, 1, .5, .4, .3, .2}, {2.3, 1, .5, .4, 8, 9})).overfitting_from ==
      5);
  // From the second epoch on, and with a bend in it.
  CHECK(nn::diagnosis(history_of({1, .5, .2}, {.5, .6, .9})).overfitting_from == 2);
  CHECK(nn::diagnosis(history_of({1, .8, .6, .5, .4, .3, .2}, {1, .5, .3, .25, .3, .4, .55}))
            .overfitting_from == 5);
  // Three times in a row, however steeply it fell before.
  CHECK(nn::diagnosis(history_of({1, .5, .3, .2, .1}, {1.5, .55, .58, .8, 1.1})).overfitting_from ==
        3);
  // After a steep fall; and where the training loss has come to an end.
  CHECK(
      nn::diagnosis(history_of({1, .6, .4, .3, .2}, {1.5, .55, .52, .586, .65})).overfitting_from ==
      4);
  CHECK(nn::diagnosis(history_of({1, .1, .001, .001, .0011, .001}, {1, .5, .4, .5, .6, .7}))
            .overfitting_from == 4);
}

TEST_CASE("diagnosis: if the validation loss still falls, the model may underfit") {
  const nn::Diagnosis found = nn::diagnosis(history_of({3, 2, 1}, {3, 2, 1.5}));
  CHECK(found.verdict == Verdict::underfitting);
  CHECK(found.best_epoch == 3);
  CHECK(!found.overfitting_from);
  CHECK(says(found, "Best epoch: 3 of 3 (val_loss 1.5000). The validation loss was still falling"));
  CHECK(says(found, "Train longer"));
  // Steeply to the end; and slowly, as with a low learning rate.
  for (const std::vector<double>& falling : {std::vector<double>{2.3, 1.2, .7, .5, .4},
                                             {1000, 300, 90, 30, 14, 8, 5},
                                             {1, .1, .01, .001, .0001},
                                             {1, .98, .96}}) {
    CAPTURE(falling.size());
    CHECK(nn::diagnosis(history_of(falling, falling)).verdict == Verdict::underfitting);
  }
  for (const int epochs : {20, 50}) {
    std::vector<double> slow;
    for (int i = 0; i < epochs; ++i) slow.push_back(2.3 - .0035 * i);
    CHECK(nn::diagnosis(history_of(slow, slow)).verdict == Verdict::underfitting);
  }
  // One epoch falls and rises nowhere.
  const nn::Diagnosis one = nn::diagnosis(history_of({3}, {3}));
  CHECK(one.verdict == Verdict::unknown);
  CHECK(one.best_epoch == 1);
  CHECK(says(one, "One validated epoch does not show"));
  // The tutorial's network, stopped after five epochs.
  CHECK(nn::diagnosis(history_of({.28, .09, .064, .052, .044}, {.0964, .07, .0627, .0559, .0500}))
            .verdict == Verdict::underfitting);
}

TEST_CASE("diagnosis: where the validation loss is level, the fit is good") {
  const nn::Diagnosis level =
      nn::diagnosis(history_of({3, 2, 1, .5, .4}, {3, 2, 2.01, 1.99, 2.005}));
  CHECK(level.verdict == Verdict::good_fit);
  CHECK(says(level, "Best epoch: 4 of 5 (val_loss 1.9900). At the end, the validation loss"));
  // A rise of less than 1 %.
  CHECK(nn::diagnosis(history_of({3, 2, 1, .5}, {3, 2, 2.005, 2.01})).verdict == Verdict::good_fit);
  CHECK(nn::diagnosis(history_of({.46, .26, .20, .17}, {.36, .29, .28, .29})).verdict ==
        Verdict::good_fit);
  // The last epoch is the best by chance.
  CHECK(nn::diagnosis(history_of({3, 2, 1, .5, .4, .3}, {1, 1.01, .99, 1.02, 1, .98})).verdict ==
        Verdict::good_fit);
}

namespace {

/// How many of 400 histories with normal noise of that deviation get the verdict.
int verdicts(Verdict wanted, int epochs, double noise,
             const std::function<double(double part)>& curve) {
  int count = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    nn::Random random(seed);
    std::vector<double> loss, validation;
    for (int epoch = 0; epoch < epochs; ++epoch) {
      const double part = epoch / (epochs - 1.0);
      loss.push_back(0.02 + 2 * std::exp(-4 * part) + 0.2 * noise * random.normal());
      validation.push_back(curve(part) + noise * random.normal());
    }
    if (nn::diagnosis(history_of(loss, validation)).verdict == wanted) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("diagnosis: noise is seldom taken for overfitting, and overfitting seldom for noise") {
  const auto level = [](double) { return 0.5; };
  const auto falls = [](double part) { return 0.5 + std::exp(-12 * part); };
  for (const double noise : {.005, .02, .1}) {
    for (const int epochs : {5, 7, 10, 15, 20, 30, 50, 100, 200}) {
      CAPTURE(noise);
      CAPTURE(epochs);
      // One in twenty is meant. Of short histories, the noise itself is known less well.
      const int most = epochs < 20 ? 40 : 32;
      CHECK(verdicts(Verdict::overfitting, epochs, noise, level) <= most);
      CHECK(verdicts(Verdict::overfitting, epochs, noise, falls) <= most);
      // Falls to its best within a third of the epochs, and rises by ten deviations until the end.
      const auto rises = [&](double part) {
        return 0.5 + std::exp(-15 * part) + 10 * noise * std::max(0.0, 1.5 * part - 0.5);
      };
      const int found = verdicts(Verdict::overfitting, epochs, noise, rises);
      if (epochs >= 10) CHECK(found >= 350);
      if (epochs >= 15) CHECK(found >= 390);
      // Falls by five deviations in the last third, and by more before it.
      const auto falling = [&](double part) {
        return 0.5 + 5 * noise * (std::exp(-2 * part) - std::exp(-2)) /
                         (std::exp(-4.0 / 3) - std::exp(-2));
      };
      CHECK(verdicts(Verdict::underfitting, epochs, noise, falling) >= 300);
      CHECK(verdicts(Verdict::underfitting, epochs, noise, level) <= 40);
    }
  }
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
  const nn::Diagnosis lost = nn::diagnosis(history_of({3, 2}, {nan, nan}));
  CHECK(lost.verdict == Verdict::unknown);
  CHECK(says(lost, "The validation loss is no finite number in any epoch"));

  // A first epoch without a number is not the best, and training that recovers has not diverged.
  const nn::Diagnosis recovered = nn::diagnosis(history_of({nan, 3, 2}, {nan, 3, 2}));
  CHECK(recovered.best_epoch == 3);
  CHECK(!recovered.diverged_from);
  CHECK(recovered.verdict == Verdict::underfitting);

  // Every second epoch was validated.
  const nn::History second = history_of({6, 5, 4, 3, 2, 1}, {-1, 2, -1, 1, -1, 2});
  CHECK(second.epochs_of("val_loss") == std::vector<int>{1, 3, 5});
  const nn::Diagnosis found = nn::diagnosis(second);
  CHECK(found.best_epoch == 4);
  CHECK(found.overfitting_from == 6);
}

}  // namespace weft::test
