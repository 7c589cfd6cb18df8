#include "nn/regularizers.hpp"

#include <array>
#include <cmath>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

struct Row {
  std::string_view name;
  Regularizer (*make)();
};

constexpr std::array known{
    Row{"l1", []() -> Regularizer { return L1{}; }},
    Row{"l2", []() -> Regularizer { return L2{}; }},
    Row{"l1_l2", []() -> Regularizer { return L1L2{.l1 = 0.01, .l2 = 0.01}; }},
    Row{"orthogonal_regularizer", []() -> Regularizer { return OrthogonalRegularizer{}; }},
};

Value times(double factor, Value x) { return x * static_cast<float>(factor); }

void expect_factor(std::string_view regularizer, std::string_view what, double factor) {
  if (factor >= 0 && std::isfinite(factor)) return;
  fail<ArgumentError>("{}: {} must be finite and at least 0, not {}", regularizer, what, factor);
}

}  // namespace

Regularizer::Regularizer(std::string_view wanted)
    : Regularizer(find_named("regularizer", wanted, std::span<const Row>(known)).make()) {}

Value Regularizer::operator()(Value x) const {
  const Value penalty = function(x);
  if (!penalty || penalty.type() != Type{DType::f32, {}}) {
    fail<TypeError>("regularizer \"{}\": it must return f32[], not {}", name,
                    penalty ? fmt::format("{}", penalty.type()) : "an empty Value");
  }
  return penalty;
}

Value L1::operator()(Value x) const {
  expect_factor("L1", "l1", l1);
  return times(l1, sum(abs(x)));
}

Value L2::operator()(Value x) const {
  expect_factor("L2", "l2", l2);
  return times(l2, sum(square(x)));
}

Value L1L2::operator()(Value x) const {
  expect_factor("L1L2", "l1", l1);
  expect_factor("L1L2", "l2", l2);
  if (l1 == 0) return l2 == 0 ? scalar_like(x, 0) : L2{l2}(x);
  return l2 == 0 ? L1{l1}(x) : L1{l1}(x) + L2{l2}(x);
}

Value OrthogonalRegularizer::operator()(Value x) const {
  expect_factor("OrthogonalRegularizer", "factor", factor);
  if (mode != "rows" && mode != "columns") {
    fail<ArgumentError>("OrthogonalRegularizer: mode must be \"rows\" or \"columns\", not \"{}\"",
                        mode);
  }
  if (x.shape().rank() != 2) {
    fail<ShapeError>("OrthogonalRegularizer: the weight must be a matrix, not {}", x.type());
  }
  const Value vectors = mode == "rows" ? x : transpose(x, {1, 0});
  const std::int64_t count = vectors.shape()[0];
  if (count < 2) {
    fail<ShapeError>("OrthogonalRegularizer: {} has but one of its {}", x.type(), mode);
  }
  // As Keras' normalize: no division by less than its epsilon. Held from 0 before the root, whose
  // derivative is infinite there.
  const Value unit = vectors / sqrt(maximum(sum(square(vectors), {1}, Keep::axes), 1e-14f));
  Tensor others(Type{DType::f32, {count, count}});
  for (std::int64_t i = 0; i < count * count; ++i) {
    others.data<float>()[static_cast<std::size_t>(i)] = i / count == i % count ? 0 : 1;
  }
  const Value cosines = matmul(unit, transpose(unit, {1, 0})) * Graph::of(x).constant(others);
  const double pairs = static_cast<double>(count) * static_cast<double>(count - 1) / 2;
  return times(factor * 0.5 / pairs, sum(abs(cosines)));
}

}  // namespace weft::nn
