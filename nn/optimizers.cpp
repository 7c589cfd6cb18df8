#include "nn/optimizers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <map>

#include "graph/print.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

struct Row {
  std::string_view name;
  Optimizer (*make)(OptimizerConfig);
};

template <class T>
Optimizer make(OptimizerConfig config) {
  return {T{}, std::move(config)};
}

constexpr std::array known{
    Row{"sgd", make<SGD>},           Row{"rmsprop", make<RMSprop>},
    Row{"adam", make<Adam>},         Row{"adamw", make<AdamW>},
    Row{"adadelta", make<Adadelta>}, Row{"adagrad", make<Adagrad>},
    Row{"adamax", make<Adamax>},     Row{"adafactor", make<Adafactor>},
    Row{"nadam", make<Nadam>},       Row{"ftrl", make<Ftrl>},
    Row{"lion", make<Lion>},         Row{"lamb", make<Lamb>},
    Row{"muon", make<Muon>},         Row{"schedule_free_adamw", make<ScheduleFreeAdamW>},
};

// Keras computes such numbers in double precision and rounds them once.
float f32(double number) { return static_cast<float>(number); }
float f32(std::int64_t number) { return static_cast<float>(number); }

// ---- arguments in range

[[noreturn]] void fail_range(std::string_view who, std::string_view what, std::string_view range,
                             double number) {
  fail<ArgumentError>("{}: {} must be {}, not {}", who, what, range, number);
}
// Comparisons are such that NaN fails.
void expect_fraction(std::string_view who, std::string_view what, double number) {
  if (!(number >= 0 && number < 1)) fail_range(who, what, "at least 0 and less than 1", number);
}
void expect_up_to_1(std::string_view who, std::string_view what, double number) {
  if (!(number >= 0 && number <= 1)) fail_range(who, what, "between 0 and 1", number);
}
void expect_positive(std::string_view who, std::string_view what, double number) {
  if (!(number > 0)) fail_range(who, what, "more than 0", number);
}
void expect_at_least(double least, std::string_view who, std::string_view what, double number) {
  if (!(number >= least)) fail_range(who, what, fmt::format("at least {}", least), number);
}
void expect_at_most_0(std::string_view who, std::string_view what, double number) {
  if (!(number <= 0)) fail_range(who, what, "at most 0", number);
}

/// What Adam and its relatives have in common.
void expect_moments(std::string_view who, double beta_1, double beta_2, double epsilon) {
  expect_fraction(who, "beta_1", beta_1);
  expect_fraction(who, "beta_2", beta_2);
  expect_at_least(0, who, "epsilon", epsilon);
}

// ---- formulas

Value power(double base, Value exponent) { return pow(scalar_like(exponent, f32(base)), exponent); }
// Of what is equal in all replicas: they share the sums.
Value norm(Value x) { return sqrt(sum_of_squares(x)); }
Value root_mean_square(Value x) {
  return sqrt(sum_of_squares(x) / f32(std::max<std::int64_t>(x.shape().elements(), 1)));
}

/// A running mean: slot += (x - slot)(1 - beta).
Value moment(OptimizerScope& scope, Value slot, Value x, double beta) {
  const Value next = slot + (x - slot) * f32(1 - beta);
  scope.update(slot, next);
  return next;
}

/// The same as Keras' other optimizers round it: slot = rho slot + (1 - rho) x.
Value mean_of(OptimizerScope& scope, Value slot, Value x, double rho) {
  const Value next = slot * f32(rho) + x * f32(1 - rho);
  scope.update(slot, next);
  return next;
}

