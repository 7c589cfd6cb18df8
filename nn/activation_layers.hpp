// Activations that have arguments or weights, as layers; nn::Activation is one by itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>

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

/// x where it is at least the threshold, else negative_slope (x - threshold); and at most
/// max_value. Throws ArgumentError for a negative argument.
struct ReLU : Symbolic<ReLU> {
  ReLUConfig config;

  explicit ReLU(ReLUConfig config = {});
  static std::string_view name() { return "ReLU"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
