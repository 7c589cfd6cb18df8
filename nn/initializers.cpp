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

struct Row {
  std::string_view name;
  Initializer::Function function;
};

std::span<const Row> known() {
  using V = VarianceScaling;
  static const std::array rows{
      Row{"zeros", Constant{0}},
      Row{"ones", Constant{1}},
      Row{"glorot_uniform", V{V::fan_avg, V::uniform, 1}},
      Row{"glorot_normal", V{V::fan_avg, V::truncated, 1}},
      Row{"he_uniform", V{V::fan_in, V::uniform, 2}},
      Row{"he_normal", V{V::fan_in, V::truncated, 2}},
      Row{"lecun_uniform", V{V::fan_in, V::uniform, 1}},
      Row{"lecun_normal", V{V::fan_in, V::truncated, 1}},
      Row{"random_normal", RandomNormal{}},
      Row{"random_uniform", RandomUniform{}},
      Row{"truncated_normal", TruncatedNormal{}},
      Row{"orthogonal", Orthogonal{}},
  };
  return rows;
}

}  // namespace

Initializer::Initializer(std::string_view wanted) {
  const Row& row = find_named("initializer", wanted, known());
  name = row.name;
  function = row.function;
}

Fans fans_of(const Shape& shape) {
  if (shape.rank() == 0) return {1, 1};
  if (shape.rank() == 1) return {static_cast<double>(shape[0]), static_cast<double>(shape[0])};
  double receptive = 1;
  for (std::size_t axis = 0; axis + 2 < shape.rank(); ++axis) {
    receptive *= static_cast<double>(shape[static_cast<int>(axis)]);
  }
  return {receptive * static_cast<double>(shape[-2]), receptive * static_cast<double>(shape[-1])};
}

Tensor Constant::operator()(const Shape& shape, Random&) const {
  return Tensor::full(shape, static_cast<float>(value));
}

Tensor VarianceScaling::operator()(const Shape& shape, Random& random) const {
  const Fans fans = fans_of(shape);
  const double fan = mode == fan_in    ? fans.in
                     : mode == fan_out ? fans.out
                                       : (fans.in + fans.out) / 2;
  const double variance = scale / std::max(1.0, fan);
  if (distribution == uniform) {
    const double limit = std::sqrt(3 * variance);
    return filled(shape, [&] { return random.uniform(-limit, limit); });
  }
  if (distribution == normal) {
    return filled(shape, [&] { return random.normal(0, std::sqrt(variance)); });
  }
  // The deviation of a standard normal number that is cut off at two.
  constexpr double deviation_when_cut = 0.87962566103423978;
  const double deviation = std::sqrt(variance) / deviation_when_cut;
  return filled(shape, [&] { return random.truncated_normal(0, deviation); });
}

Tensor RandomNormal::operator()(const Shape& shape, Random& random) const {
  return filled(shape, [&] { return random.normal(mean, stddev); });
}

Tensor TruncatedNormal::operator()(const Shape& shape, Random& random) const {
  return filled(shape, [&] { return random.truncated_normal(mean, stddev); });
}

Tensor RandomUniform::operator()(const Shape& shape, Random& random) const {
  return filled(shape, [&] { return random.uniform(minval, maxval); });
}

Tensor Orthogonal::operator()(const Shape& shape, Random& random) const {
  if (shape.rank() < 2) {
    fail<ShapeError>("orthogonal: a parameter of at least 2 axes is needed, not f32{}", shape);
  }
  const auto columns = static_cast<std::size_t>(shape[-1]);
  const std::size_t rows = columns == 0 ? 0 : static_cast<std::size_t>(shape.elements()) / columns;
  const std::size_t count = std::min(rows, columns), length = std::max(rows, columns);
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
  Tensor result(Type{DType::f32, shape});
  const auto out = result.data<float>();
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      const double number = rows >= columns ? vectors[c][r] : vectors[r][c];
      out[r * columns + c] = static_cast<float>(gain * number);
    }
  }
  return result;
}

}  // namespace weft::nn
