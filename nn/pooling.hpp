// Pooling layers: windows of an image or a sequence, and all of it. With data_format
// "channels_first", inputs and outputs are f32[N,C,H,W] (f32[N,C,T]) instead of f32[N,H,W,C]
// (f32[N,T,C]).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nn/core.hpp"

namespace weft::nn {

struct Pooling2DConfig {
  Size2D strides = 0;                         ///< 0: as pool_size
  std::string padding = "valid";              ///< or "same"
  std::string data_format = "channels_last";  ///< or "channels_first"
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// The largest element of each window. Padding "same" counts as minus infinity.
///   x        f32[N,H,W,C]
///   returns  f32[N,H',W',C]
///   throws   ArgumentError for sizes below 1, an unknown padding or data_format; ShapeError if x
///            is not of rank 4, or smaller than the window
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

struct Pooling1DConfig {
  std::int64_t strides = 0;  ///< 0: as pool_size
  std::string padding = "valid";
  std::string data_format = "channels_last";
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// MaxPooling2D along one axis.
///   x        f32[N,T,C]
///   returns  f32[N,T',C]
///   throws   as MaxPooling2D, for another rank than 3
struct MaxPooling1D : Symbolic<MaxPooling1D> {
  std::int64_t pool_size;
  Pooling1DConfig config;

  explicit MaxPooling1D(std::int64_t pool_size = 2, Pooling1DConfig config = {});
  static std::string_view name() { return "MaxPooling1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// AveragePooling2D along one axis; the rest as MaxPooling1D.
struct AveragePooling1D : Symbolic<AveragePooling1D> {
  std::int64_t pool_size;
  Pooling1DConfig config;

  explicit AveragePooling1D(std::int64_t pool_size = 2, Pooling1DConfig config = {});
  static std::string_view name() { return "AveragePooling1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// Of all four global poolings.
struct GlobalPoolingConfig {
  std::string data_format = "channels_last";
  bool keepdims = false;  ///< f32[N,1,1,C] instead of f32[N,C]
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// The mean over height and width.
///   x        f32[N,H,W,C]
///   returns  f32[N,C]
///   throws   ArgumentError for an unknown data_format; ShapeError if x is not of rank 4
struct GlobalAveragePooling2D : Symbolic<GlobalAveragePooling2D> {
  GlobalPoolingConfig config;

  explicit GlobalAveragePooling2D(GlobalPoolingConfig config = {});
  static std::string_view name() { return "GlobalAveragePooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The largest element over height and width; the rest as GlobalAveragePooling2D.
struct GlobalMaxPooling2D : Symbolic<GlobalMaxPooling2D> {
  GlobalPoolingConfig config;

  explicit GlobalMaxPooling2D(GlobalPoolingConfig config = {});
  static std::string_view name() { return "GlobalMaxPooling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The mean over steps.
///   x        f32[N,T,C]
///   returns  f32[N,C], or f32[N,1,C] for keepdims
///   throws   as GlobalAveragePooling2D, for another rank than 3
struct GlobalAveragePooling1D : Symbolic<GlobalAveragePooling1D> {
  GlobalPoolingConfig config;

  explicit GlobalAveragePooling1D(GlobalPoolingConfig config = {});
  static std::string_view name() { return "GlobalAveragePooling1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The largest element over steps; the rest as GlobalAveragePooling1D.
struct GlobalMaxPooling1D : Symbolic<GlobalMaxPooling1D> {
  GlobalPoolingConfig config;

  explicit GlobalMaxPooling1D(GlobalPoolingConfig config = {});
  static std::string_view name() { return "GlobalMaxPooling1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
