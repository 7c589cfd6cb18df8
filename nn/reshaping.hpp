// Layers that move elements, leave some out, or put some in between. With data_format
// "channels_first", inputs and outputs are f32[N,C,H,W] (f32[N,C,T]) instead of f32[N,H,W,C]
// (f32[N,T,C]).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/core.hpp"

namespace weft::nn {

/// Of layers that have no other arguments.
struct SpatialConfig {
  std::string data_format = "channels_last";  ///< or "channels_first"
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// f32[N,...] as f32[N,product], row-major; f32[N] as f32[N,1]. "channels_first" brings the
/// channels, axis 1, to the end before, so that a layer behind sees the same order in both formats.
struct Flatten : Symbolic<Flatten> {
  SpatialConfig config;

  explicit Flatten(SpatialConfig config = {});
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

/// The axes behind the batch in another order: axis k of the result is axis dims[k - 1] of x, all
/// counted from 1. Permute({2, 1}) makes f32[N,4,3] of f32[N,3,4].
/// Throws ArgumentError if dims does not name each of 1, 2, ... once; ShapeError for another rank.
struct Permute : Symbolic<Permute> {
  std::vector<int> dims;
  LayerConfig config;

  explicit Permute(std::vector<int> dims, LayerConfig config = {});
  static std::string_view name() { return "Permute"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// f32[N,F] n times: f32[N,n,F]. Throws ArgumentError unless n > 0; ShapeError for another rank.
struct RepeatVector : Symbolic<RepeatVector> {
  std::int64_t n;
  LayerConfig config;

  explicit RepeatVector(std::int64_t n, LayerConfig config = {});
  static std::string_view name() { return "RepeatVector"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// How much at the two ends of an axis; one number stands for both.
struct Ends {
  std::int64_t before = 0, after = 0;
  constexpr Ends(std::int64_t both) : before(both), after(both) {}
  constexpr Ends(std::int64_t b, std::int64_t a) : before(b), after(a) {}
  friend constexpr bool operator==(const Ends&, const Ends&) = default;
};

/// The same for a height and a width: 1, or {1, 2}, or {{top, bottom}, {left, right}}.
struct Margins {
  Ends height = 0, width = 0;
  constexpr Margins(std::int64_t all) : height(all), width(all) {}
  constexpr Margins(Ends h, Ends w) : height(h), width(w) {}
  friend constexpr bool operator==(const Margins&, const Margins&) = default;
};

/// Zeros around each image.
///   x        f32[N,H,W,C]
///   returns  f32[N,H+top+bottom,W+left+right,C]
///   throws   ArgumentError for a negative padding and an unknown data_format; ShapeError for
///            another rank
struct ZeroPadding2D : Symbolic<ZeroPadding2D> {
  Margins padding;
  SpatialConfig config;

  explicit ZeroPadding2D(Margins padding = 1, SpatialConfig config = {});
  static std::string_view name() { return "ZeroPadding2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The same for sequences f32[N,T,C].
struct ZeroPadding1D : Symbolic<ZeroPadding1D> {
  Ends padding;
  SpatialConfig config;

  explicit ZeroPadding1D(Ends padding = 1, SpatialConfig config = {});
  static std::string_view name() { return "ZeroPadding1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// Each image without its margins.
///   x        f32[N,H,W,C]
///   returns  f32[N,H-top-bottom,W-left-right,C]
///   throws   ArgumentError for a negative cropping and an unknown data_format; ShapeError for
///            another rank, and if nothing would be left
struct Cropping2D : Symbolic<Cropping2D> {
  Margins cropping;
  SpatialConfig config;

  explicit Cropping2D(Margins cropping = 0, SpatialConfig config = {});
  static std::string_view name() { return "Cropping2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// The same for sequences f32[N,T,C].
struct Cropping1D : Symbolic<Cropping1D> {
  Ends cropping;
  LayerConfig config;

  explicit Cropping1D(Ends cropping = 1, LayerConfig config = {});
  static std::string_view name() { return "Cropping1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct UpSampling2DConfig {
  std::string data_format = "channels_last";
  /// Or "bilinear", "bicubic" (Keys' kernel, a = -1/2), "lanczos3", "lanczos5".
  std::string interpolation = "nearest";
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// Larger images. "nearest" repeats pixels; the others interpolate between the centres of pixels,
/// by kernels whose weights within the image are scaled to sum up to 1.
///   x        f32[N,H,W,C]
///   returns  f32[N,H*size.height,W*size.width,C]
///   throws   ArgumentError for sizes below 1, an unknown interpolation or data_format; ShapeError
///            for another rank
///   see      Keys, "Cubic convolution interpolation for digital image processing", 1981
struct UpSampling2D : Symbolic<UpSampling2D> {
  Size2D size;
  UpSampling2DConfig config;

  explicit UpSampling2D(Size2D size = 2, UpSampling2DConfig config = {});
  static std::string_view name() { return "UpSampling2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

/// Each step of a sequence f32[N,T,C] repeated: f32[N,T*size,C].
struct UpSampling1D : Symbolic<UpSampling1D> {
  std::int64_t size;
  LayerConfig config;

  explicit UpSampling1D(std::int64_t size = 2, LayerConfig config = {});
  static std::string_view name() { return "UpSampling1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
