#include "nn/schedules.hpp"

#include <cmath>

#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

/// The rate of a step, in double precision.
double at(const nn::LearningRate& rate, double step) {
  Graph graph;
  return evaluate({rate(graph.input({DType::f32, {}}, "step"))}, {{"step", Array({}, {step})}})[0]
      .data[0];
}

void check_rates(const nn::LearningRate& rate,
                 const std::vector<std::pair<double, double>>& wanted) {
  CAPTURE(rate.name);
  for (const auto& [step, number] : wanted) {
    CAPTURE(step);
    CHECK(at(rate, step) == doctest::Approx(number).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("schedules: rates by step") {
  check_rates(0.25, {{0, 0.25}, {1000, 0.25}});
  check_rates(nn::ExponentialDecay{0.5, 10, 0.25}, {{0, 0.5}, {5, 0.25}, {10, 0.125}});
  check_rates(nn::ExponentialDecay{0.5, 10, 0.25, true}, {{9, 0.5}, {10, 0.125}, {19, 0.125}});
  check_rates(nn::PiecewiseConstantDecay{{2, 4}, {3, 2, 1}},
              {{0, 3}, {2, 3}, {3, 2}, {4, 2}, {5, 1}, {900, 1}});
  check_rates(nn::PiecewiseConstantDecay{{}, {3}}, {{0, 3}, {7, 3}});
  check_rates(nn::PolynomialDecay{1.1, 10, 0.1, 2}, {{0, 1.1}, {5, 0.35}, {10, 0.1}, {99, 0.1}});
  check_rates(nn::PolynomialDecay{1.1, 10, 0.1, 1, true},
              {{0, 1.1}, {5, 0.6}, {10, 0.1}, {15, 0.35}, {20, 0.1}, {25, 0.1 + 5.0 / 30}});
  check_rates(nn::InverseTimeDecay{1, 2, 0.5}, {{0, 1}, {1, 0.8}, {2, 1 / 1.5}, {8, 1.0 / 3}});
  check_rates(nn::InverseTimeDecay{1, 2, 0.5, true}, {{1, 1}, {3, 1 / 1.5}});
  check_rates(nn::CosineDecay{2, 10, 0.5}, {{0, 2}, {5, 1.5}, {10, 1}, {11, 1}});
  check_rates(nn::CosineDecay{1, 10, 0, 3, 4}, {{0, 1}, {2, 2}, {4, 3}, {9, 1.5}, {14, 0}});
  check_rates(nn::CosineDecay{.initial_learning_rate = 1, .decay_steps = 10, .warmup_target = 3},
              {{0, 3}, {10, 0}});
  // Periods of 4, 8, 16, ... steps, each beginning at half of the rate before it.
  check_rates(
      nn::CosineDecayRestarts{.initial_learning_rate = 8, .first_decay_steps = 4, .m_mul = 0.5},
      {{0, 8}, {2, 4}, {4, 4}, {8, 2}, {12, 2}, {20, 1}, {28, 1}});
}

TEST_CASE("schedules: periods begin at their first step, also in f32") {
  for (const double t_mul : {1.0, 1.25, 2.0, 3.0, 10.0}) {
    CAPTURE(t_mul);
    Graph graph;
    const nn::CosineDecayRestarts schedule{1, 100, t_mul};
    Executable rate = compile({schedule(graph.input({DType::f32, {}}, "step"))});
    const auto run = [&](double step) {
      return rate.run({{"step", Tensor::scalar(static_cast<float>(step))}})[0].item<float>();
    };
    double begin = 0, length = 100;
    while (begin < 1e6) {
      CAPTURE(begin);
      if (begin == std::floor(begin)) CHECK(run(begin) > 0.999f);
      CHECK(run(std::ceil(begin + length) - 1) < 0.01f);
      begin += length;
      length *= t_mul;
      if (t_mul == 1 && begin > 1e4) break;
    }
  }
}

TEST_CASE("schedules: read back, and of the user's own") {
  const nn::LearningRate rate = nn::CosineDecay{.initial_learning_rate = 1, .decay_steps = 7};
  CHECK(rate.is_schedule());
  CHECK(rate.name == "CosineDecay");
  REQUIRE(rate.as<nn::CosineDecay>() != nullptr);
  CHECK(rate.as<nn::CosineDecay>()->decay_steps == 7);
  CHECK(rate.as<nn::PolynomialDecay>() == nullptr);
  CHECK_FALSE(nn::LearningRate(0.5).is_schedule());
  CHECK(nn::LearningRate(0.5).number == 0.5);

  check_rates([](Value step) { return 1.0f / (1.0f + step); }, {{0, 1}, {3, 0.25}});
  CHECK(message_of<TypeError>([] { at([](Value step) { return broadcast_to(step, {2}); }, 0); }) ==
        "learning rate \"schedule\": the schedule must return f32[], not f32[2]");
}

TEST_CASE("schedules: arguments out of range") {
  const auto wrong = [](auto schedule) {
    return message_of<ArgumentError>([&] { nn::LearningRate{schedule}; });
  };
  CHECK(wrong(nn::ExponentialDecay{0.1, 0, 0.5}) ==
        "ExponentialDecay: decay_steps must be at least 1, not 0");
  CHECK(wrong(nn::ExponentialDecay{-0.1, 1, 0.5}) ==
        "ExponentialDecay: initial_learning_rate must be a number of at least 0, not -0.1");
  CHECK(wrong(nn::PiecewiseConstantDecay{{1, 2}, {1, 2}}) ==
        "PiecewiseConstantDecay: there must be one value more than boundaries, not 2 and 2");
  CHECK(wrong(nn::PiecewiseConstantDecay{{2, 2}, {1, 2, 3}}) ==
        "PiecewiseConstantDecay: boundaries must increase, but 2 comes before 2");
  CHECK(wrong(nn::PolynomialDecay{0.1, -1}) ==
        "PolynomialDecay: decay_steps must be at least 1, not -1");
  CHECK(wrong(nn::InverseTimeDecay{0.1, 0, 1}) ==
        "InverseTimeDecay: decay_steps must be at least 1, not 0");
  CHECK(wrong(nn::CosineDecay{0.1, 0}) == "CosineDecay: decay_steps must be at least 1, not 0");
  CHECK(wrong(nn::CosineDecay{0.1, 1, 0, 0.2, -1}) ==
        "CosineDecay: warmup_steps must be at least 0, not -1");
  CHECK(wrong(nn::CosineDecayRestarts{0.1, 0}) ==
        "CosineDecayRestarts: first_decay_steps must be at least 1, not 0");
  CHECK(wrong(nn::CosineDecayRestarts{0.1, 1, 0.5}) ==
        "CosineDecayRestarts: t_mul must be at least 1, not 0.5");
}

}  // namespace weft::test
