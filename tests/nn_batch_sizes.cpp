// A model that meets batches of many sizes: what it holds of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "nn/nn.hpp"

namespace weft {
namespace {

nn::Dataset waves(std::int64_t rows) {
  Tensor x(Type{DType::f32, {rows, 8, 8, 1}}), y(Type{DType::f32, {rows, 2}});
  int i = 0;
  for (float& v : x.data<float>()) v = std::sin(static_cast<float>(i++) * 0.7f);
  return {x, y};
}

nn::Sequential network() {
  return nn::Sequential(
      {nn::Conv2D(4, 3, {.activation = "relu"}), nn::MaxPooling2D(2), nn::Flatten(), nn::Dense(2)},
      {.seed = 5, .replicas = 1});
}

TEST_CASE("batch sizes: the steps of the last eight are held, and answers do not change") {
  constexpr std::int64_t largest = 30;
  constexpr std::size_t most = 8;
  nn::Sequential model = network();
  model.predict_on_batch(waves(largest));
  const auto one = model.step_statistics();
  CHECK(one.count == 1);
  CHECK(one.contexts == 1);
  CHECK(one.arena_bytes > 0);
  std::vector<Tensor> answers;
  for (std::int64_t rows = 1; rows <= largest; ++rows) {
    answers.push_back(model.predict_on_batch(waves(rows)));
    CHECK(model.step_statistics().count <= most);
    // A smaller batch may have another kernel, which needs more memory than that of a larger one.
    CHECK(model.step_statistics().arena_bytes <= 2 * most * one.arena_bytes);
  }
  CHECK(model.step_statistics().count == most);
  for (std::int64_t rows = 1; rows <= largest; ++rows) {  // compiled anew
    const Tensor y = model.predict_on_batch(waves(rows));
    const Tensor& before = answers[static_cast<std::size_t>(rows - 1)];
    CHECK(std::ranges::equal(y.data<float>(), before.data<float>()));
  }
}

TEST_CASE("batch sizes: training, evaluation and prediction count together") {
  nn::Sequential model = network();
  model.compile({.optimizer = "sgd", .loss = "mse"});
  for (std::int64_t rows = 1; rows <= 6; ++rows) {
    const nn::Dataset data = waves(rows);
    model.train_on_batch(data);
    model.test_on_batch(data);
    model.predict_on_batch(data);
  }
  CHECK(model.step_statistics().count == 8);
  CHECK(model.iterations() == 6);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  CHECK(model.step_statistics().count == 0);
}

TEST_CASE("batch sizes: an executable that was given away stays") {
  nn::Sequential model = network();
  model.build({8, 8, 1});
  Executable& step = model.prediction_step(3);
  const Tensor right = model.predict_on_batch(waves(3));
  for (std::int64_t rows = 4; rows < 24; ++rows) model.predict_on_batch(waves(rows));
  CHECK(model.step_statistics().count == 9);
  CHECK(&model.prediction_step(3) == &step);
  const nn::Dataset data = waves(3);
  const std::vector<std::int64_t> rows{0, 1, 2};
  data.x().take(rows, step.input("x"));
  step.step();
  CHECK(std::ranges::equal(step.output(0).data<float>(), right.data<float>()));
}

}  // namespace
}  // namespace weft
