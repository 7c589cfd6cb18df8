#include "io/keras/owned.hpp"

#include <algorithm>
#include <utility>

#include "graph/print.hpp"
#include "nn/shapes.hpp"

namespace weft::keras {

Owned::Owned(nn::Model& model) {
  const nn::Network& network = model.network();
  for (const auto& input : network.inputs) {
    if (input.shape.rank() == 0) model.declared_weights();  // throws
  }
  Graph graph;
  nn::Trace trace{graph, model.variables(), 0, false};
  trace.types_only = true;
  nn::Scope scope(trace, model.trainable());
  std::vector<Value> x;
  for (const auto& input : network.inputs) {
    x.push_back(graph.input({input.dtype, nn::with_batch(1, input.shape)}, input.name));
  }
  network.trace(scope, x);
  for (const nn::Trace::Weight& weight : trace.weights) {
    all_.push_back({weight.name, "", weight.value.shape(), weight.trainable, nullptr});
  }
  for (const auto& [key, place] : trace.index) {
    const auto& [home, own] = key;
    if (home == nullptr) continue;  // its name in the model
    all_[place].home = home;
    all_[place].own = own;
  }
  for (std::size_t i = 0; i < all_.size(); ++i) places_[all_[i].home].push_back(i);
  enter(network);
}

const nn::Layer* Owned::layer_of(const OwnedWeight& weight) const {
  const auto found = layers_.find(weight.home);
  return found == layers_.end() ? nullptr : &found->second;
}

Weights Owned::of(const nn::Layer& layer) const {
  Weights result;
  add(layer, result);
  return result;
}

Weights Owned::below(const nn::Layer& layer) const {
  Weights result;
  std::set<const void*> known;
  add_below(layer, result, known);
  // Not ranges': Clang 14 does not know libstdc++'s.
  std::stable_partition(result.begin(), result.end(),
                        [](const auto& weight) { return weight.trainable; });
  return result;
}

void Owned::add(const nn::Layer& layer, Weights& to) const {
  const auto found = places_.find(&layer.weights().store());
  if (found == places_.end()) return;
  for (const std::size_t place : found->second) to.push_back(all_[place]);
}

void Owned::add_below(const nn::Layer& layer, Weights& to, std::set<const void*>& known) const {
  if (!known.insert(layer.identity()).second) return;
  const auto* nested = layer.as<nn::NestedModel>();
  if (nested == nullptr) return add(layer, to);
  for (const auto& member : nested->network.layers) add_below(member.layer, to, known);
}

void Owned::enter(const nn::Network& network) {
  for (const auto& [name, layer] : network.layers) {
    layers_.emplace(&layer.weights().store(), layer);
    if (const auto* nested = layer.as<nn::NestedModel>()) enter(nested->network);
  }
}

void Incoming::read(const OwnedWeight& weight, const Hdf5Group& group, const std::string& place,
                    const std::function<Tensor(Tensor)>& brought) {
  const Shape shape = group.shape(place);
  const auto refuse = [&] {
    fail<ShapeError>("\"{}\" is f32{} in the model, but f32{} in the file, at \"{}/{}\"",
                     weight.name, weight.shape, shape, group.path(), place);
  };
  if (shape.elements() != weight.shape.elements()) refuse();
  Tensor value = brought(group.array(place));
  if (value.shape() != weight.shape) refuse();
  values_.insert_or_assign(weight.name, std::move(value));
}

void Incoming::apply(nn::Model& model) && {
  while (!values_.empty()) {
    auto first = values_.extract(values_.begin());
    model.variables().adopt(first.key(), std::move(first.mapped()));
  }
  model.weights();  // makes those that the file did not have
}

}  // namespace weft::keras
