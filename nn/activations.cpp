#include "nn/activations.hpp"

#include <array>

#include "ops/ops.hpp"

namespace weft::nn {
namespace {

struct Row {
  std::string_view name;
  Value (*function)(Value);
};

// Klambauer et al., "Self-normalizing neural networks", 2017: with these, mean 0 and variance 1 are
// kept from layer to layer.
constexpr float selu_alpha = 1.6732632423543772f, selu_scale = 1.0507009873554805f;

constexpr std::array known{
    Row{"linear", [](Value x) { return x; }},
    Row{"relu", [](Value x) { return relu(x); }},
    Row{"relu6", [](Value x) { return clip(x, 0, 6); }},
    Row{"leaky_relu", [](Value x) { return leaky_relu(x, 0.2f); }},
    Row{"elu", [](Value x) { return elu(x); }},
    Row{"selu", [](Value x) { return elu(x, selu_alpha) * selu_scale; }},
    Row{"sigmoid", [](Value x) { return sigmoid(x); }},
    Row{"log_sigmoid", [](Value x) { return -softplus(-x); }},
    Row{"tanh", [](Value x) { return tanh(x); }},
    Row{"softplus", [](Value x) { return softplus(x); }},
    Row{"softsign", [](Value x) { return x / (1.0f + abs(x)); }},
    Row{"swish", [](Value x) { return swish(x); }},
    Row{"silu", [](Value x) { return swish(x); }},
    Row{"mish", [](Value x) { return x * tanh(softplus(x)); }},
    Row{"gelu", [](Value x) { return gelu(x); }},
    Row{"exponential", [](Value x) { return exp(x); }},
    Row{"softmax", [](Value x) { return softmax(x); }},
    Row{"log_softmax", [](Value x) { return log_softmax(x); }},
};

}  // namespace

Activation::Activation(std::string_view wanted) {
  const Row& row = find_named("activation", wanted, std::span<const Row>(known));
  identifier = row.name;
  function = row.function;
}

}  // namespace weft::nn
