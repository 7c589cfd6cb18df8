// Constraints: what weights are held to, after each step of the optimizer. By name, by object, or
// any function from a tensor to one of its shape.
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include "graph/value.hpp"
#include "nn/axes.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// Known by name: max_norm, min_max_norm, non_neg, unit_norm. Else an object below, or any
/// function.
class Constraint {
 public:
  using Function = std::function<Value(Value)>;

  Constraint() = default;  ///< none
  /// Throws ArgumentError for an unknown name.
  Constraint(const char* name) : Constraint(std::string_view(name)) {}
  Constraint(const std::string& name) : Constraint(std::string_view(name)) {}
  Constraint(std::string_view name);
  template <class F>
  requires std::is_invocable_r_v<Value, const F&, Value> &&
      (!std::same_as<F, Constraint>)Constraint(F f)
      : name(name_of_object(f, "constraint")), function(std::move(f)) {}

  explicit operator bool() const noexcept { return static_cast<bool>(function); }
  /// What the weight becomes. Throws ShapeError if the function changes its shape.
  Value operator()(Value weight) const;
  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  Function function;
};

// The objects. A norm is the root of the sum of squares over `axis`: 0 for the kernel of a dense
// layer, whose columns are its units; {0, 1, 2} for that of a convolution.

/// Norms above max_value become it.
struct MaxNorm {
  double max_value = 2;
  Axes axis = 0;
  static std::string_view name() { return "max_norm"; }
  Value operator()(Value w) const;
};

/// Norms move into [min_value, max_value], by `rate` of the way.
struct MinMaxNorm {
  double min_value = 0, max_value = 1, rate = 1;
  Axes axis = 0;
  static std::string_view name() { return "min_max_norm"; }
  Value operator()(Value w) const;
};

/// max(w, 0)
struct NonNeg {
  static std::string_view name() { return "non_neg"; }
  Value operator()(Value w) const;
};

/// All norms become 1.
struct UnitNorm {
  Axes axis = 0;
  static std::string_view name() { return "unit_norm"; }
  Value operator()(Value w) const;
};

}  // namespace weft::nn