/// What Adam takes off a parameter.
Value adam_step(OptimizerScope& scope, Value learning_rate, Value g, const Adam& adam) {
  const Value t = scope.iteration();
  const Value m = moment(scope, scope.slot("momentum"), g, adam.beta_1);
  Value v = moment(scope, scope.slot("velocity"), square(g), adam.beta_2);
  if (adam.amsgrad) {
    const Value largest = scope.slot("velocity_hat");
    v = maximum(largest, v);
    scope.update(largest, v);
  }
  const Value rate =
      learning_rate * sqrt(1.0f - power(adam.beta_2, t)) / (1.0f - power(adam.beta_1, t));
  return rate * m / (sqrt(v) + f32(adam.epsilon));
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Steps are counted as s32; what follows from their number is computed in f32, which is exact up to
// 2^24 and near enough above. Whether a number divides the count must be exact everywhere.

Value count_like(Value count, std::int64_t number) {
  const auto s32 = static_cast<std::int32_t>(std::min<std::int64_t>(number, INT32_MAX));
  return Graph::of(count).constant(Tensor::scalar(s32));
}

/// count / steps, rounded down. The cast says so to the reference, which divides exactly.
Value whole_quotient(Value count, std::int64_t steps) {
  return cast(count / count_like(count, steps), DType::s32);
}

/// f32[]: 1 if a count of steps is a multiple of `steps`, else 0.
Value is_multiple(Value count, std::int64_t steps) {
  const Value whole = whole_quotient(count, steps) * count_like(count, steps);
  return cast(equal(count, whole), DType::f32);
}

/// Where Keras 3 makes a slot. Those of one stage are made parameter by parameter.
int stage_of(const Optimizer& optimizer, std::string_view slot) {
  if (slot == "average") return 1;
  if (slot == "gradient_accumulator") return 2;
  if (slot == "velocity_hat") return 6;
  if (optimizer.as<RMSprop>() == nullptr) return 3;
  return slot == "velocity" ? 3 : slot == "momentum" ? 4 : 5;
}
/// Among those of one stage and one parameter.
int rank_of(std::string_view slot) {
  for (const char* second : {"c", "norm", "accumulated_delta_var", "linear"}) {
    if (slot == second) return 1;
  }
  return slot == "velocity" ? 2 : 0;
}

/// Sorts what an optimizer keeps as Keras 3 does: the count of steps, the learning rate, slots, and
/// then numbers that all parameters share.
void sort_as_keras(const Optimizer& optimizer, const std::vector<Trace::Weight>& parameters,
                   std::vector<OptimizerScope::Slot>& slots) {
  std::map<std::string_view, std::size_t> order;  // of parameters
  for (const Trace::Weight& parameter : parameters) order.emplace(parameter.name, order.size());
  const auto place = [&](const OptimizerScope::Slot& one) -> std::array<std::size_t, 3> {
    const std::string_view own = std::string_view(one.name).substr(optimizer.name.size() + 1);
    const std::size_t end = own.find('/');
    const std::string_view slot = own.substr(0, end);
    if (own == "iteration") return {0, 0, 0};
    if (own == "learning_rate") return {0, 1, 0};
    if (end == std::string_view::npos) return {7, 0, 0};
    const auto parameter = order.find(own.substr(end + 1));
    return {static_cast<std::size_t>(stage_of(optimizer, slot)),
            parameter == order.end() ? order.size() : parameter->second,
            static_cast<std::size_t>(rank_of(slot))};
  };
  std::ranges::stable_sort(slots, {}, place);
}

}  // namespace

// ---- one step for all parameters

OptimizerScope::OptimizerScope(Trace& trace, const Optimizer& optimizer)
    : trace_(trace), optimizer_(optimizer) {
  const LearningRate& rate = optimizer.learning_rate;
  if (!rate.is_schedule()) {
    learning_rate_ = variable(optimizer.name + "/learning_rate", {}, f32(rate.number));
  }
  const std::string name = optimizer.name + "/iteration";
  slots_.push_back({name, 0});
  if (!trace.variables.contains(name)) trace.variables.set(name, Tensor::scalar(std::int32_t{0}));
  const Value steps = trace.graph.variable({DType::s32, {}}, name);
  if (rate.is_schedule()) learning_rate_ = rate(cast(steps, DType::f32));
  const Value next = steps + count_like(steps, 1);
  trace_.updates.push_back({steps, next});
  Value count = next;  // of updates
  if (const std::int64_t several = optimizer.steps_an_update(); several > 1) {
    count = whole_quotient(steps, several) + count_like(steps, 1);
    due_ = is_multiple(next, several);
  }
  iteration_ = cast(count, DType::f32);
}

