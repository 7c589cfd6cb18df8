#include "io/keras/network.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/layers.hpp"
#include "nn/names.hpp"

namespace weft::keras {
namespace {

const nn::NestedModel* nested_in(const nn::Layer& layer) { return layer.as<nn::NestedModel>(); }

/// Whether all models in a network are Sequential, however deep.
bool all_sequential(const nn::Network& network) {
  return std::ranges::all_of(network.layers, [](const nn::Network::Member& member) {
    const nn::NestedModel* nested = nested_in(member.layer);
    return nested == nullptr || (nested->type == "Sequential" && all_sequential(nested->network));
  });
}

/// A network without models in it: the same calls once more, so that its layers come into the order
/// in which Keras will have them.
class Flattening {
 public:
  FileNetwork operator()(const nn::Network& network, const std::string& model) && {
    std::vector<nn::Symbol> inputs;
    for (const nn::Network::Input& input : network.inputs) {
      inputs.push_back(nn::Input(input.shape, {.name = input.name, .dtype = input.dtype}));
      names_.make(input.name);
    }
    const std::vector<nn::Symbol> outputs = append(network, inputs, "", "");
    FileNetwork flat{nn::network_of(model, inputs, outputs), {}};
    for (const nn::Network::Member& member : flat.network.layers) {
      flat.layers.push_back({member.name, member.layer, path_.at(member.layer.identity())});
    }
    return flat;
  }

 private:
  std::vector<nn::Symbol> append(const nn::Network& network, const std::vector<nn::Symbol>& inputs,
                                 const std::string& prefix, const std::string& path) {
    std::vector<std::vector<nn::Symbol>> made;
    for (const nn::Symbol& input : inputs) made.push_back({input});
    for (const nn::Network::Call& call : network.calls) {
      const auto& [name, layer] = network.layers[call.layer];
      std::vector<nn::Symbol> arguments;
      for (const auto& [from, port] : call.inputs) arguments.push_back(made[from].at(port));
      if (const nn::NestedModel* nested = nested_in(layer)) {
        made.push_back(append(nested->network, arguments, prefix + name + '_', path + name + '/'));
        continue;
      }
      if (path_.emplace(layer.identity(), path + name + '/').second) {
        named_.emplace(layer.identity(), layer.named(names_.make(prefix + name)));
      }
      made.push_back(named_.at(layer.identity()).call_all(arguments));
    }
    std::vector<nn::Symbol> outputs;
    for (const auto& [from, port] : network.outputs) outputs.push_back(made[from].at(port));
    return outputs;
  }

  nn::UniqueNames names_;
  std::map<const void*, std::string> path_;  // of layers, by identity
  std::map<const void*, nn::Layer> named_;
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

Json write_network(const nn::Network& network, const std::string& type, const std::string& name,
                   bool trainable, Generation to);

/// {"class_name": ..., "config": ...} of a layer, or of a model in the place of one.
Json member_json(const nn::Network::Member& member, Generation to) {
  if (const nn::NestedModel* nested = nested_in(member.layer)) {
    const bool sequential = nested->type == "Sequential";
    return object_of(
        sequential ? "keras" : "keras.src.models.functional", nested->type,
        write_network(nested->network, nested->type, member.name, member.layer.trainable(), to),
        to);
  }
  LayerText text = write_layer(member.layer, member.name, to);
  return object_of(text.module, text.class_name, std::move(text.config), to);
}

/// A reference to an output, in the form that both generations read.
class References {
 public:
  explicit References(const nn::Network& network) : network_(network) {
    std::vector<std::int64_t> calls(network.layers.size());
    for (const nn::Network::Call& call : network.calls) node_.push_back(calls[call.layer]++);
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
                      Generation to) {
  const References reference(network);
  std::vector<Json> calls(network.layers.size(), Json::array());
  for (const nn::Network::Call& call : network.calls) {
    Json inputs = Json::array();
    for (const nn::Network::Source& source : call.inputs) {
      Json input = reference(source);
      input.push_back(Json::object());
      inputs.push_back(std::move(input));
    }
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
      if (nested != nullptr && nested->type != "Sequential") {
        made[1] = made[1].get<std::int64_t>() + 1;
      }
    }
    output_layers.push_back(std::move(made));
  }
  Json config = Json::object();
  config["name"] = name;
  config["trainable"] = trainable;
  config["layers"] = std::move(layers);
  // Of a list of one, Keras 3 makes a model that returns a list of one, which no layer takes.
  const auto whole = [&](Json& all) {
    return to == Generation::keras3 && all.size() == 1 ? std::move(all[0]) : std::move(all);
  };
  config["input_layers"] = whole(input_layers);
  config["output_layers"] = whole(output_layers);
  return config;
}

Json write_network(const nn::Network& network, const std::string& type, const std::string& name,
                   bool trainable, Generation to) {
  if (type != "Sequential") return write_functional(network, name, trainable, to);
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

/// What a file can call Sequential: of the layers of one, any may have been called twice, and a
/// model within it may have been any when it became layers.
bool is_chain(const nn::Network& network) {
  std::size_t last = 0;
  for (std::size_t i = 0; i < network.calls.size(); ++i) {
    const nn::Network::Call& call = network.calls[i];
    if (call.layer != i || call.inputs.size() != 1 || call.inputs[0].from != last) return false;
    last = network.inputs.size() + i;
  }
  return network.inputs.size() == 1 && network.outputs.size() == 1 &&
         network.outputs[0].from == last && network.calls.size() == network.layers.size();
}

}  // namespace

FileNetwork file_network(const nn::Model& model, Generation to) {
  const nn::Network& network = model.network();
  const bool keeps_models =
      to == Generation::keras3 || (model.type() == "Sequential" && all_sequential(network));
  if (!keeps_models) return Flattening()(network, model.name());
  FileNetwork file{network, {}};
  for (const nn::Network::Member& member : network.layers) {
    file.layers.push_back({member.name, member.layer, member.name + '/'});
  }
  return file;
}

Json write_model(nn::Model& model, const FileNetwork& file, Generation to) {
  const bool chain = model.type() == "Sequential" && is_chain(file.network);
  const std::string type = chain ? "Sequential" : "Functional";
  Json object = object_of(chain ? "keras" : "keras.src.models.functional", type,
                          write_network(file.network, type, model.name(), true, to), to);
  if (to == Generation::keras3 && !chain) object["registered_name"] = "Functional";
  return object;
}

}  // namespace weft::keras
