#include "nn/sequential.hpp"

#include <utility>

#include "graph/error.hpp"

namespace weft::nn {

Sequential::Sequential(ModelConfig model_config)
    : Model("Sequential", Network{}, std::move(model_config)) {
  network_.inputs.emplace_back();
  network_.outputs.emplace_back();
}

Sequential::Sequential(std::initializer_list<Layer> layers, ModelConfig model_config)
    : Sequential(std::move(model_config)) {
  for (const Layer& layer : layers) add(layer);
}

Sequential::Sequential(Model model) : Model(std::move(model)) {
  if (type() != "Sequential") {
    fail<ArgumentError>("Sequential: model \"{}\" is a {} model, whose layers are no row", name(),
                        type());
  }
}

Sequential& Sequential::add(const Layer& layer) {
  expect_no_training("add");
  const auto* input = layer.as<Input>();
  Network::Input& begin = network_.inputs[0];
  if (input != nullptr && !network_.layers.empty()) {
    fail<ArgumentError>("add: an Input must be the first layer, but {} are there",
                        network_.layers.size());
  }
  if (input != nullptr) {
    begin = {input->config.name, input->config.input_shape, input->config.dtype};
  } else {
    if (begin.name.empty()) begin.name = "input_layer";
    if (network_.layers.empty() && layer.input_shape().rank() > 0) {
      begin.shape = layer.input_shape();
    }
    network_.append(layer);
  }
  changed();
  return *this;
}

void Sequential::build(const Shape& input_shape) {
  if (network_.inputs[0].shape != input_shape) {
    expect_no_training("build");
    changed();
  }
  network_.inputs[0].shape = input_shape;
  Model::build();
}

}  // namespace weft::nn