/// A variable of the graph, which begins as `fill` if it does not exist yet.
Value OptimizerScope::variable(const std::string& name, const Shape& shape, float fill) {
  slots_.push_back({name, fill});
  if (!trace_.variables.contains(name)) trace_.variables.set(name, Tensor::full(shape, fill));
  return trace_.graph.variable({DType::f32, shape}, name);
}

Value OptimizerScope::slot(std::string_view name, float fill) {
  return slot_of(parameter_->value.shape(), name, fill);
}

Value OptimizerScope::slot_of(const Shape& shape, std::string_view name, float fill) {
  return variable(optimizer_.slot_name(name, parameter_->name), shape, fill);
}

Value OptimizerScope::if_due(Value next, Value before) const {
  return due_ ? select(due_, next, before) : next;
}

void OptimizerScope::update(Value slot, Value next) {
  trace_.updates.push_back({slot, if_due(next, slot)});
}

Value OptimizerScope::number(std::string_view name, float fill,
                             const std::function<Value(Value)>& next) {
  const std::string full = optimizer_.name + '/' + std::string(name);
  for (const auto& [known_name, value] : numbers_) {
    if (known_name == full) return value;
  }
  const Value before = variable(full, {}, fill);
  numbers_.emplace_back(full, next(before));
  update(before, numbers_.back().second);
  return numbers_.back().second;
}

Value OptimizerScope::decayed(Value w, double weight_decay) const {
  const std::string_view whole = parameter_->name;
  const std::string_view own = whole.substr(whole.rfind('/') + 1);
  for (const std::string& part : optimizer_.config.exclude_from_weight_decay) {
    if (contains(contains(part, "/") ? whole : own, part)) return w;
  }
  return w - w * (learning_rate_ * f32(weight_decay));
}

/// The mean of the gradients of the steps that make an update; of no meaning in the others.
Value OptimizerScope::accumulated(Value gradient) {
  if (!due_) return gradient;
  const Value before = slot("gradient_accumulator");
  const Value total = gradient + before;
  trace_.updates.push_back({before, select(due_, zeros_like(total), total)});
  return total / f32(optimizer_.steps_an_update());
}

/// What becomes of a parameter that is w after the update. The average is made in every step, also
/// in those that only sum up gradients; that is what Keras does.
Value OptimizerScope::averaged(Value w) {
  const OptimizerConfig& config = optimizer_.config;
  if (!config.use_ema) return w;
  const Value average = slot("average");
  const Value momentum =
      not_equal(iteration_, scalar_like(iteration_, 1)) * f32(config.ema_momentum);
  const Value next = momentum * average + (1.0f - momentum) * w;
  trace_.updates.push_back({average, next});
  if (!config.ema_overwrite_frequency) return w;
  const Value count = iteration_.inputs()[0];  // as s32
  return select(is_multiple(count, *config.ema_overwrite_frequency), next, w);
}

Optimizer::Optimizer(std::string_view wanted, OptimizerConfig options)
    : Optimizer(
          find_named("optimizer", wanted, std::span<const Row>(known)).make(std::move(options))) {}

