#include "io/keras/network.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/layers.hpp"
#include "io/keras/names.hpp"
#include "nn/names.hpp"

namespace weft::keras {
namespace {

const nn::NestedModel* nested_in(const nn::Layer& layer) { return layer.as<nn::NestedModel>(); }

/// A network without models in it: the same calls once more, so that its layers come into the order
/// in which Keras has them.
class Flattening {
 public:
  std::vector<nn::Network::Member> operator()(const nn::Network& network) && {
    std::vector<nn::Symbol> inputs;
    for (const nn::Network::Input& input : network.inputs) {
      inputs.push_back(nn::Input(input.shape, {.name = input.name, .dtype = input.dtype}));
      names_.make(input.name);
    }
    std::vector<nn::Network::Member> layers =
        nn::network_of("", inputs, append(network, inputs, "")).layers;
    for (nn::Network::Member& member : layers) member.layer = own_.at(member.layer.identity());
    return layers;
  }

 private:
  std::vector<nn::Symbol> append(const nn::Network& network, const std::vector<nn::Symbol>& inputs,
                                 const std::string& prefix) {
    std::vector<std::vector<nn::Symbol>> made;
    for (const nn::Symbol& input : inputs) made.push_back({input});
    for (const nn::Network::Call& call : network.calls) {
      const auto& [name, layer] = network.layers[call.layer];
      std::vector<nn::Symbol> arguments;
      for (const auto& [from, port] : call.inputs) arguments.push_back(made[from].at(port));
      if (const nn::NestedModel* nested = nested_in(layer)) {
        made.push_back(append(nested->network, arguments, prefix + name + '_'));
        continue;
      }
      if (own_.emplace(layer.identity(), layer).second) {
        named_.emplace(layer.identity(), layer.named(names_.make(prefix + name)));
      }
      made.push_back(named_.at(layer.identity()).call_all(arguments));
    }
    std::vector<nn::Symbol> outputs;
    for (const auto& [from, port] : network.outputs) outputs.push_back(made[from].at(port));
    return outputs;
  }

  nn::UniqueNames names_;
  std::map<const void*, nn::Layer> own_, named_;  // by identity
};

Json shape_json(const Shape& row) {
  Json sizes = Json::array({nullptr});
  for (const std::int64_t size : row) sizes.push_back(size);
  return sizes;
}

Json input_json(const nn::Network::Input& input, Generation to) {
  const bool old = to == Generation::keras2;
  Json config = Json::object();
  config[old ? "batch_input_shape" : "batch_shape"] = shape_json(input.shape);
  config["dtype"] = input.dtype == DType::s32 ? "int32" : "float32";
  config["sparse"] = false;
  if (old) config["ragged"] = false;
  config["name"] = input.name;
  return config;
}

const char* module_of(const std::string& type) {
  return type == "Sequential" ? "keras" : "keras.src.models.functional";
}

/// is_layer: in another model.
Json write_network(const nn::Network& network, const std::string& type, const std::string& name,
                   bool trainable, bool is_layer, Generation to);

/// {"class_name": ..., "config": ...} of a layer, or of a model in the place of one.
Json member_json(const nn::Network::Member& member, Generation to) {
  if (const nn::NestedModel* nested = nested_in(member.layer)) {
    const std::string type = file_type(nested->type, nested->network);
    return object_of(
        module_of(type), type,
        write_network(nested->network, type, member.name, member.layer.trainable(), true, to), to);
  }
  LayerText text = write_layer(member.layer, member.name, to);
  return object_of(text.module, text.class_name, std::move(text.config), to);
}

/// Whether a layer's calls are written twice. Keras 2 counts the calls of a model within a model from
/// 1, having made one of its own, and Keras 3 from 0. Where both read a file, each call stands there
/// twice in a row, and the second, which nothing else needs, makes call 2 i + 1 the same for both.
bool is_called_twice(const nn::Layer& layer, Generation to) {
  return to == Generation::keras2 && nested_in(layer) != nullptr;
}

/// A reference to an output, in the form that both generations read.
class References {
 public:
  References(const nn::Network& network, Generation to) : network_(network) {
    std::vector<std::int64_t> calls(network.layers.size());
    for (const nn::Network::Call& call : network.calls) {
      const std::int64_t number = calls[call.layer]++;
      const bool twice = is_called_twice(network.layers[call.layer].layer, to);
      node_.push_back(twice ? 2 * number + 1 : number);
    }
  }
  Json operator()(const nn::Network::Source& source) const {
    const std::size_t inputs = network_.inputs.size();
    if (source.from < inputs) return Json::array({network_.inputs[source.from].name, 0, 0});
    const std::size_t call = source.from - inputs;
    return Json::array(
        {network_.layers[network_.calls[call].layer].name, node_[call], source.port});
  }

