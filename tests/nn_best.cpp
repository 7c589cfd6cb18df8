// NaN is never the best: it beats no number and equals none, and any number beats it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

const Tensor x = Tensor::of<float>({2, 1}, {1, 2}), y = Tensor::of<float>({2, 1}, {3, 5});

/// Trains one weight per epoch, and logs a course of our choice as "a".
struct Training {
  nn::Sequential model{{nn::Dense(1, {.input_shape = {1}})}, {.seed = 1}};
  std::vector<std::vector<float>> weights{};  // after each epoch

  Training() { model.compile({.optimizer = "sgd", .loss = "mse"}); }

  nn::History fit(const std::vector<double>& course, std::vector<nn::Callback> callbacks) {
    nn::Callback first;
    first.on_epoch_end = [&](nn::Model& m, int epoch, nn::Logs& logs) {
      logs.set("a", course.at(static_cast<std::size_t>(epoch)));
      weights.push_back(flat(m));
    };
    callbacks.insert(callbacks.begin(), first);
    return model.fit(x, y,
                     {.epochs = static_cast<int>(course.size()),
                      .verbose = 0,
                      .callbacks = std::move(callbacks)});
  }
  static std::vector<float> flat(nn::Model& model) {
    std::vector<float> numbers;
    for (const Tensor& weight : model.get_weights()) {
      const auto some = weight.data<float>();
      numbers.insert(numbers.end(), some.begin(), some.end());
    }
    return numbers;
  }
};

TEST_CASE("best: EarlyStopping goes back to the best number, whatever came as NaN") {
  for (const std::string mode : {"min", "max"}) {
    CAPTURE(mode);
    const auto sign = mode == "min" ? 1.0 : -1.0;
    const auto run = [&](std::vector<double> course) {
      for (double& number : course) number *= sign;
      Training training;
      const auto epochs =
          training
              .fit(course,
                   {nn::EarlyStopping{
                       .monitor = "a", .patience = 3, .mode = mode, .restore_best_weights = true}})
              .epoch.size();
      const auto now = Training::flat(training.model);
      const auto best = std::ranges::find(training.weights, now) - training.weights.begin();
      return std::pair(epochs, best);
    };
    CHECK(run({NAN, 9, 8, 7, 6}) == std::pair(5ul, 4l));
    CHECK(run({NAN, 5, NAN, 6, 7, 4}) == std::pair(5ul, 1l));  // three epochs without improvement
    CHECK(run({9, NAN, 8, NAN, NAN, NAN, 1}) == std::pair(6ul, 2l));
    CHECK(run({NAN, NAN, 3, 4}) == std::pair(4ul, 2l));
    // Nothing was ever better: it stops, and the weights stay.
    CHECK(run({NAN, NAN, NAN, NAN, NAN}) == std::pair(3ul, 2l));
    CHECK(run({HUGE_VAL, 5, 6}) == std::pair(3ul, 1l));
  }
  CHECK_THROWS_AS(nn::Callback(nn::EarlyStopping{.monitor = "loss", .min_delta = NAN}),
                  ArgumentError);
}

TEST_CASE("best: ModelCheckpoint saves no NaN over a number, and a number over a NaN") {
  const TemporaryFolder folder;
  const std::string file = (folder / "best.keras").string();
  const auto saved_of = [&](const std::vector<double>& course,
                            std::optional<double> threshold = {}) -> std::ptrdiff_t {
    std::filesystem::remove(file);
    Training training;
    training.fit(course, {nn::ModelCheckpoint{file,
                                              {.monitor = "a",
                                               .save_best_only = true,
                                               .mode = "min",
                                               .initial_value_threshold = threshold}}});
    if (!std::filesystem::exists(file)) return -1;
    nn::Model saved = nn::load_model(file);
    return std::ranges::find(training.weights, Training::flat(saved)) - training.weights.begin();
  };
  CHECK(saved_of({NAN, 9, 8}) == 2);
  CHECK(saved_of({NAN, 8, 9}) == 1);
  CHECK(saved_of({8, NAN, 9}) == 0);
  CHECK(saved_of({NAN, NAN}) == -1);
  CHECK(saved_of({9, 8}, NAN) == 1);
  CHECK(saved_of({9, NAN, 8}, 8.5) == 2);
}

TEST_CASE("best: ReduceLROnPlateau counts NaN as no improvement") {
  Training training;
  const nn::History history = training.fit(
      {NAN, 5, 4, NAN, NAN, 3},
      {nn::ReduceLROnPlateau{.monitor = "a", .factor = 0.5, .patience = 2, .mode = "min"}});
  const std::vector<double>& rates = history["learning_rate"];
  // Epoch 1 has no number, 2 and 3 improve, 4 and 5 have none, 6 improves.
  CHECK(rates.back() == doctest::Approx(rates.front() / 2));
  CHECK(rates[4] == rates[0]);
}

TEST_CASE("best: a state with NaN as the best is improved on by any number") {
  nn::Callback stopping = nn::EarlyStopping{.monitor = "a", .patience = 2, .mode = "min"};
  nn::CallbackState state = stopping.state();
  state.numbers["best"] = NAN;
  nn::Callback resumed;
  resumed.on_epoch_begin = [&](nn::Model& model, int epoch) {
    if (epoch == 0) stopping.set_state(model, state);
  };
  Training training;
  CHECK(training.fit({9, 8, 7, 6}, {resumed, stopping}).epoch.size() == 4);
  CHECK(stopping.state().number("best") == 6);
}

}  // namespace
}  // namespace weft::test
