// Regularizers: what large weights (or outputs of a layer) add to the loss. By name, by object, or
// any function of a tensor that returns a number.
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include "graph/value.hpp"
#include "nn/names.hpp"

namespace weft::nn {

/// Known by name: l1, l2, l1_l2 (0.01 each, as in Keras 2; Keras 3 does not know that name),
/// orthogonal_regularizer. Else an object below, or any function of the tensor that returns f32[].
/// As in Keras, what weights add is part of the `loss` that is shown, in evaluation too; frozen
/// weights add nothing.
class Regularizer {
 public:
  using Function = std::function<Value(Value)>;

  Regularizer() = default;  ///< none
  /// Throws ArgumentError for an unknown name.
  Regularizer(const char* name) : Regularizer(std::string_view(name)) {}
  Regularizer(const std::string& name) : Regularizer(std::string_view(name)) {}
  Regularizer(std::string_view name);
  template <class F>
  requires std::is_invocable_r_v<Value, const F&, Value> &&
      (!std::same_as<F, Regularizer>)Regularizer(F f)
      : name(name_of_object(f, "regularizer")), function(std::move(f)) {}

  explicit operator bool() const noexcept { return static_cast<bool>(function); }
  /// f32[]. Throws TypeError if the function returns something else.
  Value operator()(Value x) const;
  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  Function function;
};

// The objects. Their members are the arguments of Keras' classes; called, they throw ArgumentError
// for a factor that is negative or not finite.

/// l1 sum |w|
struct L1 {
  double l1 = 0.01;
  static std::string_view name() { return "l1"; }
  Value operator()(Value x) const;
};

/// l2 sum w^2
struct L2 {
  double l2 = 0.01;
  static std::string_view name() { return "l2"; }
  Value operator()(Value x) const;
};

/// l1 sum |w| + l2 sum w^2
struct L1L2 {
  double l1 = 0, l2 = 0;
  static std::string_view name() { return "l1_l2"; }
  Value operator()(Value x) const;
};

/// Of a matrix, factor times half the sum of |cosine| over all pairs of different rows (or
/// columns), divided by the number of pairs. Throws ShapeError for another rank, or a single row;
/// ArgumentError for another mode.
struct OrthogonalRegularizer {
  double factor = 0.01;
  std::string mode = "rows";  ///< or "columns"
  static std::string_view name() { return "orthogonal_regularizer"; }
  Value operator()(Value x) const;
};

}  // namespace weft::nn
