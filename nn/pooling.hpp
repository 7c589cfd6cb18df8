// Pooling layers: windows of an image, and all of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nn/core.hpp"

namespace weft::nn {

struct Pooling2DConfig {
  Size2D strides = 0;  ///< 0: as pool_size
  std::string padding = "valid";
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// The largest element of each window. Padding "same" counts as minus infinity.
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',C]
///   throws   ArgumentError for sizes below 1 and an unknown padding; ShapeError if x is not of
///   rank
///            4, or smaller than the window
struct MaxPooling2D : Symbolic<MaxPooling2D> {
  Size2D pool_size;
  Pooling2DConfig config;

  explicit MaxPooling2D(Size2D pool_size = 2, Pooling2DConfig config = {});
  static std::string_view name() { return "MaxPooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The mean of each window, over those elements that are not padding; the rest as MaxPooling2D.
struct AveragePooling2D : Symbolic<AveragePooling2D> {
  Size2D pool_size;
  Pooling2DConfig config;

  explicit AveragePooling2D(Size2D pool_size = 2, Pooling2DConfig config = {});
  static std::string_view name() { return "AveragePooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct GlobalPooling2DConfig {
  bool keepdims = false;  ///< f32[N,1,1,C] instead of f32[N,C]
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// The mean over height and width.
///   x        f32[N,H,W,C]
///   returns  f32[N,C]
///   throws   ShapeError if x is not of rank 4
struct GlobalAveragePooling2D : Symbolic<GlobalAveragePooling2D> {
  GlobalPooling2DConfig config{};

  explicit GlobalAveragePooling2D(GlobalPooling2DConfig config = {});
  static std::string_view name() { return "GlobalAveragePooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The largest element over height and width; the rest as GlobalAveragePooling2D.
struct GlobalMaxPooling2D : Symbolic<GlobalMaxPooling2D> {
  GlobalPooling2DConfig config{};

  explicit GlobalMaxPooling2D(GlobalPooling2DConfig config = {});
  static std::string_view name() { return "GlobalMaxPooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
