#include "nn/core.hpp"

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
  const Value kernel = scope.parameter("kernel", {shape[-1], units}, config.kernel_initializer);
  // One product of two matrices, whatever the rank.
  Value y = shape.rank() == 2 ? x : reshape(x, {shape.elements() / shape[-1], shape[-1]});
  y = matmul(y, kernel);
  if (config.use_bias) y = y + scope.parameter("bias", {units}, config.bias_initializer);
  if (shape.rank() != 2) y = reshape(y, shape.with(-1, units));
  return config.activation(y);
}

}  // namespace weft::nn