 private:
  const nn::Network& network_;
  std::vector<std::int64_t> node_;  // of each call
};

Json write_functional(const nn::Network& network, const std::string& name, bool trainable,
                      bool is_layer, Generation to) {
  const References reference(network, to);
  std::vector<Json> calls(network.layers.size(), Json::array());
  for (const nn::Network::Call& call : network.calls) {
    Json inputs = Json::array();
    for (const nn::Network::Source& source : call.inputs) {
      Json input = reference(source);
      input.push_back(Json::object());
      inputs.push_back(std::move(input));
    }
    if (is_called_twice(network.layers[call.layer].layer, to)) calls[call.layer].push_back(inputs);
    calls[call.layer].push_back(std::move(inputs));
  }
  Json layers = Json::array(), input_layers = Json::array(), output_layers = Json::array();
  for (std::size_t i = 0; i < network.inputs.size(); ++i) {
    const nn::Network::Input& input = network.inputs[i];
    Json entry = object_of("keras.layers", "InputLayer", input_json(input, to), to);
    entry["name"] = input.name;
    entry["inbound_nodes"] = Json::array();
    layers.push_back(std::move(entry));
    input_layers.push_back(reference({i, 0}));
  }
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    Json entry = member_json(network.layers[i], to);
    entry["name"] = network.layers[i].name;
    entry["inbound_nodes"] = std::move(calls[i]);
    layers.push_back(std::move(entry));
  }
  for (const nn::Network::Source& output : network.outputs) {
    Json made = reference(output);
    // Here alone Keras 3 counts a call that a functional model has of its own.
    if (to == Generation::keras3 && output.from >= network.inputs.size()) {
      const std::size_t call = output.from - network.inputs.size();
      const auto* nested = nested_in(network.layers[network.calls[call].layer].layer);
      if (nested != nullptr && file_type(nested->type, nested->network) != "Sequential") {
        made[1] = made[1].get<std::int64_t>() + 1;
      }
    }
    output_layers.push_back(std::move(made));
  }
  Json config = Json::object();
  config["name"] = name;
  config["trainable"] = trainable;
  config["layers"] = std::move(layers);
  // Of a list of one, Keras 3 makes a model that returns a list of one, which no layer takes; for a
  // whole model, older versions of Keras 2 and other programs know nothing but lists.
  const bool bare = is_layer || to == Generation::keras3;
  const auto whole = [&](Json& all) {
    return bare && all.size() == 1 ? std::move(all[0]) : std::move(all);
  };
  config["input_layers"] = whole(input_layers);
  config["output_layers"] = whole(output_layers);
  return config;
}

Json write_network(const nn::Network& given, const std::string& type, const std::string& name,
                   bool trainable, bool is_layer, Generation to) {
  const nn::Network network = with_file_names(given);
  if (type != "Sequential") return write_functional(network, name, trainable, is_layer, to);
  Json layers = Json::array();
  const nn::Network::Input& input = network.inputs[0];
  if (input.shape.rank() > 0) {
    layers.push_back(object_of("keras.layers", "InputLayer", input_json(input, to), to));
  }
  for (const nn::Network::Call& call : network.calls) {
    layers.push_back(member_json(network.layers[call.layer], to));
  }
  Json config = Json::object();
  config["name"] = name;
  config["layers"] = std::move(layers);
  if (to == Generation::keras3) config["trainable"] = trainable;
  return config;
}

}  // namespace

std::vector<nn::Network::Member> flat_layers(const nn::Network& network) {
  return Flattening()(network);
}

Json write_model(nn::Model& model, Generation to) {
  const std::string type = file_type(model.type(), model.network());
  const std::string name = file_name(model.name());
  Json object = object_of(module_of(type), type,
                          write_network(model.network(), type, name, true, false, to), to);
  if (to == Generation::keras3 && type != "Sequential") object["registered_name"] = "Functional";
  return object;
}

}  // namespace weft::keras
