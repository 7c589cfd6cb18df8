// Optimizers and schedules against Keras 3, on the numbers that tests/reference/optimizers.py
// wrote.
#include <algorithm>
#include <cmath>

#include "tests/reference_testing.hpp"

namespace weft::test {
namespace {

// 20 steps add up rounding of 3e-7, as in tests/reference.cpp.
constexpr double step_tolerance = 1e-5;
// A rate is a handful of f32 operations, with a cosine or a power: a few units in the last place.
constexpr double rate_tolerance = 2e-6;

constexpr std::int64_t steps = 20;

/// In the order of cases() in tests/reference/optimizers.py.
std::vector<nn::Optimizer> optimizers() {
  using namespace nn;
  return {
      SGD{.learning_rate = 0.1},
      RMSprop{.learning_rate = 0.01},
      Adam{.learning_rate = 0.01},
      AdamW{.learning_rate = 0.01},
      Adadelta{.learning_rate = 1},
      Adagrad{.learning_rate = 0.1},
      Adamax{.learning_rate = 0.01},
      Adafactor{.learning_rate = 0.05, .epsilon_1 = 1e-12},
      Nadam{.learning_rate = 0.01},
      Ftrl{.learning_rate = 0.1},
      Lion{.learning_rate = 0.003},
      Lamb{.learning_rate = 0.01},
      Muon{.learning_rate = 0.01},
      ScheduleFreeAdamW{.learning_rate = 0.01},

      RMSprop{
          .learning_rate = 0.003, .rho = 0.8, .momentum = 0.7, .epsilon = 1e-3, .centered = true},
      Adam{.learning_rate = 0.01, .beta_1 = 0.8, .beta_2 = 0.7, .epsilon = 1e-3, .amsgrad = true},
      AdamW{.learning_rate = 0.02,
            .weight_decay = 0.2,
            .beta_1 = 0.8,
            .beta_2 = 0.95,
            .epsilon = 1e-4,
            .amsgrad = true},
      Adadelta{.learning_rate = 2, .rho = 0.8, .epsilon = 1e-4},
      Adagrad{.learning_rate = 0.05, .initial_accumulator_value = 0.01, .epsilon = 1e-3},
      Adamax{.learning_rate = 0.02, .beta_1 = 0.8, .beta_2 = 0.9, .epsilon = 1e-3},
      Adafactor{.learning_rate = 0.1,
                .beta_2_decay = -0.5,
                .epsilon_1 = 1e-6,
                .epsilon_2 = 0.1,
                .clip_threshold = 0.5,
                .relative_step = false},
      Nadam{.learning_rate = 0.01, .beta_1 = 0.8, .beta_2 = 0.9, .epsilon = 1e-3},
      Ftrl{.learning_rate = 0.1,
           .learning_rate_power = -0.7,
           .initial_accumulator_value = 0.2,
           .l1_regularization_strength = 0.01,
           .l2_regularization_strength = 0.02,
           .l2_shrinkage_regularization_strength = 0.03,
           .beta = 0.5},
      Lion{.learning_rate = 0.003, .beta_1 = 0.7, .beta_2 = 0.9},
      Lamb{.learning_rate = 0.02, .beta_1 = 0.8, .beta_2 = 0.9, .epsilon = 1e-3},
      Muon{.learning_rate = 0.02,
           .adam_beta_1 = 0.8,
           .adam_beta_2 = 0.9,
           .adam_weight_decay = 0.1,
           .epsilon = 1e-3,
           .weight_decay = 0.2,
           .exclude_layers = {"classes"},
           .muon_a = 3,
           .muon_b = -4,
           .muon_c = 2,
           .adam_lr_ratio = 0.5,
           .momentum = 0.9,
           .ns_steps = 3,
           .nesterov = false,
           .rms_rate = std::nullopt},
      ScheduleFreeAdamW{
          .learning_rate = 0.02, .beta_1 = 0.8, .beta_2 = 0.9, .epsilon = 1e-3, .warmup_steps = 8},

      {SGD{.learning_rate = 0.1, .momentum = 0.5}, {.weight_decay = 0.1}},
      {Adam{.learning_rate = 0.01}, {.weight_decay = 0.5, .exclude_from_weight_decay = {"bias"}}},
      {AdamW{.learning_rate = 0.01, .weight_decay = 0.5},
       {.exclude_from_weight_decay = {"kernel"}}},
      {SGD{.learning_rate = 0.1}, {.clipnorm = 0.2}},
      {SGD{.learning_rate = 0.1}, {.global_clipnorm = 0.3}},
      {SGD{.learning_rate = 0.1}, {.clipvalue = 0.02}},
      {Adam{.learning_rate = 0.01}, {.use_ema = true, .ema_momentum = 0.8}},
      {SGD{.learning_rate = 0.1, .momentum = 0.5},
       {.use_ema = true, .ema_momentum = 0.9, .ema_overwrite_frequency = 3}},
      {SGD{.learning_rate = 0.1}, {.gradient_accumulation_steps = 4}},
      {Nadam{.learning_rate = 0.02}, {.gradient_accumulation_steps = 3}},
      {SGD{.learning_rate = 0.1}, {.loss_scale_factor = 1024}},

      {Adam{.learning_rate = 0.02},
       {.weight_decay = 0.3, .global_clipnorm = 0.1, .gradient_accumulation_steps = 3}},
      {RMSprop{.learning_rate = 0.005},
       {.clipnorm = 0.1,
        .use_ema = true,
        .ema_momentum = 0.7,
        .ema_overwrite_frequency = 2,
        .gradient_accumulation_steps = 3}},
      {AdamW{.learning_rate = CosineDecay{.initial_learning_rate = 0,
                                          .decay_steps = 12,
                                          .alpha = 0.1,
                                          .warmup_target = 0.03,
                                          .warmup_steps = 5}},
       {.clipvalue = 0.01, .use_ema = true}},
      {Adam{.learning_rate = ExponentialDecay{0.03, 4, 0.5, true}},
       {.weight_decay = 0.2, .gradient_accumulation_steps = 2}},
      Adafactor{.learning_rate = InverseTimeDecay{0.1, 2, 0.5}, .epsilon_1 = 1e-12},
      {Lamb{.learning_rate = 0.02}, {.weight_decay = 0.5}},
  };
}

/// Dense(8), with relu and a constraint: that comes after averages.
struct Held {
  static std::string_view name() { return "Held"; }
  Value operator()(nn::Scope& scope, Value x) const {
    const Value kernel = scope.parameter("kernel", {x.shape()[1], 8}, "glorot_uniform", {},
                                         nn::MaxNorm{.max_value = 2.5});
    return relu(matmul(x, kernel) + scope.parameter("bias", {8}, "zeros"));
  }
};

nn::Sequential network() {
  return {nn::Input({8, 8, 1}),
          nn::Conv2D(4, 3, {.padding = "same", .activation = "relu", .name = "images"}),
          nn::MaxPooling2D(2),
          nn::Flatten{},
          nn::Layer(Held{}, "hidden"),
          nn::Dense(3, {.activation = "softmax", .name = "classes"})};
}

}  // namespace

TEST_CASE("reference: 20 steps of every optimizer and option as in Keras") {
  const Tensor wanted = read("optimizers/steps");
  const nn::Dataset data(read("training/x"), read("training/y"));
  const std::vector<nn::Optimizer> all = optimizers();
  const std::int64_t numbers = wanted.shape()[1];
  REQUIRE(wanted.shape()[0] == static_cast<std::int64_t>(all.size()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    CAPTURE(all[i].name);
    nn::Sequential model = network();
    set_flat(model, read("training/initial"));
    model.compile({.optimizer = all[i], .loss = "categorical_crossentropy"});
    const std::vector<float> losses = losses_of_batches(model, data, 8);
    const auto row = wanted.data<float>().subspan(i * static_cast<std::size_t>(numbers),
                                                  static_cast<std::size_t>(numbers));
    CHECK(difference(Tensor::of<float>({steps}, losses),
                     Tensor::of<float>({steps}, row.subspan(0, steps)), 0) < step_tolerance);
    CHECK(difference(flat(model.get_weights()),
                     Tensor::of<float>({numbers - steps}, row.subspan(steps)), 1) < step_tolerance);
  }
}

TEST_CASE("reference: schedules as in Keras") {
  using namespace nn;
  const std::vector<LearningRate> schedules{
      ExponentialDecay{0.1, 7, 0.6},
      ExponentialDecay{
          .initial_learning_rate = 0.1, .decay_steps = 7, .decay_rate = 0.6, .staircase = true},
      PiecewiseConstantDecay{.boundaries = {3, 10, 50}, .values = {0.5, 0.25, 0.1, 0.01}},
      PolynomialDecay{0.1, 30},
      PolynomialDecay{0.1, 30, 0.02, 0.5},
      PolynomialDecay{.initial_learning_rate = 0.1,
                      .decay_steps = 13,
                      .end_learning_rate = 0.02,
                      .power = 2,
                      .cycle = true},
      InverseTimeDecay{0.1, 5, 0.7},
      InverseTimeDecay{
          .initial_learning_rate = 0.1, .decay_steps = 5, .decay_rate = 0.7, .staircase = true},
      CosineDecay{0.1, 60},
      CosineDecay{0.1, 60, 0.2},
      CosineDecay{.initial_learning_rate = 0.02,
                  .decay_steps = 60,
                  .alpha = 0.2,
                  .warmup_target = 0.3,
                  .warmup_steps = 20},
      CosineDecayRestarts{0.1, 10},
      CosineDecayRestarts{
          .initial_learning_rate = 0.1, .first_decay_steps = 10, .t_mul = 1, .m_mul = 0.8},
      CosineDecayRestarts{.initial_learning_rate = 0.1,
                          .first_decay_steps = 8,
                          .t_mul = 1.5,
                          .m_mul = 0.9,
                          .alpha = 0.1},
  };
  const Tensor wanted = read("optimizers/schedules");
  const std::size_t count = static_cast<std::size_t>(wanted.shape()[1]);
  REQUIRE(wanted.shape()[0] == static_cast<std::int64_t>(schedules.size()));
  for (std::size_t i = 0; i < schedules.size(); ++i) {
    CAPTURE(schedules[i].name);
    Graph graph;
    const Value step = graph.input({DType::f32, {}}, "step");
    Executable rate = compile({schedules[i](step)});
    for (std::size_t s = 0; s < count; ++s) {
      CAPTURE(s);
      const float got =
          rate.run({{"step", Tensor::scalar(static_cast<float>(s))}})[0].item<float>();
      const float want = wanted.data<float>()[i * count + s];
      CHECK(std::abs(got - want) <= rate_tolerance * std::max(0.01f, std::abs(want)));
    }
  }
}

}  // namespace weft::test
