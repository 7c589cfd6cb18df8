// Layers that disturb what goes through them, in training only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/core.hpp"

namespace weft::nn {

// In each config, a layer with a seed draws numbers that depend on the seed, the step and the
// replica alone, so that layers of equal seeds draw the same; without one, numbers depend on the
// seed that was given to fit, and differ from layer to layer.

struct DropoutConfig {
  /// Of what is drawn, which is repeated along axes of size 1: one size per axis of the input, -1
  /// being the input's. That of the batch is -1, or 1 for samples that share what is drawn (with
  /// those of the same replica); any other counts as -1.
  std::vector<std::int64_t> noise_shape{};
  std::optional<std::int64_t> seed{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// In training, each element becomes 0 with probability rate, and the others are divided by
/// (1 - rate), so that the mean stays; else x itself.
///   throws  ArgumentError unless 0 <= rate <= 1, and for sizes of noise_shape that are neither -1
///           nor positive; ShapeError for a noise_shape that does not fit the input
///   see     Srivastava et al., "Dropout: a simple way to prevent neural networks from
///           overfitting", 2014
struct Dropout : Symbolic<Dropout> {
  double rate;
  DropoutConfig config;

  explicit Dropout(double rate, DropoutConfig config = {});
  static std::string_view name() { return "Dropout"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct SpatialDropout1DConfig {
  std::optional<std::int64_t> seed{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// Dropout of whole channels of f32[N,T,C]. Throws ArgumentError unless 0 <= rate <= 1; ShapeError
/// for another rank. See Tompson et al., "Efficient object localization using convolutional
/// networks", 2015.
struct SpatialDropout1D : Symbolic<SpatialDropout1D> {
  double rate;
  SpatialDropout1DConfig config;

  explicit SpatialDropout1D(double rate, SpatialDropout1DConfig config = {});
  static std::string_view name() { return "SpatialDropout1D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct SpatialDropout2DConfig {
  std::string data_format = "channels_last";  ///< or "channels_first"
  std::optional<std::int64_t> seed{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// Dropout of whole channels of f32[N,H,W,C], or f32[N,C,H,W]. Throws as SpatialDropout1D does, and
/// ArgumentError for another data_format.
struct SpatialDropout2D : Symbolic<SpatialDropout2D> {
  double rate;
  SpatialDropout2DConfig config;

  explicit SpatialDropout2D(double rate, SpatialDropout2DConfig config = {});
  static std::string_view name() { return "SpatialDropout2D"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct GaussianNoiseConfig {
  std::optional<std::int64_t> seed{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// In training, x plus normally distributed numbers of mean 0; else x itself. Throws ArgumentError
/// unless 0 <= stddev <= 1.
struct GaussianNoise : Symbolic<GaussianNoise> {
  double stddev;
  GaussianNoiseConfig config;

  explicit GaussianNoise(double stddev, GaussianNoiseConfig config = {});
  static std::string_view name() { return "GaussianNoise"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct GaussianDropoutConfig {
  std::optional<std::int64_t> seed{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// In training, x times normally distributed numbers of mean 1 and variance rate / (1 - rate), as
/// Dropout's factors have them; else x itself. Throws ArgumentError unless 0 <= rate < 1. See
/// Srivastava et al., 2014, section 10.
struct GaussianDropout : Symbolic<GaussianDropout> {
  double rate;
  GaussianDropoutConfig config;

  explicit GaussianDropout(double rate, GaussianDropoutConfig config = {});
  static std::string_view name() { return "GaussianDropout"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

struct AlphaDropoutConfig {
  std::vector<std::int64_t> noise_shape{};  ///< as Dropout's
  std::optional<std::int64_t> seed{};
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// Dropout that keeps mean and variance of what selu makes: elements become selu's least value,
/// -1.7581, with probability rate, and then all of them are scaled and shifted.
/// Throws as Dropout does, and for rate = 1. See Klambauer et al., 2017.
struct AlphaDropout : Symbolic<AlphaDropout> {
  double rate;
  AlphaDropoutConfig config;

  explicit AlphaDropout(double rate, AlphaDropoutConfig config = {});
  static std::string_view name() { return "AlphaDropout"; }
  using Symbolic::operator();
  Value operator()(Scope& scope, Value x) const;
};

}  // namespace weft::nn
