#include "nn/initializers.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "graph/print.hpp"

namespace weft::nn {
namespace {

template <class Draw>
Tensor filled(const Shape& shape, Draw draw) {
  Tensor result(Type{DType::f32, shape});
  for (float& number : result.data<float>()) number = static_cast<float>(draw());
  return result;
}

/// Draws from the seed, if there is one, else on from the given numbers.
template <class Draw>
Tensor drawn(const std::optional<std::int64_t>& seed, Random& random, Draw draw) {
  if (!seed) return draw(random);
  Random own(static_cast<std::uint64_t>(*seed));
  return draw(own);
}

struct Row {
  std::string_view name;
  Initializer (*make)();
};

constexpr std::array known{
    Row{"zeros", []() -> Initializer { return Zeros{}; }},
    Row{"ones", []() -> Initializer { return Ones{}; }},
    Row{"constant", []() -> Initializer { return Constant{}; }},
    Row{"glorot_uniform", []() -> Initializer { return GlorotUniform{}; }},
    Row{"glorot_normal", []() -> Initializer { return GlorotNormal{}; }},
    Row{"he_uniform", []() -> Initializer { return HeUniform{}; }},
    Row{"he_normal", []() -> Initializer { return HeNormal{}; }},
    Row{"lecun_uniform", []() -> Initializer { return LecunUniform{}; }},
    Row{"lecun_normal", []() -> Initializer { return LecunNormal{}; }},
    Row{"random_normal", []() -> Initializer { return RandomNormal{}; }},
    Row{"normal", []() -> Initializer { return RandomNormal{}; }},
    Row{"random_uniform", []() -> Initializer { return RandomUniform{}; }},
    Row{"uniform", []() -> Initializer { return RandomUniform{}; }},
    Row{"truncated_normal", []() -> Initializer { return TruncatedNormal{}; }},
    Row{"variance_scaling", []() -> Initializer { return VarianceScaling{}; }},
    Row{"orthogonal", []() -> Initializer { return Orthogonal{}; }},
    Row{"identity", []() -> Initializer { return IdentityInitializer{}; }},
};

double product(const Shape& shape, const std::vector<int>& axes) {
  double result = 1;
  for (const int axis : axes) result *= static_cast<double>(shape[axis]);
  return result;
}

}  // namespace

Initializer::Initializer(std::string_view wanted)
    : Initializer(find_named("initializer", wanted, std::span<const Row>(known)).make()) {}

Fans fans_of(const Shape& shape) {
  if (shape.rank() == 0) return {1, 1};
  if (shape.rank() == 1) return {static_cast<double>(shape[0]), static_cast<double>(shape[0])};
  double receptive = 1;
  for (std::size_t axis = 0; axis + 2 < shape.rank(); ++axis) {
    receptive *= static_cast<double>(shape[static_cast<int>(axis)]);
  }
  return {receptive * static_cast<double>(shape[-2]), receptive * static_cast<double>(shape[-1])};
}

Tensor Zeros::operator()(const Shape& shape, Random&) const { return Tensor::full(shape, 0.0f); }

Tensor Ones::operator()(const Shape& shape, Random&) const { return Tensor::full(shape, 1.0f); }

Tensor Constant::operator()(const Shape& shape, Random&) const {
  return Tensor::full(shape, static_cast<float>(value));
}

Tensor VarianceScaling::operator()(const Shape& shape, Random& given) const {
  if (!(scale > 0)) {
    fail<ArgumentError>("VarianceScaling: scale must be above 0, not {}", scale);
  }
  Fans fans = fans_of(shape);
  if (!input_axes.empty() && !output_axes.empty()) {
    fans = {product(shape, input_axes), product(shape, output_axes)};
  }
  const double fan = mode == fan_in    ? fans.in
                     : mode == fan_out ? fans.out
                                       : (fans.in + fans.out) / 2;
  const double variance = scale / std::max(1.0, fan);
  return drawn(seed, given, [&](Random& random) {
    if (distribution == uniform) {
      const double limit = std::sqrt(3 * variance);
      return filled(shape, [&] { return random.uniform(-limit, limit); });
    }
    if (distribution == untruncated_normal) {
      return filled(shape, [&] { return random.normal(0, std::sqrt(variance)); });
    }
    // The deviation of a standard normal number that is cut off at two.
    constexpr double deviation_when_cut = 0.87962566103423978;
    const double deviation = std::sqrt(variance) / deviation_when_cut;
    return filled(shape, [&] { return random.truncated_normal(0, deviation); });
  });
}

Tensor RandomNormal::operator()(const Shape& shape, Random& given) const {
  return drawn(seed, given, [&](Random& random) {
    return filled(shape, [&] { return random.normal(mean, stddev); });
  });
}

Tensor TruncatedNormal::operator()(const Shape& shape, Random& given) const {
  return drawn(seed, given, [&](Random& random) {
    return filled(shape, [&] { return random.truncated_normal(mean, stddev); });
  });
}

Tensor RandomUniform::operator()(const Shape& shape, Random& given) const {
  return drawn(seed, given, [&](Random& random) {
    return filled(shape, [&] { return random.uniform(minval, maxval); });
  });
}

namespace {

/// As many random vectors, each of length 1 and orthogonal to all others.
std::vector<std::vector<double>> orthogonal_vectors(std::size_t count, std::size_t length,
                                                    Random& random) {
  // Gram and Schmidt's process on random vectors. It is the QR decomposition with a positive
  // diagonal of R, which makes every orthogonal matrix equally likely. Done twice for accuracy.
  std::vector<std::vector<double>> vectors(count, std::vector<double>(length));
  for (std::size_t i = 0; i < count; ++i) {
    for (double& number : vectors[i]) number = random.normal();
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t j = 0; j < i; ++j) {
        double dot = 0;
        for (std::size_t k = 0; k < length; ++k) dot += vectors[i][k] * vectors[j][k];
        for (std::size_t k = 0; k < length; ++k) vectors[i][k] -= dot * vectors[j][k];
      }
    }
    double norm = 0;
    for (const double number : vectors[i]) norm += number * number;
    for (double& number : vectors[i]) number /= std::sqrt(norm);
  }
  return vectors;
}

}  // namespace

Tensor Orthogonal::operator()(const Shape& shape, Random& given) const {
  if (shape.rank() < 2) {
    fail<ShapeError>("orthogonal: a parameter of at least 2 axes is needed, not f32{}", shape);
  }
  const auto columns = static_cast<std::size_t>(shape[-1]);
  const std::size_t rows = columns == 0 ? 0 : static_cast<std::size_t>(shape.elements()) / columns;
  return drawn(seed, given, [&](Random& random) {
    const auto vectors =
        orthogonal_vectors(std::min(rows, columns), std::max(rows, columns), random);
    Tensor result(Type{DType::f32, shape});
    const auto out = result.data<float>();
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        const double number = rows >= columns ? vectors[c][r] : vectors[r][c];
        out[r * columns + c] = static_cast<float>(gain * number);
      }
    }
    return result;
  });
}

Tensor IdentityInitializer::operator()(const Shape& shape, Random&) const {
  if (shape.rank() != 2) {
    fail<ShapeError>("identity: a matrix is needed, not f32{}", shape);
  }
  Tensor result = Tensor::full(shape, 0.0f);
  for (std::int64_t i = 0; i < std::min(shape[0], shape[1]); ++i) {
    result.data<float>()[static_cast<std::size_t>(i * shape[1] + i)] = static_cast<float>(gain);
  }
  return result;
}

}  // namespace weft::nn
