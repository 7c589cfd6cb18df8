#include "nn/schedules.hpp"

#include <cmath>
#include <numbers>

#include "graph/print.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

float f32(double number) { return static_cast<float>(number); }

void expect_steps(std::string_view schedule, std::string_view what, std::int64_t steps) {
  if (steps < 1) fail<ArgumentError>("{}: {} must be at least 1, not {}", schedule, what, steps);
}

void expect_rate(std::string_view who, std::string_view what, double rate) {
  if (std::isfinite(rate) && rate >= 0) return;
  fail<ArgumentError>("{}: {} must be a number of at least 0, not {}", who, what, rate);
}

Value power(double base, Value exponent) { return pow(scalar_like(exponent, f32(base)), exponent); }

/// 1 at fraction 0, 0 at 1.
Value half_cosine(Value fraction) {
  return (cos(fraction * std::numbers::pi_v<float>) + 1.0f) * 0.5f;
}

Value quotient(Value step, std::int64_t decay_steps, bool staircase) {
  const Value p = step / f32(static_cast<double>(decay_steps));
  return staircase ? floor(p) : p;
}

}  // namespace

LearningRate::LearningRate(double rate) : number(rate) {
  expect_rate("optimizer", "learning_rate", rate);
}

Value LearningRate::operator()(Value step) const {
  if (!function) return scalar_like(step, f32(number));
  const Value rate = function(step);
  if (!rate || rate.type() != Type{DType::f32, {}}) {
    fail<TypeError>("learning rate \"{}\": the schedule must return f32[], not {}", name,
                    rate ? fmt::format("{}", rate.type()) : "an empty Value");
  }
  return rate;
}

void ExponentialDecay::check() const {
  expect_rate(name(), "initial_learning_rate", initial_learning_rate);
  expect_steps(name(), "decay_steps", decay_steps);
  expect_rate(name(), "decay_rate", decay_rate);
}

Value ExponentialDecay::operator()(Value step) const {
  return power(decay_rate, quotient(step, decay_steps, staircase)) * f32(initial_learning_rate);
}

void PiecewiseConstantDecay::check() const {
  if (values.size() != boundaries.size() + 1) {
    fail<ArgumentError>("{}: there must be one value more than boundaries, not {} and {}", name(),
                        values.size(), boundaries.size());
  }
  for (std::size_t i = 1; i < boundaries.size(); ++i) {
    if (boundaries[i - 1] < boundaries[i]) continue;
    fail<ArgumentError>("{}: boundaries must increase, but {} comes before {}", name(),
                        boundaries[i - 1], boundaries[i]);
  }
  for (const double value : values) expect_rate(name(), "a value", value);
}

Value PiecewiseConstantDecay::operator()(Value step) const {
  Value rate = scalar_like(step, f32(values[0]));
  for (std::size_t i = 0; i < boundaries.size(); ++i) {
    rate = select(greater(step, f32(static_cast<double>(boundaries[i]))),
                  scalar_like(step, f32(values[i + 1])), rate);
  }
  return rate;
}

void PolynomialDecay::check() const {
  expect_rate(name(), "initial_learning_rate", initial_learning_rate);
  expect_steps(name(), "decay_steps", decay_steps);
  expect_rate(name(), "end_learning_rate", end_learning_rate);
}

Value PolynomialDecay::operator()(Value step) const {
  const float steps = f32(static_cast<double>(decay_steps));
  // Up, by way of down: the least multiple of decay_steps that is no less than the step.
  const Value cycles = maximum(-floor(-(step / steps)), 1.0f);
  const Value p = cycle ? step / (cycles * steps) : minimum(step, steps) / steps;
  const Value left = pow(1.0f - p, f32(power));
  return left * (f32(initial_learning_rate) - f32(end_learning_rate)) + f32(end_learning_rate);
}

void InverseTimeDecay::check() const {
  expect_rate(name(), "initial_learning_rate", initial_learning_rate);
  expect_steps(name(), "decay_steps", decay_steps);
  expect_rate(name(), "decay_rate", decay_rate);
}

Value InverseTimeDecay::operator()(Value step) const {
  const Value p = quotient(step, decay_steps, staircase);
  return f32(initial_learning_rate) / (p * f32(decay_rate) + 1.0f);
}

void CosineDecay::check() const {
  expect_rate(name(), "initial_learning_rate", initial_learning_rate);
  expect_steps(name(), "decay_steps", decay_steps);
  expect_rate(name(), "alpha", alpha);
  if (warmup_target) expect_rate(name(), "warmup_target", *warmup_target);
  if (warmup_steps >= 0) return;
  fail<ArgumentError>("{}: warmup_steps must be at least 0, not {}", name(), warmup_steps);
}

Value CosineDecay::operator()(Value step) const {
  const float steps = f32(static_cast<double>(decay_steps));
  const auto decay = [&](Value done, double from) {
    const Value cosine = half_cosine(minimum(done, steps) / steps);
    return (cosine * f32(1 - alpha) + f32(alpha)) * f32(from);
  };
  if (!warmup_target) return decay(step, initial_learning_rate);
  if (warmup_steps == 0) return decay(step, *warmup_target);
  const float warmup = f32(static_cast<double>(warmup_steps));
  const float way = f32(*warmup_target) - f32(initial_learning_rate);
  const Value rise = step / warmup * way + f32(initial_learning_rate);
  return select(less(step, warmup), rise, decay(step - warmup, *warmup_target));
}

void CosineDecayRestarts::check() const {
  expect_rate(name(), "initial_learning_rate", initial_learning_rate);
  expect_steps(name(), "first_decay_steps", first_decay_steps);
  expect_rate(name(), "m_mul", m_mul);
  expect_rate(name(), "alpha", alpha);
  if (t_mul >= 1) return;
  fail<ArgumentError>("{}: t_mul must be at least 1, not {}", name(), t_mul);
}

Value CosineDecayRestarts::operator()(Value step) const {
  const Value done = step / f32(static_cast<double>(first_decay_steps));
  Value restarts, fraction;
  if (t_mul == 1) {
    restarts = floor(done);
    fraction = done - restarts;
  } else {
    // After i periods, 1 + t_mul + ... + t_mul^(i-1) = (t_mul^i - 1) / (t_mul - 1) are done.
    const float t = f32(t_mul);
    const auto begin = [&](Value i) { return (power(t_mul, i) - 1.0f) / (t - 1.0f); };
    restarts = floor(log(done * (t - 1.0f) + 1.0f) / f32(std::log(t_mul)));
    // The logarithm may be off by its last bit where a period begins.
    restarts = restarts + (1.0f - less(done, begin(restarts + 1.0f)));
    restarts = restarts - less(done, begin(restarts));
    fraction = (done - begin(restarts)) / power(t_mul, restarts);
  }
  const Value cosine = half_cosine(fraction) * power(m_mul, restarts);
  return (cosine * f32(1 - alpha) + f32(alpha)) * f32(initial_learning_rate);
}

}  // namespace weft::nn