void Optimizer::check(bool has_weight_decay) const {
  const auto positive = [&](std::string_view what, const auto& number) {
    if (number) expect_positive(name, what, static_cast<double>(*number));
  };
  positive("clipnorm", config.clipnorm);
  positive("global_clipnorm", config.global_clipnorm);
  positive("clipvalue", config.clipvalue);
  positive("loss_scale_factor", config.loss_scale_factor);
  if (config.clipnorm.has_value() + config.global_clipnorm.has_value() +
          config.clipvalue.has_value() >
      1) {
    fail<ArgumentError>("{}: only one of clipnorm, global_clipnorm and clipvalue can be set", name);
  }
  if (config.weight_decay) {
    expect_at_least(0, name, "weight_decay", *config.weight_decay);
    if (has_weight_decay) {
      fail<ArgumentError>("{}: it has a weight_decay of its own; set that instead", name);
    }
  }
  expect_up_to_1(name, "ema_momentum", config.ema_momentum);
  if (const auto frequency = config.ema_overwrite_frequency) {
    expect_at_least(1, name, "ema_overwrite_frequency", static_cast<double>(*frequency));
  }
  if (const auto steps = config.gradient_accumulation_steps) {
    expect_at_least(2, name, "gradient_accumulation_steps", static_cast<double>(*steps));
  }
}

std::string Optimizer::slot_name(std::string_view slot, std::string_view parameter) const {
  return fmt::format("{}/{}/{}", name, slot, parameter);
}

void Optimizer::clip(std::vector<Value>& gradients) const {
  // g limit / max(|g|, limit) is g where its norm is within the limit.
  const auto factor = [](Value given, double limit) {
    return f32(limit) / maximum(given, f32(limit));
  };
  if (config.clipvalue) {
    const float limit = f32(*config.clipvalue);
    for (Value& gradient : gradients) gradient = weft::clip(gradient, -limit, limit);
  } else if (config.clipnorm) {
    for (Value& gradient : gradients) {
      gradient = gradient * factor(norm(gradient), *config.clipnorm);
    }
  } else if (config.global_clipnorm) {
    Value squares;
    for (const Value& gradient : gradients) {
      const Value own = sum_of_squares(gradient);
      squares = squares ? squares + own : own;
    }
    const Value scale = factor(sqrt(squares), *config.global_clipnorm);
    for (Value& gradient : gradients) gradient = gradient * scale;
  }
}

std::vector<OptimizerScope::Slot> Optimizer::apply(Trace& trace,
                                                   const std::vector<Trace::Weight>& parameters,
                                                   std::vector<Value> gradients) const {
  const NameScope named(trace.graph, name);
  OptimizerScope scope(trace, *this);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    scope.parameter_ = &parameters[i];
    gradients[i] = scope.accumulated(gradients[i]);
  }
  clip(gradients);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Value w = parameters[i].value;
    scope.parameter_ = &parameters[i];
    Value next = config.weight_decay ? scope.decayed(w, *config.weight_decay) : w;
    next = function(scope, next, gradients[i]);
    if (!next || next.type() != w.type()) {
      fail<ShapeError>("optimizer \"{}\": it must return {}, as its parameter \"{}\", not {}", name,
                       w.type(), parameters[i].name,
                       next ? fmt::format("{}", next.type()) : "an empty Value");
    }
    next = scope.averaged(scope.if_due(next, w));
    if (parameters[i].constraint) next = parameters[i].constraint(next);
    trace.updates.push_back({w, next});
  }
  sort_as_keras(*this, parameters, scope.slots_);
  return scope.slots_;
}

// ---- the objects

void SGD::check() const { expect_up_to_1(name(), "momentum", momentum); }

Value SGD::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value step = scope.learning_rate() * g;
  if (momentum == 0) return w - step;
  const Value m = scope.slot("momentum");
  const Value next_m = m * f32(momentum) - step;
  scope.update(m, next_m);
  return nesterov ? w + (next_m * f32(momentum) - step) : w + next_m;
}

void RMSprop::check() const {
  expect_fraction(name(), "rho", rho);
  expect_fraction(name(), "momentum", momentum);
  expect_at_least(0, name(), "epsilon", epsilon);
}

Value RMSprop::operator()(OptimizerScope& scope, Value w, Value g) const {
  Value variance = mean_of(scope, scope.slot("velocity"), square(g), rho);
  const Value b = momentum > 0 ? scope.slot("momentum") : Value{};
  if (centered) {
    variance = variance - square(mean_of(scope, scope.slot("average_gradient"), g, rho));
  }
  const Value step = scope.learning_rate() * g / sqrt(variance + f32(epsilon));
  if (!b) return w - step;
  const Value next_b = b * f32(momentum) + step;
  scope.update(b, next_b);
  return w - next_b;
}

