// Layers that make one tensor of several: nn::Add()({x, shortcut}).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nn/axes.hpp"
#include "nn/core.hpp"

namespace weft::nn {

/// Inputs as layers combine them element by element: all of the highest rank among them.
/// Throws what Merging does.
std::vector<Value> of_equal_rank(std::string_view layer, const std::vector<Value>& inputs);

/// What layers have in common that combine their inputs element by element. Kind has a name and
/// `static Value merge(const std::vector<Value>& inputs)`, which sees inputs of equal rank.
///   inputs   f32[N,...], one or more; sizes are equal or 1, and an input of lower rank counts as
///            one with axes of size 1 behind its batch
///   throws   ArgumentError for no inputs; ShapeError, naming all shapes, if they do not fit
template <class Kind>
struct Merging : Symbolic<Kind> {
  LayerConfig config;

  explicit Merging(LayerConfig config = {}) : config(std::move(config)) {}
  using Symbolic<Kind>::operator();
  Value operator()(Scope&, const std::vector<Value>& inputs) const {
    return Kind::merge(of_equal_rank(Kind::name(), inputs));
  }
};

/// a + b + ...
struct Add : Merging<Add> {
  using Merging::Merging;
  static std::string_view name() { return "Add"; }
  static Value merge(const std::vector<Value>& inputs);
};

/// a - b. Throws ArgumentError unless there are two inputs.
struct Subtract : Merging<Subtract> {
  using Merging::Merging;
  static std::string_view name() { return "Subtract"; }
  static Value merge(const std::vector<Value>& inputs);
};

/// a b ...
struct Multiply : Merging<Multiply> {
  using Merging::Merging;
  static std::string_view name() { return "Multiply"; }
  static Value merge(const std::vector<Value>& inputs);
};

/// The mean of the inputs.
struct Average : Merging<Average> {
  using Merging::Merging;
  static std::string_view name() { return "Average"; }
  static Value merge(const std::vector<Value>& inputs);
};

/// The largest of the inputs.
struct Maximum : Merging<Maximum> {
  using Merging::Merging;
  static std::string_view name() { return "Maximum"; }
  static Value merge(const std::vector<Value>& inputs);
};

/// The smallest of the inputs.
struct Minimum : Merging<Minimum> {
  using Merging::Merging;
  static std::string_view name() { return "Minimum"; }
  static Value merge(const std::vector<Value>& inputs);
};

/// The inputs one behind the other along an axis.
///   axis     counts the batch as 0, or from the end as -1
///   inputs   f32[N,...], one or more, equal in all sizes but that of the axis
///   throws   ArgumentError for an axis that is the batch or is not there; ShapeError, naming all
///            shapes, for inputs that differ elsewhere
struct Concatenate : Symbolic<Concatenate> {
  int axis;
  LayerConfig config;

  explicit Concatenate(int axis = -1, LayerConfig config = {});
  static std::string_view name() { return "Concatenate"; }
  using Symbolic::operator();
  Value operator()(Scope&, const std::vector<Value>& inputs) const;
};

struct DotConfig {
  bool normalize = false;  ///< along the axes, to length 1, so that products are cosines
  Shape input_shape{};
  std::string name{};
  bool trainable = true;
};

/// The sums of the products of two inputs along an axis of each, sample by sample.
///   axes     one for both inputs, or one for each; the batch is 0
///   inputs   f32[N,A...,K,B...] and f32[N,C...,K,D...], where K is the size of the axes
///   returns  f32[N,A...,B...,C...,D...]; f32[N,1] if nothing but N is left
///   throws   ArgumentError unless there are two inputs, and for other than one or two axes, and
///            axes that are the batch or are not there; ShapeError for axes of different sizes
struct Dot : Symbolic<Dot> {
  Axes axes;
  DotConfig config;

  explicit Dot(Axes axes, DotConfig config = {});
  static std::string_view name() { return "Dot"; }
  using Symbolic::operator();
  Value operator()(Scope&, const std::vector<Value>& inputs) const;
};

}  // namespace weft::nn
