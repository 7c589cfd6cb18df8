// Optimizers: how parameters follow their gradients, with Keras' names and formulas. An optimizer
// is any struct with a learning rate, a name and one call operator, which returns a parameter's
// next value:
//
//   struct SignDescent {
//     double learning_rate = 1e-3;
//     static std::string_view name() { return "sign_descent"; }
//     Value operator()(nn::OptimizerScope& scope, Value w, Value g) const {
//       return w - scope.learning_rate() * sign(g);
//     }
//   };
//
// What all of them can do besides is said beside them:
//
//   model.compile({.optimizer = {nn::Adam{.learning_rate = 0.01}, {.clipnorm = 1.0}}, ...});
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "graph/graph.hpp"
#include "nn/layer.hpp"
#include "nn/names.hpp"
#include "nn/schedules.hpp"

namespace weft::nn {

/// What every optimizer can do besides its own rule, in the order of a step: gradients are summed
/// up, clipped; weights decay, are updated, averaged; and then held to their constraints.
struct OptimizerConfig {
  std::string name{};  ///< of its variables; empty: the optimizer's own
  /// Before the update, w -= learning_rate weight_decay w.
  std::optional<double> weight_decay{};
  /// Parameters that do not decay: parts of their own names, "bias", or, if there is a slash in it,
  /// of their whole names, "dense_1/".
  std::vector<std::string> exclude_from_weight_decay{};
  // Of these, one at most.
  std::optional<double> clipnorm{};         ///< the largest norm of a parameter's gradient
  std::optional<double> global_clipnorm{};  ///< the largest norm of all gradients together
  std::optional<double> clipvalue{};        ///< the largest element of a gradient, by magnitude
  /// Averages of the weights: a = ema_momentum a + (1 - ema_momentum) w, beginning with the first
  /// w. At its end, fit puts them in the place of the weights. See Polyak and Juditsky, 1992.
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency{};  ///< also every so many updates
  /// The loss is multiplied by it, and the gradients divided.
  std::optional<double> loss_scale_factor{};
  /// Weights and slots are updated only every so many steps, with the mean of those steps'
  /// gradients. The learning rate follows the steps, all else the updates.
  std::optional<std::int64_t> gradient_accumulation_steps{};
};

class Optimizer;

/// What an optimizer sees while it is traced for one parameter. All that it keeps are variables
/// named after it: "adam/learning_rate", "adam/iteration", "adam/momentum/conv2d/kernel". The last
/// is what Keras calls "conv2d_kernel_momentum"; slots have Keras' names, but for "r" and "c" of
/// Adafactor, which have none there. Keras keeps iteration, learning_rate, the averages, the sums
/// of gradients, and then the other slots, parameter by parameter.
class OptimizerScope {
 public:
  /// Creates the learning rate, unless it is a schedule, and the count of steps, if they are not
  /// there, and reads them.
  OptimizerScope(Trace& trace, const Optimizer& optimizer);

  /// f32[]: of this step. Unless it is a schedule, it can be set between steps
  /// (Model::set_learning_rate).
  Value learning_rate() const noexcept { return learning_rate_; }
  /// f32[]: the number of this update, from 1, for formulas. Steps are counted as s32; above 2^24
  /// this is the nearest f32.
  Value iteration() const noexcept { return iteration_; }
  /// The parameter's name, "conv2d/kernel", and its value before the step.
  const Trace::Weight& parameter() const noexcept { return *parameter_; }
  /// A tensor that is kept from step to step for this parameter, of its shape or the one given.
  Value slot(std::string_view name, float fill = 0);
  Value slot_of(const Shape& shape, std::string_view name, float fill = 0);
  /// After the step, slot holds next.
  void update(Value slot, Value next);
  /// A number that is kept for all parameters together. Each update makes it next(number); that is
  /// what is returned.
  Value number(std::string_view name, float fill, const std::function<Value(Value)>& next);
  /// w - learning_rate weight_decay w, or w if the parameter is not to decay
  /// (OptimizerConfig::exclude_from_weight_decay).
  Value decayed(Value w, double weight_decay) const;

  /// Every variable of the optimizer, with what it begins as: f32, but "iteration" is s32.
  struct Slot {
    std::string name;
    float fill;
  };

 private:
  friend class Optimizer;
  Value variable(const std::string& name, const Shape& shape, float fill);
  Value if_due(Value next, Value before) const;
  Value accumulated(Value gradient);
  Value averaged(Value w);

