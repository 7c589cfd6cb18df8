// Layers that move elements, or leave some out, and compute nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/core.hpp"

namespace weft::nn {

/// f32[N,...] as f32[N,product], row-major; f32[N] as f32[N,1].
struct Flatten : Symbolic<Flatten> {
  LayerConfig config;

  explicit Flatten(LayerConfig config = {}) : config(std::move(config)) {}
  static std::string_view name() { return "Flatten"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// f32[N,...] as f32[N,target_shape...]; one size may be -1 and follows from the others.
/// Throws ArgumentError for more than one -1 and other sizes below 1; ShapeError if it does not
/// fit.
struct Reshape : Symbolic<Reshape> {
  std::vector<std::int64_t> target_shape;
  LayerConfig config;

  explicit Reshape(std::vector<std::int64_t> target_shape, LayerConfig config = {});
  static std::string_view name() { return "Reshape"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
