// Activations that have arguments or weights, as layers; nn::Activation is one by itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/axes.hpp"
#include "nn/core.hpp"

namespace weft::nn {

struct ReLUConfig {
  std::optional<double> max_value{};
  double negative_slope = 0;
  double threshold = 0;
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// x where it is above the threshold, else negative_slope (x - threshold); and at most max_value.
/// Throws ArgumentError for a negative argument.
struct ReLU : Symbolic<ReLU> {
  ReLUConfig config;

  explicit ReLU(ReLUConfig config = {});
  static std::string_view name() { return "ReLU"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct LeakyReLUConfig {
  double negative_slope = 0.3;
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// x where it is positive, else negative_slope x. Throws ArgumentError for a negative slope.
struct LeakyReLU : Symbolic<LeakyReLU> {
  LeakyReLUConfig config;

  explicit LeakyReLU(LeakyReLUConfig config = {});
  static std::string_view name() { return "LeakyReLU"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct PReLUConfig {
  Initializer alpha_initializer = "zeros";
  Regularizer alpha_regularizer{};
  Constraint alpha_constraint{};
  std::vector<int> shared_axes{};  ///< along which alpha is one number: {1, 2} for one per channel
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// x where it is positive, else alpha x, where alpha is trained.
///   x        f32[N,...]
///   weights  alpha, of the shape of a sample, with size 1 along shared_axes
///   throws   ArgumentError for a shared axis that is the batch or is not there; ShapeError for a
///            mere batch of numbers
///   see      He et al., "Delving deep into rectifiers", 2015
struct PReLU : Symbolic<PReLU> {
  PReLUConfig config;

  explicit PReLU(PReLUConfig config = {});
  static std::string_view name() { return "PReLU"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct ELUConfig {
  double alpha = 1;
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// x where it is positive, else alpha (e^x - 1). See Clevert et al., "Fast and accurate deep
/// network learning by exponential linear units", 2016.
struct ELU : Symbolic<ELU> {
  ELUConfig config;

  explicit ELU(ELUConfig config = {});
  static std::string_view name() { return "ELU"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct SoftmaxConfig {
  Axes axis = -1;
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// e^x divided by its sum along an axis, or over several. Throws ArgumentError for no axis;
/// ShapeError for one that is not there.
struct Softmax : Symbolic<Softmax> {
  SoftmaxConfig config;

  explicit Softmax(SoftmaxConfig config = {});
  static std::string_view name() { return "Softmax"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