  Trace& trace_;
  const Optimizer& optimizer_;
  Value learning_rate_, iteration_;
  Value due_{};  // 1 in a step that updates, else 0; empty if all do
  const Trace::Weight* parameter_ = nullptr;
  std::vector<std::pair<std::string, Value>> numbers_;  // by name: after the update
  std::vector<Slot> slots_;
};

/// Known by name: sgd, rmsprop, adam, adamw, adadelta, adagrad, adamax, adafactor, nadam, ftrl,
/// lion, lamb, muon, schedule_free_adamw, with their defaults. Else an object below, or any like
/// the one above; one that has a weight_decay of its own (a member of that name) takes none beside
/// it.
class Optimizer {
 public:
  using Function = std::function<Value(OptimizerScope&, Value parameter, Value gradient)>;

  // Throw ArgumentError for an unknown name, arguments out of range, and two clips at once.

  Optimizer(const char* wanted, OptimizerConfig options = {})
      : Optimizer(std::string_view(wanted), std::move(options)) {}
  Optimizer(const std::string& wanted, OptimizerConfig options = {})
      : Optimizer(std::string_view(wanted), std::move(options)) {}
  Optimizer(std::string_view wanted, OptimizerConfig options = {});
  template <class T>
  requires std::is_invocable_r_v<Value, const T&, OptimizerScope&, Value, Value> &&
      (!std::same_as<T, Optimizer>)Optimizer(T optimizer, OptimizerConfig options = {})
      : name(options.name.empty() ? name_of_object(optimizer, "optimizer") : options.name),
        learning_rate(optimizer.learning_rate),
        config(std::move(options)) {
    if constexpr (requires { optimizer.check(); }) optimizer.check();
    check(requires { optimizer.weight_decay; });
    function = std::move(optimizer);
  }

  /// The parameter's next value by the optimizer's own rule.
  Value operator()(OptimizerScope& scope, Value parameter, Value gradient) const {
    return function(scope, parameter, gradient);
  }
  /// Appends a whole step to the trace, as OptimizerConfig says: updates of the parameters and of
  /// all that is kept. The gradients are those of the whole batch. Returns what is kept, in Keras 3's
  /// order. Throws ShapeError if the rule returns anything but a parameter's type.
  std::vector<OptimizerScope::Slot> apply(Trace& trace,
                                          const std::vector<Trace::Weight>& parameters,
                                          std::vector<Value> gradients) const;
  /// How many steps make one update.
  std::int64_t steps_an_update() const { return config.gradient_accumulation_steps.value_or(1); }
  /// The name of a parameter's slot: "adam/momentum/conv2d/kernel".
  std::string slot_name(std::string_view slot, std::string_view parameter) const;

  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  LearningRate learning_rate;  ///< at the beginning, unless it is a schedule
  OptimizerConfig config;
  Function function;