void Adam::check() const { expect_moments(name(), beta_1, beta_2, epsilon); }

Value Adam::operator()(OptimizerScope& scope, Value w, Value g) const {
  return w - adam_step(scope, scope.learning_rate(), g, *this);
}

void AdamW::check() const {
  expect_moments(name(), beta_1, beta_2, epsilon);
  expect_at_least(0, name(), "weight_decay", weight_decay);
}

Value AdamW::operator()(OptimizerScope& scope, Value w, Value g) const {
  return Adam{learning_rate, beta_1, beta_2, epsilon, amsgrad}(scope,
                                                               scope.decayed(w, weight_decay), g);
}

void Adadelta::check() const {
  expect_fraction(name(), "rho", rho);
  expect_at_least(0, name(), "epsilon", epsilon);
}

Value Adadelta::operator()(OptimizerScope& scope, Value w, Value g) const {
  const auto root = [this](Value x) { return sqrt(x + f32(epsilon)); };
  const Value v = mean_of(scope, scope.slot("accumulated_grad"), square(g), rho);
  const Value x = scope.slot("accumulated_delta_var");
  const Value d = root(x) * g / root(v);
  mean_of(scope, x, square(d), rho);
  return w - scope.learning_rate() * d;
}

void Adagrad::check() const {
  expect_at_least(0, name(), "initial_accumulator_value", initial_accumulator_value);
  expect_at_least(0, name(), "epsilon", epsilon);
}

Value Adagrad::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value a = scope.slot("accumulator", f32(initial_accumulator_value));
  const Value next_a = a + square(g);
  scope.update(a, next_a);
  return w - scope.learning_rate() * g / sqrt(next_a + f32(epsilon));
}

void Adamax::check() const { expect_moments(name(), beta_1, beta_2, epsilon); }

Value Adamax::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value m = moment(scope, scope.slot("momentum"), g, beta_1);
  const Value u = scope.slot("norm");
  const Value next_u = maximum(u * f32(beta_2), abs(g));
  scope.update(u, next_u);
  const Value rate = scope.learning_rate() / (1.0f - power(beta_1, scope.iteration()));
  return w - rate * m / (next_u + f32(epsilon));
}

void Adafactor::check() const {
  expect_at_most_0(name(), "beta_2_decay", beta_2_decay);
  expect_at_least(0, name(), "epsilon_1", epsilon_1);
  expect_at_least(0, name(), "epsilon_2", epsilon_2);
  expect_positive(name(), "clip_threshold", clip_threshold);
}

Value Adafactor::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value t = scope.iteration();
  const Value rate =
      minimum(scope.learning_rate(), 1.0f / sqrt(t)) * maximum(root_mean_square(w), f32(epsilon_2));
  const Value beta = 1.0f - pow(t, f32(beta_2_decay));
  const auto kept = [&](Value slot, Value x) {
    const Value next = beta * slot + (1.0f - beta) * x;
    scope.update(slot, next);
    return next;
  };
  const Value squares = square(g) + f32(epsilon_1);
  const auto rank = w.shape().rank();
  Value v;
  if (rank < 2) {
    v = kept(scope.slot("velocity"), squares);
  } else {
    const Value rows = mean(squares, {-1}), columns = mean(squares, {-2});
    const Value r = kept(scope.slot_of(rows.shape(), "r"), rows);
    const Value c = kept(scope.slot_of(columns.shape(), "c"), columns);
    const Shape column = w.shape().with(static_cast<int>(rank) - 1, 1);
    const Shape row = w.shape().with(static_cast<int>(rank) - 2, 1);
    v = reshape(r / mean(r, {-1}, Keep::axes), column) * reshape(c, row);
  }
  // Where all gradients of a row and a column are 0, v is too small for f32, and Keras has NaN.
  const Value u = g / sqrt(maximum(v, std::numeric_limits<float>::min()));
  return w - rate * u / maximum(root_mean_square(u) / f32(clip_threshold), 1.0f);
}

