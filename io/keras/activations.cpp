#include "io/keras/activations.hpp"

#include <set>

namespace weft::keras {
namespace {

/// Layers whose activation comes last, so that it may as well be a layer of its own.
bool ends_with_activation(const std::string& class_name) {
  static const std::set<std::string> known{"Dense",           "Conv1D",          "Conv2D",
                                           "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D",
                                           "Activation"};
  return known.contains(class_name);
}

/// Layers without weights of their own.
bool is_activation_layer(const std::string& class_name) {
  static const std::set<std::string> known{"ReLU",    "LeakyReLU",       "ELU",
                                           "Softmax", "ThresholdedReLU", "Activation"};
  return known.contains(class_name);
}

bool is_hard_sigmoid(const Json& activation) {
  if (activation == "hard_sigmoid") return true;
  return member(activation, "class_name") == "function" &&
         member(activation, "config") == "hard_sigmoid";
}

/// What stands for an activation; nothing if a function of nn:: does.
std::vector<PlainLayer> layers_of(const Json& activation, Generation from) {
  if (is_hard_sigmoid(activation) && from == Generation::keras2) {
    return {{"Rescaling", Json{{"scale", 0.2}, {"offset", 0.5}}},
            {"ReLU", Json{{"max_value", 1.0}}}};
  }
  if (!activation.is_object() || !member(activation, "class_name").is_string()) return {};
  const Described object = described(activation, "activation");
  if (!is_activation_layer(object.class_name) || !object.config->is_object()) return {};
  Json config = *object.config;
  config.erase("name");
  return without_odd_activation(object.class_name, config, from);
}

}  // namespace

std::vector<PlainLayer> without_odd_activation(const std::string& class_name, const Json& config,
                                               Generation from) {
  std::vector<PlainLayer> result{{class_name, config}};
  // What a layer's outputs add to the loss would be seen before the activation.
  if (!ends_with_activation(class_name) || !member(config, "activity_regularizer").is_null()) {
    return result;
  }
  std::vector<PlainLayer> then = layers_of(member(config, "activation"), from);
  if (then.empty()) return result;
  result[0].config["activation"] = "linear";
  for (PlainLayer& layer : then) result.push_back(std::move(layer));
  return result;
}

}  // namespace weft::keras
