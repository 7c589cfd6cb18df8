// What parameters hold before training: Keras' initializers, by name or by object.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

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

/// Makes the first numbers of a parameter. Known by name: zeros, ones, constant, glorot_uniform,
/// glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, random_normal (or normal),
/// random_uniform (or uniform), truncated_normal, variance_scaling, orthogonal, identity. Else an
/// object below, or any function of a shape and a Random that returns an f32 tensor of that shape.
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

// The objects. Their members are the arguments of Keras' classes. One with a seed always makes the
// same numbers; without, they depend on the seed of the model and the name of the parameter.

struct Zeros {
  static std::string_view name() { return "zeros"; }
  Tensor operator()(const Shape& shape, Random&) const;
};

struct Ones {
  static std::string_view name() { return "ones"; }
  Tensor operator()(const Shape& shape, Random&) const;
};

struct Constant {
  double value = 0;
  static std::string_view name() { return "constant"; }
  Tensor operator()(const Shape& shape, Random&) const;
};

/// Numbers whose variance keeps that of a layer's inputs (or outputs): scale / n, where n is the
/// fan that mode names. "truncated_normal" draws again beyond two deviations, and widens for what
/// is cut. Throws ArgumentError unless scale > 0. See Glorot and Bengio, 2010; He et al., 2015.
struct VarianceScaling {
  double scale = 1;
  enum Mode { fan_in, fan_out, fan_avg } mode = fan_in;
  enum Distribution {
    truncated_normal,
    untruncated_normal,
    uniform
  } distribution = truncated_normal;
  std::optional<std::int64_t> seed{};
  /// If both are given, the fans are the products of the sizes along these axes.
  std::vector<int> input_axes{}, output_axes{};
  static std::string_view name() { return "variance_scaling"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

// VarianceScaling with the numbers of Glorot and Bengio, 2010; He et al., 2015; LeCun et al., 1998.

struct GlorotUniform : VarianceScaling {
  explicit GlorotUniform(std::optional<std::int64_t> seed = {})
      : VarianceScaling{1, fan_avg, uniform, seed} {}
  static std::string_view name() { return "glorot_uniform"; }
};
struct GlorotNormal : VarianceScaling {
  explicit GlorotNormal(std::optional<std::int64_t> seed = {})
      : VarianceScaling{1, fan_avg, truncated_normal, seed} {}
  static std::string_view name() { return "glorot_normal"; }
};
struct HeUniform : VarianceScaling {
  explicit HeUniform(std::optional<std::int64_t> seed = {})
      : VarianceScaling{2, fan_in, uniform, seed} {}
  static std::string_view name() { return "he_uniform"; }
};
struct HeNormal : VarianceScaling {
  explicit HeNormal(std::optional<std::int64_t> seed = {})
      : VarianceScaling{2, fan_in, truncated_normal, seed} {}
  static std::string_view name() { return "he_normal"; }
};
struct LecunUniform : VarianceScaling {
  explicit LecunUniform(std::optional<std::int64_t> seed = {})
      : VarianceScaling{1, fan_in, uniform, seed} {}
  static std::string_view name() { return "lecun_uniform"; }
};
struct LecunNormal : VarianceScaling {
  explicit LecunNormal(std::optional<std::int64_t> seed = {})
      : VarianceScaling{1, fan_in, truncated_normal, seed} {}
  static std::string_view name() { return "lecun_normal"; }
};

struct RandomNormal {
  double mean = 0, stddev = 0.05;
  std::optional<std::int64_t> seed{};
  static std::string_view name() { return "random_normal"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

struct TruncatedNormal {
  double mean = 0, stddev = 0.05;
  std::optional<std::int64_t> seed{};
  static std::string_view name() { return "truncated_normal"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

struct RandomUniform {
  double minval = -0.05, maxval = 0.05;
  std::optional<std::int64_t> seed{};
  static std::string_view name() { return "random_uniform"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

/// Rows or columns (whichever are fewer) of length gain that are orthogonal to one another; all
/// axes but the last count as rows. Throws ShapeError for rank below 2. See Saxe et al., 2014.
struct Orthogonal {
  double gain = 1;
  std::optional<std::int64_t> seed{};
  static std::string_view name() { return "orthogonal"; }
  Tensor operator()(const Shape& shape, Random& random) const;
};

/// gain on the diagonal of a matrix, else 0. Throws ShapeError for another rank than 2.
struct IdentityInitializer {
  double gain = 1;
  static std::string_view name() { return "identity"; }
  Tensor operator()(const Shape& shape, Random&) const;
};

}  // namespace weft::nn
