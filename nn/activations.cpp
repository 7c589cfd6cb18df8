#include "nn/activations.hpp"

#include <array>

#include "graph/print.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace activations {
namespace {

float narrow(double number) { return static_cast<float>(number); }

constexpr double selu_alpha = 1.6732632423543772, selu_scale = 1.0507009873554805;

}  // namespace

Value linear(Value x) { return x; }

Value relu(Value x, double negative_slope, std::optional<double> max_value, double threshold) {
  const float slope = narrow(negative_slope), at = narrow(threshold);
  Value y;
  if (threshold != 0) {
    y = select(greater(x, at), x, slope * (x - at));
  } else {
    y = slope == 0 ? weft::relu(x) : weft::leaky_relu(x, slope);
  }
  return max_value ? minimum(y, narrow(*max_value)) : y;
}

Value relu6(Value x) { return clip(x, 0, 6); }
Value leaky_relu(Value x, double slope) { return weft::leaky_relu(x, narrow(slope)); }
Value elu(Value x, double alpha) { return weft::elu(x, narrow(alpha)); }
Value celu(Value x, double alpha) {
  return alpha == 1 ? weft::elu(x) : weft::elu(x / narrow(alpha)) * narrow(alpha);
}
Value selu(Value x) { return elu(x, selu_alpha) * narrow(selu_scale); }

Value sigmoid(Value x) { return weft::sigmoid(x); }
Value log_sigmoid(Value x) { return -weft::softplus(-x); }
Value hard_sigmoid(Value x) { return relu6(x + 3.0f) / 6.0f; }
Value sparse_sigmoid(Value x) { return clip(x + 1.0f, 0, 2) * 0.5f; }

Value tanh(Value x) { return weft::tanh(x); }
Value hard_tanh(Value x) { return clip(x, -1, 1); }
Value tanh_shrink(Value x) { return x - weft::tanh(x); }

Value softplus(Value x) { return weft::softplus(x); }
Value squareplus(Value x, double b) { return (x + sqrt(square(x) + narrow(b))) * 0.5f; }
// (x + 1)^2 / 4 between -1 and 1.
Value sparse_plus(Value x) {
  return select(greater(x, 1), x, square(weft::relu(x + 1.0f)) * 0.25f);
}

Value softsign(Value x) { return x / (1.0f + abs(x)); }
Value soft_shrink(Value x, double threshold) {
  return x - clip(x, -narrow(threshold), narrow(threshold));
}
Value hard_shrink(Value x, double threshold) { return x * greater(abs(x), narrow(threshold)); }
Value threshold(Value x, double threshold, double default_value) {
  return select(less_equal(x, scalar_like(x, narrow(threshold))),
                scalar_like(x, narrow(default_value)), x);
}

Value swish(Value x) { return weft::swish(x); }
Value hard_silu(Value x) { return x * hard_sigmoid(x); }
Value mish(Value x) { return x * weft::tanh(weft::softplus(x)); }
Value gelu(Value x, bool approximate) { return approximate ? gelu_tanh(x) : weft::gelu(x); }
Value exponential(Value x) { return exp(x); }

Value softmax(Value x, int axis) { return weft::softmax(x, axis); }
Value log_softmax(Value x, int axis) { return weft::log_softmax(x, axis); }
Value sparsemax(Value x, int axis) { return weft::sparsemax(x, axis); }

Value glu(Value x, int axis) {
  const auto at = static_cast<std::size_t>(axis_of(x.shape(), axis, "glu"));
  const std::int64_t size = x.shape()[static_cast<int>(at)];
  if (size % 2 != 0) {
    fail<ShapeError>("glu: axis {} of {} must have an even size, to be halved", axis, x.type());
  }
  std::vector<std::int64_t> begin(x.shape().rank(), 0), end(x.shape().begin(), x.shape().end());
  end[at] = size / 2;
  const Value first = slice(x, begin, end);
  begin[at] = size / 2;
  end[at] = size;
  return first * weft::sigmoid(slice(x, begin, end));
}

}  // namespace activations

namespace {

struct Row {
  std::string_view name;
  Value (*function)(Value);
};

constexpr std::array known{
    Row{"linear", [](Value x) { return activations::linear(x); }},
    Row{"relu", [](Value x) { return activations::relu(x); }},
    Row{"relu6", [](Value x) { return activations::relu6(x); }},
    Row{"leaky_relu", [](Value x) { return activations::leaky_relu(x); }},
    Row{"elu", [](Value x) { return activations::elu(x); }},
    Row{"selu", [](Value x) { return activations::selu(x); }},
    Row{"celu", [](Value x) { return activations::celu(x); }},
    Row{"sigmoid", [](Value x) { return activations::sigmoid(x); }},
    Row{"hard_sigmoid", [](Value x) { return activations::hard_sigmoid(x); }},
    Row{"log_sigmoid", [](Value x) { return activations::log_sigmoid(x); }},
    Row{"sparse_sigmoid", [](Value x) { return activations::sparse_sigmoid(x); }},
    Row{"tanh", [](Value x) { return activations::tanh(x); }},
    Row{"hard_tanh", [](Value x) { return activations::hard_tanh(x); }},
    Row{"tanh_shrink", [](Value x) { return activations::tanh_shrink(x); }},
    Row{"soft_shrink", [](Value x) { return activations::soft_shrink(x); }},
    Row{"hard_shrink", [](Value x) { return activations::hard_shrink(x); }},
    Row{"softplus", [](Value x) { return activations::softplus(x); }},
    Row{"squareplus", [](Value x) { return activations::squareplus(x); }},
    Row{"sparse_plus", [](Value x) { return activations::sparse_plus(x); }},
    Row{"softsign", [](Value x) { return activations::softsign(x); }},
    Row{"swish", [](Value x) { return activations::swish(x); }},
    Row{"silu", [](Value x) { return activations::swish(x); }},
    Row{"hard_silu", [](Value x) { return activations::hard_silu(x); }},
    Row{"hard_swish", [](Value x) { return activations::hard_silu(x); }},
    Row{"mish", [](Value x) { return activations::mish(x); }},
    Row{"gelu", [](Value x) { return activations::gelu(x); }},
    Row{"exponential", [](Value x) { return activations::exponential(x); }},
    Row{"softmax", [](Value x) { return activations::softmax(x); }},
    Row{"log_softmax", [](Value x) { return activations::log_softmax(x); }},
    Row{"sparsemax", [](Value x) { return activations::sparsemax(x); }},
    Row{"glu", [](Value x) { return activations::glu(x); }},
};

}  // namespace

Activation::Activation(std::string_view wanted) {
  const Row& row = find_named("activation", wanted, std::span<const Row>(known));
  identifier = row.name;
  function = row.function;
}

}  // namespace weft::nn
