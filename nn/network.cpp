#include "nn/network.hpp"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "graph/print.hpp"
#include "nn/shapes.hpp"

namespace weft::nn {

std::vector<std::vector<Value>> Network::trace(Scope& scope,
                                               const std::vector<Value>& values) const {
  if (values.size() != inputs.size()) {
    fail<ArgumentError>("model: it has {} inputs, but {} were given", inputs.size(), values.size());
  }
  std::vector<std::vector<Value>> made;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = values[i].shape();
    if (inputs[i].shape.rank() > 0 && without_batch(shape) != inputs[i].shape) {
      fail<ShapeError>("model: input \"{}\" is {}, but {} was given", inputs[i].name,
                       with_any_batch(with_batch(1, inputs[i].shape)), with_any_batch(shape));
    }
    made.push_back({values[i]});
  }
  for (const Call& call : calls) {
    const auto& [name, layer] = layers[call.layer];
    std::vector<Value> arguments;
    for (const auto& [from, port] : call.inputs) arguments.push_back(made[from].at(port));
    std::vector<Value> results = scope.call_owner(name, layer, arguments);
    for (const Value& result : results) {
      if (!result) fail("model: layer \"{}\" returned an empty Value", name);
    }
    if (call.has_one_output) expect_one_output(layer, results.size());
    made.push_back(std::move(results));
  }
  return made;
}

std::vector<Value> Network::operator()(Scope& scope, const std::vector<Value>& values) const {
  const std::vector<std::vector<Value>> made = trace(scope, values);
  std::vector<Value> results;
  for (const auto& [from, port] : outputs) results.push_back(made[from].at(port));
  return results;
}

std::vector<std::size_t> Network::owners(const Trace& trace) const {
  std::unordered_map<std::string_view, std::size_t> place;
  for (std::size_t i = 0; i < layers.size(); ++i) place.emplace(layers[i].name, i);
  std::vector<std::size_t> found;
  for (const Trace::Weight& weight : trace.weights) {
    std::string_view name = weight.name;
    auto owner = place.end();
    while (owner == place.end()) {
      const std::size_t slash = name.rfind('/');
      if (slash == name.npos) fail("model: no layer has the weight \"{}\"", weight.name);
      owner = place.find(name = name.substr(0, slash));
    }
    found.push_back(owner->second);
  }
  return found;
}

void Network::append(const Layer& layer) {
  if (places.size() != layers.size()) {
    places.clear();
    for (std::size_t i = 0; i < layers.size(); ++i) places.emplace(layers[i].layer.identity(), i);
  }
  const auto [known, is_new] = places.try_emplace(layer.identity(), layers.size());
  const std::size_t index = known->second;
  if (is_new) {
    if (!layer.name().empty() && !names.take(layer.name())) {
      fail<ArgumentError>("add: a layer named \"{}\" is there already", layer.name());
    }
    layers.push_back(
        {layer.name().empty() ? names.make(snake_case(layer.type())) : layer.name(), layer});
  }
  calls.push_back({index, outputs, true});
  outputs = {{inputs.size() + calls.size() - 1, 0}};
}

std::vector<std::string> Network::output_names() const {
  std::vector<std::string> result;
  UniqueNames unique;
  for (const Source& output : outputs) {
    result.push_back(unique.make(output.from < inputs.size()
                                     ? inputs[output.from].name
                                     : layers[calls[output.from - inputs.size()].layer].name));
  }
  return result;
}

void Network::set_trainable(bool trainable) const {
  for (const Member& member : layers) member.layer.set_trainable(trainable);
}

void Network::collect_trainable(std::map<const void*, bool>& trainable) const {
  for (const Member& member : layers) {
    trainable[member.layer.identity()] = member.layer.trainable();
    if (const auto* nested = member.layer.as<NestedModel>()) {
      nested->network.collect_trainable(trainable);
    }
  }
}

Network Network::clone(Clones& clones) const {
  Network copy = *this;
  copy.places.clear();
  for (Member& member : copy.layers) {
    const void* identity = member.layer.identity();
    if (const auto found = clones.find(identity); found != clones.end()) {
      member.layer = found->second;
      continue;
    }
    if (const auto* nested = member.layer.as<NestedModel>()) {
      // Not by set_trainable(), which would freeze or thaw all layers in it.
      NestedModel copied{nested->network.clone(clones), nested->type, nested->config};
      copied.config.trainable = member.layer.trainable();
      member.layer = Layer(std::move(copied), member.layer.name());
    } else {
      member.layer = member.layer.clone();
    }
    clones.emplace(identity, member.layer);
  }
  return copy;
}

}  // namespace weft::nn
