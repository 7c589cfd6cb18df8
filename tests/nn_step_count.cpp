// The count of steps: an s32 that goes on where f32 would stop, and what follows from it.
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "io/model_files.hpp"
#include "ops/ops.hpp"
#include "tests/io_files.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

constexpr std::int32_t f32_stops = 1 << 24;  // f32 has no 2^24 + 1

nn::Sequential one_weight(nn::Optimizer optimizer, double dropout = 0) {
  nn::Sequential model({nn::Dropout(dropout), nn::Dense(1, {.use_bias = false, .name = "dense"})});
  model.build({64});
  model.compile({.optimizer = std::move(optimizer), .loss = "mse"});
  return model;
}

void set_steps(nn::Model& model, std::int32_t steps) {
  model.variables().set(model.training().optimizer.name + "/iteration", Tensor::scalar(steps));
}

const Tensor x = Tensor::full({4, 64}, 1), y = Tensor::full({4, 1}, 100);

}  // namespace

TEST_CASE("steps: they are counted beyond 2^24") {
  nn::Sequential model = one_weight("adam");
  set_steps(model, f32_stops);
  for (int step = 1; step <= 3; ++step) {
    model.train_on_batch(x, y);
    CHECK(model.iterations() == f32_stops + step);
  }
  // At the end of s32 it stays, and does not wrap around.
  set_steps(model, INT32_MAX);
  model.train_on_batch(x, y);
  CHECK(model.iterations() == INT32_MAX);
}

TEST_CASE("steps: schedules go on beyond 2^24") {
  nn::Sequential model = one_weight(
      nn::SGD{.learning_rate = nn::PiecewiseConstantDecay{{f32_stops + 3}, {0.5, 0.25}}});
  set_steps(model, f32_stops);
  std::vector<double> rates;
  for (int step = 0; step < 8; ++step) {
    rates.push_back(model.learning_rate());
    model.train_on_batch(x, y);
  }
  CHECK(rates.front() == 0.5);
  CHECK(rates.back() == 0.25);
}

TEST_CASE("steps: updates of summed gradients come at the right steps beyond 2^24") {
  nn::Sequential model =
      one_weight({nn::SGD{.learning_rate = 1e-3}, {.gradient_accumulation_steps = 3}});
  const std::int32_t first = f32_stops / 3 * 3;  // a multiple
  set_steps(model, first);
  std::vector<float> kernels;
  for (int step = 1; step <= 7; ++step) {
    kernels.push_back(to_floats(model.get_weights()[0])[0]);
    model.train_on_batch(x, y);
    CHECK((to_floats(model.get_weights()[0])[0] != kernels.back()) == (step % 3 == 0));
    CHECK(model.iterations() == first / 3 + step / 3);
  }
}

TEST_CASE("steps: dropout draws anew in each, beyond 2^24 and while gradients are summed up") {
  for (const bool several : {false, true}) {
    nn::OptimizerConfig config;
    if (several) config.gradient_accumulation_steps = 4;
    nn::Sequential model = one_weight({nn::SGD{.learning_rate = 0}, config}, 0.5);
    set_steps(model, f32_stops);
    std::set<double> losses;
    for (int step = 0; step < 4; ++step) losses.insert(model.train_on_batch(x, y)["loss"]);
    CHECK(losses.size() == 4);
  }
}

TEST_CASE("steps: train_on_batch draws what fit draws, batch by batch") {
  nn::OptimizerConfig config;
  config.gradient_accumulation_steps = 2;
  const nn::Optimizer optimizer{nn::SGD{.learning_rate = 1e-3}, config};
  nn::Sequential by_fit = one_weight(optimizer, 0.5), by_batch = one_weight(optimizer, 0.5);
  Tensor many = Tensor::full({16, 64}, 1), targets = Tensor::full({16, 1}, 100);
  by_batch.set_weights(by_fit.get_weights());
  by_fit.fit(many, targets,
             {.epochs = 1, .batch_size = 4, .shuffle = false, .verbose = 0, .seed = 9});
  for (int step = 0; step < 4; ++step) by_batch.train_on_batch(x, y, {.seed = 9});
  CHECK(to_floats(by_fit.get_weights()[0]) == to_floats(by_batch.get_weights()[0]));
}

TEST_CASE("steps: files hold them, and what is beyond s32 is held at its end") {
  TemporaryFolder folder;
  nn::Sequential model = one_weight("adam");
  set_steps(model, f32_stops + 1);
  for (const char* name : {"m.keras", "m.h5", "m.weights.h5"}) {
    const auto file = folder / name;
    const bool weights_only = std::string(name).find("weights") != std::string::npos;
    weights_only ? model.save_weights(file) : model.save(file);
    nn::Sequential other = one_weight("adam");
    if (weights_only) {
      other.load_weights(file);
      CHECK(other.iterations() == f32_stops + 1);
    } else {
      CHECK(nn::load_model(file).iterations() == f32_stops + 1);
    }
  }
}

TEST_CASE("optimizers: variables are named in Keras 3's order") {
  using Names = std::vector<std::string>;
  const auto names = [](nn::Optimizer optimizer) {
    nn::Sequential model({nn::Dense(2, {.name = "a"})});
    model.build({3});
    model.compile({.optimizer = std::move(optimizer), .loss = "mse"});
    const Names before = model.optimizer_variables();
    model.train_on_batch(Tensor::full({4, 3}, 1), Tensor::full({4, 2}, 1));
    CHECK(model.optimizer_variables() == before);
    return before;
  };
  CHECK(names(nn::SGD{.momentum = 0.9}) == Names{"sgd/iteration", "sgd/learning_rate",
                                                 "sgd/momentum/a/kernel", "sgd/momentum/a/bias"});
  CHECK(names(nn::Adam{.amsgrad = true}) ==
        Names{"adam/iteration", "adam/learning_rate", "adam/momentum/a/kernel",
              "adam/velocity/a/kernel", "adam/momentum/a/bias", "adam/velocity/a/bias",
              "adam/velocity_hat/a/kernel", "adam/velocity_hat/a/bias"});
  CHECK(names(nn::RMSprop{.momentum = 0.8, .centered = true}) ==
        Names{"rmsprop/iteration", "rmsprop/learning_rate", "rmsprop/velocity/a/kernel",
              "rmsprop/velocity/a/bias", "rmsprop/momentum/a/kernel", "rmsprop/momentum/a/bias",
              "rmsprop/average_gradient/a/kernel", "rmsprop/average_gradient/a/bias"});
  CHECK(names({nn::Lion{}, {.use_ema = true, .gradient_accumulation_steps = 2}}) ==
        Names{"lion/iteration", "lion/learning_rate", "lion/average/a/kernel",
              "lion/average/a/bias", "lion/gradient_accumulator/a/kernel",
              "lion/gradient_accumulator/a/bias", "lion/momentum/a/kernel",
              "lion/momentum/a/bias"});
}

}  // namespace weft::test
