#include "nn/core.hpp"

#include <cmath>

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {

Value with_activity_loss(Scope& scope, Value y, const Regularizer& activity_regularizer) {
  if (!activity_regularizer) return y;
  const Value loss = activity_regularizer(y);
  const auto rows = static_cast<float>(y.shape().rank() == 0 ? 1 : y.shape()[0]);
  scope.add_loss(loss * (scope.share() / rows));
  return y;
}

Input::Input(const Shape& shape, InputConfig c) : config(std::move(c)) {
  config.input_shape = shape;
  if (shape.rank() == 0) {
    fail<ArgumentError>("Input: a sample needs at least one axis; mere numbers are {{1}}");
  }
  if (config.dtype != DType::f32 && config.dtype != DType::s32) {
    fail<ArgumentError>("Input: dtype must be f32 or s32, not {}", config.dtype);
  }
  const Type type{config.dtype, with_batch(1, shape)};
  static_cast<Symbol&>(*this) =
      Symbol(std::make_shared<SymbolicCall>(*this, std::vector<Symbol>{}, std::vector<Type>{type}));
}

Dense::Dense(std::int64_t n, DenseConfig c) : units(n), config(std::move(c)) {
  expect_positive("Dense", "units", units);
}

Value Dense::operator()(Scope& scope, Value x) const {
  const Shape shape = x.shape();
  if (shape.rank() < 2) {
    fail<ShapeError>("Dense: the input must be at least f32[N,C], not {}", x.type());
  }
  const Value kernel = scope.parameter("kernel", {shape[-1], units}, config.kernel_initializer,
                                       config.kernel_regularizer, config.kernel_constraint);
  // One product of two matrices, whatever the rank.
  Value y = shape.rank() == 2 ? x : reshape(x, {shape.elements() / shape[-1], shape[-1]});
  y = matmul(y, kernel);
  if (config.use_bias) {
    y = y + scope.parameter("bias", {units}, config.bias_initializer, config.bias_regularizer,
                            config.bias_constraint);
  }
  if (shape.rank() != 2) y = reshape(y, shape.with(-1, units));
  return with_activity_loss(scope, config.activation(y), config.activity_regularizer);
}

Embedding::Embedding(std::int64_t in, std::int64_t out, EmbeddingConfig c)
    : input_dim(in), output_dim(out), config(std::move(c)) {
  expect_positive("Embedding", "input_dim", input_dim);
  expect_positive("Embedding", "output_dim", output_dim);
  if (config.mask_zero) {
    fail<ArgumentError>(
        "Embedding: mask_zero must be false, since layers pass on no masks; what stands for "
        "padding "
        "is seen by the layers that follow, so give it a number of its own");
  }
}

Value Embedding::operator()(Scope& scope, Value x) const {
  const Value embeddings =
      scope.parameter("embeddings", {input_dim, output_dim}, config.embeddings_initializer,
                      config.embeddings_regularizer, config.embeddings_constraint);
  const Value y = gather(embeddings, x.dtype() == DType::s32 ? x : cast(x, DType::s32));
  return with_activity_loss(scope, y, config.activity_regularizer);
}

ActivityRegularization::ActivityRegularization(ActivityRegularizationConfig c)
    : config(std::move(c)) {
  for (const auto& [what, factor] : {std::pair{"l1", config.l1}, std::pair{"l2", config.l2}}) {
    if (factor >= 0 && std::isfinite(factor)) continue;
    fail<ArgumentError>("ActivityRegularization: {} must be finite and at least 0, not {}", what,
                        factor);
  }
}

Value ActivityRegularization::operator()(Scope& scope, Value x) const {
  if (config.l1 == 0 && config.l2 == 0) return x;
  return with_activity_loss(scope, x, L1L2{config.l1, config.l2});
}

Rescaling::Rescaling(std::vector<double> s, std::vector<double> o, LayerConfig c)
    : scale(std::move(s)), offset(std::move(o)), config(std::move(c)) {
  if (scale.empty() || offset.empty()) {
    fail<ArgumentError>("Rescaling: scale and offset must be a number each, or one per channel");
  }
}

Value Rescaling::operator()(Scope& scope, Value x) const {
  const auto constant = [&](std::string_view what, const std::vector<double>& numbers) {
    if (numbers.size() == 1) return scalar_like(x, static_cast<float>(numbers[0]));
    const auto count = static_cast<std::int64_t>(numbers.size());
    if (x.shape().rank() == 0 || x.shape()[-1] != count) {
      fail<ShapeError>("Rescaling: {} has {} numbers, one per channel, but the input is {}", what,
                       count, x.type());
    }
    return scope.graph().constant(
        Tensor::of<float>({count}, std::vector<float>(numbers.begin(), numbers.end())));
  };
  if (x.dtype() != DType::f32) x = cast(x, DType::f32);
  const Value scaled = x * constant("scale", scale);
  return offset == std::vector{0.0} ? scaled : scaled + constant("offset", offset);
}

}  // namespace weft::nn
