#include "nn/optimizers.hpp"

#include <array>

#include "ops/ops.hpp"

namespace weft::nn {
namespace {

struct Row {
  std::string_view name;
  Optimizer (*make)();
};

constexpr std::array known{
    Row{"sgd", []() -> Optimizer { return SGD{}; }},
    Row{"adam", []() -> Optimizer { return Adam{}; }},
    Row{"adamw", []() -> Optimizer { return AdamW{}; }},
    Row{"rmsprop", []() -> Optimizer { return RMSprop{}; }},
};

// Keras computes such numbers in double precision and rounds them once.
float f32(double number) { return static_cast<float>(number); }

/// A variable of the graph, which begins as `first` if it does not exist yet.
Value variable(Trace& trace, const std::string& name, const Tensor& first) {
  if (!trace.variables.contains(name)) trace.variables.set(name, first);
  return trace.graph.variable(first.type(), name);
}

/// What Adam takes off a parameter.
Value adam_step(OptimizerScope& scope, Value g, const Adam& adam) {
  const Value m = scope.slot("m"), v = scope.slot("v"), t = scope.iteration();
  const Value next_m = m + (g - m) * f32(1 - adam.beta_1);
  const Value next_v = v + (square(g) - v) * f32(1 - adam.beta_2);
  scope.update(m, next_m);
  scope.update(v, next_v);
  Value second = next_v;
  if (adam.amsgrad) {
    const Value largest = scope.slot("vhat");
    second = maximum(largest, next_v);
    scope.update(largest, second);
  }
  const auto power = [&](double beta) { return pow(scalar_like(t, f32(beta)), t); };
  const Value rate =
      scope.learning_rate() * sqrt(1.0f - power(adam.beta_2)) / (1.0f - power(adam.beta_1));
  return rate * next_m / (sqrt(second) + f32(adam.epsilon));
}

}  // namespace

OptimizerScope::OptimizerScope(Trace& trace, std::string optimizer, double learning_rate)
    : trace_(trace), optimizer_(std::move(optimizer)) {
  learning_rate_ =
      variable(trace_, optimizer_ + "/learning_rate", Tensor::scalar(f32(learning_rate)));
  const Value before = variable(trace_, optimizer_ + "/iteration", Tensor::scalar(0.0f));
  iteration_ = before + 1.0f;
  trace_.updates.push_back({before, iteration_});
}

Value OptimizerScope::slot(std::string_view name, float fill) {
  const std::string full = optimizer_ + '/' + std::string(name) + '/' + parameter_->name;
  slots_.push_back({full, fill});
  return variable(trace_, full, Tensor::full(parameter_->value.shape(), fill));
}

void OptimizerScope::update(Value slot, Value next) { trace_.updates.push_back({slot, next}); }

Optimizer::Optimizer(std::string_view wanted)
    : Optimizer(find_named("optimizer", wanted, std::span<const Row>(known)).make()) {}

Value SGD::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value step = scope.learning_rate() * g;
  if (momentum == 0) return w - step;
  const Value m = scope.slot("momentum");
  const Value next_m = m * f32(momentum) - step;
  scope.update(m, next_m);
  return nesterov ? w + (next_m * f32(momentum) - step) : w + next_m;
}

Value Adam::operator()(OptimizerScope& scope, Value w, Value g) const {
  return w - adam_step(scope, g, *this);
}

Value AdamW::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value decayed = w - w * (scope.learning_rate() * f32(weight_decay));
  return decayed - adam_step(scope, g, {learning_rate, beta_1, beta_2, epsilon, amsgrad});
}

Value RMSprop::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value v = scope.slot("velocity");
  const Value next_v = v * f32(rho) + square(g) * f32(1 - rho);
  scope.update(v, next_v);
  Value variance = next_v;
  if (centered) {
    const Value a = scope.slot("average");
    const Value next_a = a * f32(rho) + g * f32(1 - rho);
    scope.update(a, next_a);
    variance = next_v - square(next_a);
  }
  const Value step = scope.learning_rate() * g / sqrt(variance + f32(epsilon));
  if (momentum == 0) return w - step;
  const Value b = scope.slot("momentum");
  const Value next_b = b * f32(momentum) + step;
  scope.update(b, next_b);
  return w - next_b;
}

}  // namespace weft::nn
