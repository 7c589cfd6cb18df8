#include "nn/activation_layers.hpp"

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

void expect_no_less_than_0(std::string_view layer, std::string_view what, double number) {
  if (!(number >= 0)) {
    fail<ArgumentError>("{}: {} must be at least 0, not {}", layer, what, number);
  }
}

}  // namespace

ReLU::ReLU(ReLUConfig c) : config(std::move(c)) {
  expect_no_less_than_0(name(), "max_value", config.max_value.value_or(0));
  expect_no_less_than_0(name(), "negative_slope", config.negative_slope);
  expect_no_less_than_0(name(), "threshold", config.threshold);
}

Value ReLU::operator()(Scope&, Value x) const {
  return activations::relu(x, config.negative_slope, config.max_value, config.threshold);
}

LeakyReLU::LeakyReLU(LeakyReLUConfig c) : config(std::move(c)) {
  expect_no_less_than_0(name(), "negative_slope", config.negative_slope);
}

Value LeakyReLU::operator()(Scope&, Value x) const {
  return activations::leaky_relu(x, config.negative_slope);
}

PReLU::PReLU(PReLUConfig c) : config(std::move(c)) {}

Value PReLU::operator()(Scope& scope, Value x) const {
  const int rank = static_cast<int>(x.shape().rank());
  if (rank < 2) fail<ShapeError>("PReLU: the input must be at least f32[N,C], not {}", x.type());
  Shape shape = without_batch(x.shape());
  for (const int axis : config.shared_axes) {
    if (axis < 1 || axis >= rank) {
      fail<ArgumentError>("PReLU: shared_axes must be among 1 to {}, 0 being the batch, not {}",
                          rank - 1, axis);
    }
    shape = shape.with(axis - 1, 1);
  }
  const Value alpha = scope.parameter("alpha", shape, config.alpha_initializer,
                                      config.alpha_regularizer, config.alpha_constraint);
  return relu(x) - alpha * relu(-x);
}

ELU::ELU(ELUConfig c) : config(std::move(c)) {}

Value ELU::operator()(Scope&, Value x) const { return activations::elu(x, config.alpha); }

Softmax::Softmax(SoftmaxConfig c) : config(std::move(c)) {
  if (config.axis.empty()) fail<ArgumentError>("Softmax: it needs at least one axis");
}

Value Softmax::operator()(Scope&, Value x) const {
  if (config.axis.size() == 1) return softmax(x, config.axis[0]);
  const std::vector<int> axes = axes_of(x.shape(), config.axis, "softmax");
  const Value powers = exp(x - stop_gradient(max(x, axes, Keep::axes)));
  return powers / sum(powers, axes, Keep::axes);
}

}  // namespace weft::nn
