// Layers that disturb what goes through them, in training only.
#pragma once

#include <string_view>

#include "nn/core.hpp"

namespace weft::nn {

/// In training, each element becomes 0 with probability rate, and the others are divided by
/// (1 - rate), so that the mean stays; else x itself.
/// Throws ArgumentError unless 0 <= rate < 1. See Srivastava et al., 2014.
struct Dropout : Symbolic<Dropout> {
  double rate;
  LayerConfig config;

  explicit Dropout(double rate, LayerConfig config = {});
  static std::string_view name() { return "Dropout"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
