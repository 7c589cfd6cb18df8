#include "tools/classes.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "graph/error.hpp"
#include "io/quoted.hpp"
#include "nn/nn.hpp"

namespace weft {
namespace {

void softmax(std::vector<float>& values) {
  const float most = *std::ranges::max_element(values);
  float sum = 0;
  for (float& v : values) sum += v = std::exp(v - most);
  for (float& v : values) v /= sum;
}

/// The layer that makes a network's output, within models that are layers; nullptr: an input is it.
const nn::Layer* last_layer(const nn::Network* network) {
  nn::Network::Source output = network->outputs[0];
  while (output.from >= network->inputs.size()) {
    const nn::Network::Call& call = network->calls[output.from - network->inputs.size()];
    const nn::Layer& layer = network->layers[call.layer].layer;
    const auto* nested = layer.as<nn::NestedModel>();
    if (nested == nullptr) return &layer;
    network = &nested->network;
    output = network->outputs[output.port];
  }
  return nullptr;
}

Classes::Output output_of(const nn::Network& network) {
  const nn::Layer* layer = last_layer(&network);
  if (layer == nullptr) return Classes::Output::scores;
  if (layer->as<nn::Softmax>() != nullptr) return Classes::Output::softmax;
  std::string activation;
  if (const auto* dense = layer->as<nn::Dense>()) activation = dense->config.activation.identifier;
  if (const auto* function = layer->as<nn::Activation>()) activation = function->identifier;
  if (activation == "softmax") return Classes::Output::softmax;
  return activation == "sigmoid" ? Classes::Output::sigmoid : Classes::Output::scores;
}

}  // namespace

Classes::Classes(nn::Model& model, std::vector<std::string> names, std::string_view who)
    : names_(std::move(names)), output_(output_of(model.network())) {
  const auto outputs = static_cast<std::size_t>(model.output_shape().elements());
  is_binary_ = outputs == 1 && output_ == Output::sigmoid;
  const std::size_t count = is_binary_ ? 2 : outputs;
  if (names_.empty()) {
    for (std::size_t i = 0; i < count; ++i) names_.push_back(fmt::to_string(i));
  }
  if (names_.size() != count) {
    fail<ArgumentError>("{}: the model tells {} classes apart, but {} names were given: {}", who,
                        count, names_.size(),
                        printable(fmt::format("{}", fmt::join(names_, ", ")), 160));
  }
}

std::vector<float> Classes::probabilities(std::span<const float> output) const {
  if (is_binary_) return {1 - output[0], output[0]};
  std::vector<float> result(output.begin(), output.end());
  if (output_ == Output::scores) softmax(result);
  return result;
}

}  // namespace weft