void Nadam::check() const { expect_moments(name(), beta_1, beta_2, epsilon); }

Value Nadam::operator()(OptimizerScope& scope, Value w, Value g) const {
  // Keras rounds the betas first here.
  const float b1 = f32(beta_1), b2 = f32(beta_2);
  const Value t = scope.iteration();
  const auto momentum_at = [&](Value step) { return (1.0f - power(0.96, step) * 0.5f) * b1; };
  const Value now = momentum_at(t), then = momentum_at(t + 1.0f);
  const Value product = scope.number("u_product", 1, [&](Value before) { return before * now; });
  const Value m = moment(scope, scope.slot("momentum"), g, b1);
  const Value v = moment(scope, scope.slot("velocity"), square(g), b2);
  const Value m_hat = then / (1.0f - product * then) * m + (1.0f - now) / (1.0f - product) * g;
  const Value v_hat = v / (1.0f - power(b2, t));
  return w - scope.learning_rate() * m_hat / (sqrt(v_hat) + f32(epsilon));
}

void Ftrl::check() const {
  expect_at_most_0(name(), "learning_rate_power", learning_rate_power);
  expect_at_least(0, name(), "initial_accumulator_value", initial_accumulator_value);
  expect_at_least(0, name(), "l1_regularization_strength", l1_regularization_strength);
  expect_at_least(0, name(), "l2_regularization_strength", l2_regularization_strength);
  expect_at_least(0, name(), "l2_shrinkage_regularization_strength",
                  l2_shrinkage_regularization_strength);
  expect_at_least(0, name(), "beta", beta);
}

Value Ftrl::operator()(OptimizerScope& scope, Value w, Value g) const {
  const auto scaled = [this](Value n) {
    return learning_rate_power == -0.5 ? sqrt(n) : pow(n, f32(-learning_rate_power));
  };
  const Value rate = scope.learning_rate();
  const Value n = scope.slot("accumulator", f32(initial_accumulator_value));
  const Value z = scope.slot("linear");
  const Value next_n = n + square(g);
  scope.update(n, next_n);
  const Value s = scaled(next_n);
  const Value slope = l2_shrinkage_regularization_strength == 0
                          ? g
                          : g + w * f32(2 * l2_shrinkage_regularization_strength);
  const Value next_z = z + (slope - (s - scaled(n)) / rate * w);
  scope.update(z, next_z);
  const Value quadratic = (s + f32(beta)) / rate + f32(2 * l2_regularization_strength);
  const float l1 = f32(l1_regularization_strength);
  return (l1 == 0 ? -next_z : clip(next_z, -l1, l1) - next_z) / quadratic;
}

void Lion::check() const {
  expect_positive(name(), "beta_1", beta_1);
  expect_up_to_1(name(), "beta_1", beta_1);
  expect_up_to_1(name(), "beta_2", beta_2);
}

Value Lion::operator()(OptimizerScope& scope, Value w, Value g) const {
  // beta m + (1 - beta) g, both from one difference, so that they are one loop.
  const Value m = scope.slot("momentum"), way = g - m;
  scope.update(m, m + way * (1 - f32(beta_2)));
  return w - scope.learning_rate() * sign(m + way * (1 - f32(beta_1)));
}

void Lamb::check() const { expect_moments(name(), beta_1, beta_2, epsilon); }

Value Lamb::operator()(OptimizerScope& scope, Value w, Value g) const {
  const Value t = scope.iteration();
  const Value m = moment(scope, scope.slot("momentum"), g, beta_1);
  const Value v = moment(scope, scope.slot("velocity"), square(g), beta_2);
  const Value m_hat = m / (1.0f - power(beta_1, t)), v_hat = v / (1.0f - power(beta_2, t));
  const Value d = m_hat / (sqrt(v_hat) + f32(epsilon));
  const Value w_norm = norm(w), d_norm = norm(d);
  const Value both = greater(w_norm, 0) * greater(d_norm, 0);
  const Value ratio = select(both, w_norm / d_norm, scalar_like(w_norm, 1));
  return w - ratio * scope.learning_rate() * d;
}

