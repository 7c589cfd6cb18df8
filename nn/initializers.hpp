// What parameters hold before training: Keras' initializers, by name or by object.
#pragma once

#include <functional>
#include <string>

#include "graph/tensor.hpp"
#include "nn/names.hpp"
#include "nn/random.hpp"

namespace weft::nn {

/// Inputs and outputs of one unit. Rank 1: n and n; rank 2: rows and columns; convolution kernels
/// [KH,KW,C,O]: KH*KW*C and KH*KW*O.
struct Fans {
  double in = 1, out = 1;
};
Fans fans_of(const Shape& shape);

/// Makes the first numbers of a parameter. Known by name: zeros, ones, glorot_uniform,
/// glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, random_normal,
/// random_uniform, truncated_normal, orthogonal. Else an object below, or any function of a shape
/// and a Random that returns an f32 tensor of that shape.
class Initializer {
 public:
  using Function = std::function<Tensor(const Shape&, Random&)>;

  /// Throws ArgumentError for an unknown name.
  Initializer(const char* name) : Initializer(std::string_view(name)) {}
  Initializer(const std::string& name) : Initializer(std::string_view(name)) {}
  Initializer(std::string_view name);
  template <class F>
  requires std::is_invocable_r_v<Tensor, const F&, const Shape&, Random&> &&
      (!std::same_as<F, Initializer>)Initializer(F function)
      : name(name_of_object(function, "initializer")), function(std::move(function)) {}

  Tensor operator()(const Shape& shape, Random& random) const { return function(shape, random); }
  /// The object behind it, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return function.template target<T>();
  }

  std::string name;
  Function function;
};

// The objects. Their members are the arguments of Keras' classes.

struct Constant {
  double value = 0;
  static std::string_view name() { return "constant"; }
  Tensor operator()(const Shape& shape, Random&) const;
};

/// Numbers whose variance keeps that of a layer's inputs (or outputs): scale / n, where n is the
/// fan that mode names. "truncated_normal" draws again beyond two deviations, and widens for what
/// is cut. See Glorot and Bengio, 2010; He et al., 2015.
struct VarianceScaling {
  enum Mode { fan_in, fan_out, fan_avg } mode = fan_in;
  enum Distribution { uniform, normal, truncated } distribution = truncated;
  double scale = 1;
  static std::string_view name() { return "variance_scaling"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

struct RandomNormal {
  double mean = 0, stddev = 0.05;
  static std::string_view name() { return "random_normal"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

struct TruncatedNormal {
  double mean = 0, stddev = 0.05;
  static std::string_view name() { return "truncated_normal"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

struct RandomUniform {
  double minval = -0.05, maxval = 0.05;
  static std::string_view name() { return "random_uniform"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

/// Rows or columns (whichever are fewer) of length gain that are orthogonal to one another; all
/// axes but the last count as rows. Throws ShapeError for rank below 2. See Saxe et al., 2014.
struct Orthogonal {
  double gain = 1;
  static std::string_view name() { return "orthogonal"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

}  // namespace weft::nn
