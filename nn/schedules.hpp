// Schedules: learning rates that follow the number of the step, with Keras' names and formulas. A
// schedule is an object below, or any function from the step, f32[], to the rate, f32[]:
//
//   nn::Adam{.learning_rate = nn::CosineDecay{.initial_learning_rate = 1e-3, .decay_steps = 10000}}
//   nn::SGD{.learning_rate = [](Value step) { return 0.1f / (1.0f + step); }}
//
// The step counts batches from 0. A schedule is part of the compiled step; its numbers are f32, as
// Keras' are.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "graph/value.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// A number, or a schedule.
class LearningRate {
 public:
  using Function = std::function<Value(Value step)>;

  /// Throws ArgumentError for a number below 0, or none at all.
  LearningRate(double rate);
  /// Throws ArgumentError for arguments of the schedule that are out of range.
  template <class F>
  requires std::is_invocable_r_v<Value, const F&, Value> &&
      (!std::same_as<F, LearningRate>)LearningRate(F schedule)
      : name(name_of_object(schedule, "schedule")) {
    if constexpr (requires { schedule.check(); }) schedule.check();
    function = std::move(schedule);
  }

  bool is_schedule() const noexcept { return static_cast<bool>(function); }
  /// The rate of a step. Throws TypeError if the schedule returns anything but f32[].
  Value operator()(Value step) const;
  /// The schedule behind it, or nullptr if it is a number, or of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  double number = 0;  ///< where there is no schedule
  std::string name;   ///< of the schedule
  Function function;
};

// The objects. Each throws ArgumentError unless decay_steps is at least 1.

/// initial_learning_rate decay_rate^(step / decay_steps); for staircase, the quotient loses its
/// fraction.
struct ExponentialDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;
  double decay_rate = 0;
  bool staircase = false;
  static std::string_view name() { return "ExponentialDecay"; }
  Value operator()(Value step) const;
  void check() const;
};

/// values[0] up to step boundaries[0] and including it, values[1] up to boundaries[1], and the last
/// value from then on. Throws ArgumentError unless there is one value more than boundaries, and
/// these increase.
struct PiecewiseConstantDecay {
  std::vector<std::int64_t> boundaries{};
  std::vector<double> values{};
  static std::string_view name() { return "PiecewiseConstantDecay"; }
  Value operator()(Value step) const;
  void check() const;
};

/// (initial_learning_rate - end_learning_rate) (1 - step / decay_steps)^power + end_learning_rate,
/// and end_learning_rate from decay_steps on; for cycle, decay_steps is instead multiplied until it
/// is no less than the step.
struct PolynomialDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;
  double end_learning_rate = 0.0001;
  double power = 1;
  bool cycle = false;
  static std::string_view name() { return "PolynomialDecay"; }
  Value operator()(Value step) const;
  void check() const;
};

/// initial_learning_rate / (1 + decay_rate step / decay_steps); for staircase, the quotient loses
/// its fraction.
struct InverseTimeDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;
  double decay_rate = 0;
  bool staircase = false;
  static std::string_view name() { return "InverseTimeDecay"; }
  Value operator()(Value step) const;
  void check() const;
};

/// Half a cosine from initial_learning_rate down to alpha times it, in decay_steps. With a
/// warmup_target, the rate first goes there from initial_learning_rate, in a line of warmup_steps,
/// and the cosine begins there. See Loshchilov and Hutter, 2017; Goyal et al., 2017.
struct CosineDecay {
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 0;
  double alpha = 0;
  std::optional<double> warmup_target{};
  std::int64_t warmup_steps = 0;
  static std::string_view name() { return "CosineDecay"; }
  Value operator()(Value step) const;
  void check() const;
};

/// Half a cosine in first_decay_steps, another in t_mul times as many that begins at m_mul times
/// the rate, and so on; each is (1 - alpha) times itself and alpha. See Loshchilov and Hutter,
/// 2017. Throws ArgumentError for a t_mul below 1.
struct CosineDecayRestarts {
  double initial_learning_rate = 0;
  std::int64_t first_decay_steps = 0;
  double t_mul = 2;
  double m_mul = 1;
  double alpha = 0;
  static std::string_view name() { return "CosineDecayRestarts"; }
  Value operator()(Value step) const;
  void check() const;
};

}  // namespace weft::nn