 private:
  void check(bool has_weight_decay) const;
  void clip(std::vector<Value>& gradients) const;
};

// The objects. w is a parameter, g its gradient, t the number of the update, from 1. Momenta and
// betas are at least 0 and less than 1, or up to 1 where it says so; epsilons are at least 0.

/// w -= learning_rate g. With momentum, up to 1: m = momentum m - learning_rate g; w += m, or for
/// nesterov w += momentum m - learning_rate g. See Sutskever et al., 2013.
struct SGD {
  LearningRate learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  static std::string_view name() { return "sgd"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// v = rho v + (1 - rho) g^2; d = learning_rate g / sqrt(v + epsilon); w -= d, or with momentum
/// b = momentum b + d; w -= b. For centered, the square of the mean gradient is taken off v. See
/// Hinton, "Neural networks for machine learning", lecture 6, 2012.
struct RMSprop {
  LearningRate learning_rate = 0.001;
  double rho = 0.9;
  double momentum = 0;
  double epsilon = 1e-7;
  bool centered = false;
  static std::string_view name() { return "rmsprop"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// m += (g - m)(1 - beta_1); v += (g^2 - v)(1 - beta_2);
/// w -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon).
/// For amsgrad, the largest v so far takes the place of v. See Kingma and Ba, 2015, the formula
/// before section 2.1; Reddi et al., 2018.
struct Adam {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  static std::string_view name() { return "adam"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// w -= learning_rate weight_decay w, and then Adam. See Loshchilov and Hutter, 2019.
struct AdamW {
  LearningRate learning_rate = 0.001;
  double weight_decay = 0.004;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  static std::string_view name() { return "adamw"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// v = rho v + (1 - rho) g^2; d = sqrt(x + epsilon) / sqrt(v + epsilon) g;
/// x = rho x + (1 - rho) d^2; w -= learning_rate d. See Zeiler, 2012, whose rate is 1.
struct Adadelta {
  LearningRate learning_rate = 0.001;
  double rho = 0.95;
  double epsilon = 1e-7;
  static std::string_view name() { return "adadelta"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// a += g^2; w -= learning_rate g / sqrt(a + epsilon). See Duchi et al., 2011.
struct Adagrad {
  LearningRate learning_rate = 0.001;
  double initial_accumulator_value = 0.1;  ///< of a, at least 0
  double epsilon = 1e-7;
  static std::string_view name() { return "adagrad"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// m as Adam's; u = max(beta_2 u, |g|); w -= learning_rate m / ((1 - beta_1^t)(u + epsilon)).
/// See Kingma and Ba, 2015, section 7.1.
struct Adamax {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  static std::string_view name() { return "adamax"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// As RMSprop, with a rho of 1 - t^beta_2_decay, a step no larger than clip_threshold by its root
/// mean square, and a rate of min(learning_rate, 1 / sqrt(t)) max(epsilon_2, that of w). Of a
/// tensor of two axes or more, only the means of g^2 along either of the last two are kept: "r" and
/// "c". relative_step is without effect, since the rate is bounded either way, as in Keras. See
/// Shazeer and Stern, 2018.
struct Adafactor {
  LearningRate learning_rate = 0.001;
  double beta_2_decay = -0.8;  ///< at most 0
  double epsilon_1 = 1e-30;
  double epsilon_2 = 1e-3;
  double clip_threshold = 1;  ///< more than 0
  bool relative_step = true;
  static std::string_view name() { return "adafactor"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// Adam with Nesterov's momentum, which grows as beta_1 (1 - 0.96^t / 2). See Dozat, 2015.
struct Nadam {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  static std::string_view name() { return "nadam"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// s = n^-learning_rate_power; n += g^2; z += g + 2 shrinkage w - (the growth of s) w /
/// learning_rate; w = (clip(z, -l1, l1) - z) / ((s + beta) / learning_rate + 2 l2). See McMahan et
/// al., 2013.
struct Ftrl {
  LearningRate learning_rate = 0.001;
  double learning_rate_power = -0.5;       ///< at most 0
  double initial_accumulator_value = 0.1;  ///< of n; this and what follows is at least 0
  double l1_regularization_strength = 0;
  double l2_regularization_strength = 0;
  double l2_shrinkage_regularization_strength = 0;
  double beta = 0;
  static std::string_view name() { return "ftrl"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// w -= learning_rate sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g. beta_1 is
/// more than 0, and both are up to 1. See Chen et al., 2023.
struct Lion {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.99;
  static std::string_view name() { return "lion"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// d = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon), m and v as Adam's;
/// w -= learning_rate |w| / |d| d. See You et al., 2020.
struct Lamb {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  static std::string_view name() { return "lamb"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

/// For matrices: m = momentum m + g; d is g + momentum m for nesterov, else m, with all its
/// singular values brought near 1 by ns_steps of Newton and Schulz's iteration, x = a x + (b x x' +
/// c (x x')^2) x; w -= learning_rate rms_rate sqrt(the larger size of w) d. All else, and matrices
/// with "embedding" (unless exclude_embeddings is false) or one of exclude_layers in their names,
/// follow AdamW. See Jordan et al., 2024; Liu et al., 2025, for rms_rate.
struct Muon {
  LearningRate learning_rate = 0.001;
  double adam_beta_1 = 0.9;
  double adam_beta_2 = 0.999;
  double adam_weight_decay = 0.004;
  double epsilon = 1e-7;
  double weight_decay = 0.004;
  std::vector<std::string> exclude_layers{};
  bool exclude_embeddings = true;
  double muon_a = 3.4445;
  double muon_b = -4.7750;
  double muon_c = 2.0315;
  double adam_lr_ratio = 1;
  double momentum = 0.95;
  int ns_steps = 5;  ///< at least 1
  bool nesterov = true;
  std::optional<double> rms_rate = 0.2;  ///< nothing: w -= learning_rate d
  static std::string_view name() { return "muon"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;

  /// Whether the parameter of that name and shape follows AdamW.
  bool uses_adam(std::string_view parameter, const Shape& shape) const;
};

/// z -= learning_rate g / (sqrt(v / (1 - beta_2^t)) + epsilon), v as Adam's, and the rate growing
/// in a line for warmup_steps; x = the mean of all z so far, w = (1 - beta_1) z + beta_1 x. z
/// begins with w, and x is worked out from both: beta_1 is more than 0. See Defazio et al., 2024.
struct ScheduleFreeAdamW {
  LearningRate learning_rate = 0.0025;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-8;
  std::int64_t warmup_steps = 0;
  static std::string_view name() { return "schedule_free_adamw"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
  void check() const;
};

}  // namespace weft::nn
