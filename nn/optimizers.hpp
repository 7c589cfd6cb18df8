// Optimizers: how parameters follow their gradients, with Keras' formulas. An optimizer is any
// struct with a learning rate, a name and one call operator, which returns a parameter's next
// value:
//
//   struct SignDescent {
//     double learning_rate = 1e-3;
//     static std::string_view name() { return "sign_descent"; }
//     Value operator()(nn::OptimizerScope& scope, Value w, Value g) const {
//       return w - scope.learning_rate() * sign(g);
//     }
//   };
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <string_view>

#include "graph/graph.hpp"
#include "nn/layer.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// What an optimizer sees while it is traced for one parameter. All that it keeps are variables
/// named after it: "adam/learning_rate", "adam/iteration", "adam/m/conv2d/kernel".
class OptimizerScope {
 public:
  /// Creates the learning rate and the count of steps, if they are not there, and reads them.
  OptimizerScope(Trace& trace, std::string optimizer, double learning_rate);

  /// f32[]; can be set between steps (Model::set_learning_rate).
  Value learning_rate() const noexcept { return learning_rate_; }
  /// f32[]: the number of this step, from 1.
  Value iteration() const noexcept { return iteration_; }
  /// A tensor that is kept from step to step for this parameter, of its shape.
  Value slot(std::string_view name, float fill = 0);
  /// After the step, slot holds next.
  void update(Value slot, Value next);

  /// Which parameter slot() is about from now on.
  void for_parameter(const Trace::Weight& weight) noexcept { parameter_ = &weight; }
  /// Every slot made so far, with what it was filled with.
  struct Slot {
    std::string name;
    float fill;
  };
  const std::vector<Slot>& slots() const noexcept { return slots_; }

 private:
  Trace& trace_;
  std::string optimizer_;
  Value learning_rate_, iteration_;
  const Trace::Weight* parameter_ = nullptr;
  std::vector<Slot> slots_;
};

/// Known by name: sgd, adam, adamw, rmsprop, with their defaults. Else an object below, or any like
/// the one above.
class Optimizer {
 public:
  using Function = std::function<Value(OptimizerScope&, Value parameter, Value gradient)>;

  /// Throws ArgumentError for an unknown name.
  Optimizer(const char* name) : Optimizer(std::string_view(name)) {}
  Optimizer(const std::string& name) : Optimizer(std::string_view(name)) {}
  Optimizer(std::string_view name);
  template <class T>
  requires std::is_invocable_r_v<Value, const T&, OptimizerScope&, Value, Value> &&
      (!std::same_as<T, Optimizer>)Optimizer(T optimizer)
      : name(name_of_object(optimizer, "optimizer")),
        learning_rate(static_cast<double>(optimizer.learning_rate)),
        function(std::move(optimizer)) {}

  Value operator()(OptimizerScope& scope, Value parameter, Value gradient) const {
    return function(scope, parameter, gradient);
  }
  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  double learning_rate;  ///< at the beginning
  Function function;
};

// The objects. w is a parameter, g its gradient, t the number of the step.

/// w -= learning_rate g. With momentum: m = momentum m - learning_rate g; w += m, or for nesterov
/// w += momentum m - learning_rate g. See Sutskever et al., 2013.
struct SGD {
  double learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  static std::string_view name() { return "sgd"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
};

/// m += (g - m)(1 - beta_1); v += (g^2 - v)(1 - beta_2);
/// w -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon).
/// For amsgrad, the largest v so far takes the place of v. See Kingma and Ba, 2015, the formula
/// before section 2.1; Reddi et al., 2018.
struct Adam {
  double learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  static std::string_view name() { return "adam"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
};

/// w -= learning_rate weight_decay w, and then Adam. See Loshchilov and Hutter, 2019.
struct AdamW {
  double learning_rate = 0.001;
  double weight_decay = 0.004;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  static std::string_view name() { return "adamw"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
};

/// v = rho v + (1 - rho) g^2; d = learning_rate g / sqrt(v + epsilon); w -= d, or with momentum
/// b = momentum b + d; w -= b. For centered, the square of the mean gradient is taken off v. See
/// Hinton, "Neural networks for machine learning", lecture 6, 2012.
struct RMSprop {
  double learning_rate = 0.001;
  double rho = 0.9;
  double momentum = 0;
  double epsilon = 1e-7;
  bool centered = false;
  static std::string_view name() { return "rmsprop"; }
  Value operator()(OptimizerScope& scope, Value w, Value g) const;
};

}  // namespace weft::nn
