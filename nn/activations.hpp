// Activation: a function of each unit, by name or by function; also a layer.
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "graph/value.hpp"
#include "nn/names.hpp"
#include "nn/symbol.hpp"

namespace weft::nn {

/// Known by name: every function of the namespace activations but threshold, with its default
/// arguments; swish is also called silu, and hard_silu hard_swish. Else any function from a Value
/// to a Value, such as one of those with other arguments:
///
///   nn::Dense(8, {.activation = [](Value x) { return nn::activations::gelu(x, true); }})
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

/// Keras' functions with their arguments. x is f32, and so is what they return, of x's shape unless
/// it says otherwise. Where a function has a kink, its derivative is that of ops/unary.hpp.
namespace activations {

Value linear(Value x);  ///< x
/// x where it is above the threshold, else negative_slope (x - threshold); and at most max_value.
Value relu(Value x, double negative_slope = 0, std::optional<double> max_value = {},
           double threshold = 0);
Value relu6(Value x);  ///< min(max(x, 0), 6)
Value leaky_relu(Value x, double negative_slope = 0.2);
Value elu(Value x, double alpha = 1);   ///< x for x > 0, else alpha (e^x - 1)
Value celu(Value x, double alpha = 1);  ///< x for x > 0, else alpha (e^(x / alpha) - 1)
/// 1.0507 elu(x, 1.6733): keeps mean 0 and variance 1 from layer to layer. See Klambauer et al.,
/// "Self-normalizing neural networks", 2017.
Value selu(Value x);
Value sigmoid(Value x);
Value log_sigmoid(Value x);
Value hard_sigmoid(Value x);    ///< relu6(x + 3) / 6
Value sparse_sigmoid(Value x);  ///< (x + 1) / 2, held between 0 and 1
Value tanh(Value x);
Value hard_tanh(Value x);    ///< x, held between -1 and 1
Value tanh_shrink(Value x);  ///< x - tanh(x)
Value softplus(Value x);     ///< log(1 + e^x)
/// (x + sqrt(x^2 + b)) / 2. See Barron, "Squareplus: a softplus-like algebraic rectifier", 2021.
Value squareplus(Value x, double b = 4);
Value sparse_plus(Value x);  ///< the integral of sparse_sigmoid: 0 below -1, x above 1
Value softsign(Value x);     ///< x / (1 + |x|)
Value soft_shrink(Value x, double threshold = 0.5);  ///< nearer to 0 by the threshold, or 0
Value hard_shrink(Value x, double threshold = 0.5);  ///< x where |x| is above it, else 0
Value threshold(Value x, double threshold, double default_value);  ///< x above it, else the default
Value swish(Value x);                                              ///< x sigmoid(x)
Value hard_silu(Value x);                                          ///< x hard_sigmoid(x)
Value mish(Value x);                                               ///< x tanh(softplus(x))
/// x times the probability that a standard normal number is below x; approximate: by way of tanh.
/// See Hendrycks and Gimpel, "Gaussian error linear units", 2016.
Value gelu(Value x, bool approximate = false);
Value exponential(Value x);
// Along an axis, -1 being the last:
Value softmax(Value x, int axis = -1);
Value log_softmax(Value x, int axis = -1);
/// Of sum 1, as its paper has it. Keras 3.15 differs where several numbers are kept, by a mistake
/// that its issue 23425 has mended since.
Value sparsemax(Value x, int axis = -1);
/// The first half along the axis times the sigmoid of the second, so that its size is halved.
/// Throws ShapeError if it is odd. See Dauphin et al., "Language modeling with gated convolutional
/// networks", 2017.
Value glu(Value x, int axis = -1);

}  // namespace activations

}  // namespace weft::nn