void Muon::check() const {
  expect_moments(name(), adam_beta_1, adam_beta_2, epsilon);
  expect_at_least(0, name(), "adam_weight_decay", adam_weight_decay);
  expect_at_least(0, name(), "weight_decay", weight_decay);
  expect_at_least(0, name(), "adam_lr_ratio", adam_lr_ratio);
  expect_fraction(name(), "momentum", momentum);
  expect_at_least(1, name(), "ns_steps", ns_steps);
  if (rms_rate) expect_positive(name(), "rms_rate", *rms_rate);
}

bool Muon::uses_adam(std::string_view parameter, const Shape& shape) const {
  if (shape.rank() != 2) return true;
  std::string lower(parameter);
  for (char& letter : lower) {
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  if (exclude_embeddings && contains(lower, "embedding")) return true;
  return std::ranges::any_of(exclude_layers,
                             [&](const std::string& part) { return contains(parameter, part); });
}

Value Muon::operator()(OptimizerScope& scope, Value w, Value g) const {
  if (uses_adam(scope.parameter().name, w.shape())) {
    const Adam adam{.beta_1 = adam_beta_1, .beta_2 = adam_beta_2, .epsilon = epsilon};
    const Value rate =
        adam_lr_ratio == 1 ? scope.learning_rate() : scope.learning_rate() * f32(adam_lr_ratio);
    return scope.decayed(w, adam_weight_decay) - adam_step(scope, rate, g, adam);
  }
  const Value m = scope.slot("momentum");
  const Value next_m = m + (g + m * f32(momentum - 1));
  scope.update(m, next_m);
  Value x = nesterov ? g + next_m * f32(momentum) : next_m;
  // x x' is the smaller of the two products.
  const std::int64_t rows = w.shape()[0], columns = w.shape()[1];
  if (rows > columns) x = transpose(x);
  x = x / (norm(x) + 1e-7f);
  for (int step = 0; step < ns_steps; ++step) {
    const Value a = matmul(x, x, {.transpose_b = true});
    x = x * f32(muon_a) + matmul(a * f32(muon_b) + matmul(a * f32(muon_c), a), x);
  }
  if (rows > columns) x = transpose(x);
  const double size = std::sqrt(static_cast<double>(std::max(rows, columns)));
  const Value step = scope.learning_rate() * x;
  return scope.decayed(w, weight_decay) - (rms_rate ? step * f32(size) * f32(*rms_rate) : step);
}

void ScheduleFreeAdamW::check() const {
  expect_moments(name(), beta_1, beta_2, epsilon);
  expect_positive(name(), "beta_1", beta_1);
  expect_at_least(0, name(), "warmup_steps", static_cast<double>(warmup_steps));
}

Value ScheduleFreeAdamW::operator()(OptimizerScope& scope, Value w, Value g) const {
  const float b1 = f32(beta_1), b2 = f32(beta_2);
  const Value t = scope.iteration();
  Value rate = scope.learning_rate();
  if (warmup_steps > 0) rate = rate * minimum(t / f32(warmup_steps), 1.0f);
  const Value v = moment(scope, scope.slot("velocity"), square(g), b2);
  const Value slot = scope.slot("momentum");
  const Value z = select(equal(t, 1), scope.parameter().value, slot);
  const Value next_z = z - rate * g / (sqrt(v / (1.0f - power(b2, t))) + f32(epsilon));
  scope.update(slot, next_z);
  const Value weight = 1.0f / t;
  const Value x = (w - z * (1 - b1)) / b1;
  const Value next_x = (1.0f - weight) * x + weight * next_z;
  return next_z * (1 - b1) + next_x * b1;
}

}  // namespace weft::nn
