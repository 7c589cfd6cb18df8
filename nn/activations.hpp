// Activation: a function of each unit, by name or by function; also a layer.
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <string_view>

#include "graph/value.hpp"
#include "nn/names.hpp"
#include "nn/symbol.hpp"

namespace weft::nn {

/// Known by name: linear, relu, relu6, leaky_relu (slope 0.2), elu, selu, sigmoid, log_sigmoid,
/// tanh, softplus, softsign, swish, silu, mish, gelu (exact), exponential, softmax and log_softmax
/// (both over the last axis). Else any function from a Value to a Value.
class Activation : public Symbolic<Activation> {
 public:
  Activation() : Activation("linear") {}
  /// Throws ArgumentError for an unknown name.
  Activation(const char* name) : Activation(std::string_view(name)) {}
  Activation(const std::string& name) : Activation(std::string_view(name)) {}
  Activation(std::string_view name);
  template <class F>
  requires std::is_invocable_r_v<Value, const F&, Value> &&
      (!std::same_as<F, Activation>)Activation(F f)
      : identifier(name_of_object(f, "function")), function(std::move(f)) {}

  using Symbolic::operator();
  Value operator()(Value x) const { return function(x); }
  Value operator()(Scope&, Value x) const { return function(x); }
  static std::string_view name() { return "Activation"; }

  std::string identifier;  ///< "relu"
  std::function<Value(Value)> function;
};

}  // namespace weft::nn
