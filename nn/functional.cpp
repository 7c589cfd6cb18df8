// From symbols to the network between them: a walk from the outputs back to the inputs, and then
// Keras' order of layers, which is the order of weights in its files.
#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>
#include <utility>

#include "nn/network.hpp"
#include "nn/shapes.hpp"

namespace weft::nn {
namespace {

constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

/// An input or a call; inputs count first.
struct Vertex {
  const SymbolicCall* call = nullptr;     ///< nullptr: an input
  std::size_t node = 0;                   ///< the input or the layer
  std::vector<Network::Source> inputs{};  ///< from which vertices
  std::size_t depth = 0;                  ///< calls on the longest way to an output
};

/// An input or a layer; inputs count first.
struct Node {
  Layer layer;
  std::size_t met = never;  ///< how many were met before it on the walk
  std::size_t depth = 0;    ///< of its deepest call
  std::uint64_t created = 0;
  std::string name{};
};

std::string text_of(const SymbolicCall& input) {
  const InputConfig& config = input.layer.as<Input>()->config;
  const std::string shape = with_any_batch(with_batch(1, config.input_shape));
  return config.name.empty() ? shape : fmt::format("\"{}\" {}", config.name, shape);
}

class Walk {
 public:
  Walk(std::string_view model, const Symbols& inputs);
  /// Walks to all that an output needs; each vertex once, so that the time is linear.
  void to(const Symbol& output);
  Network network() &&;

 private:
  std::size_t enter(const Symbol& symbol);
  void meet(std::size_t node) {
    if (nodes_[node].met == never) nodes_[node].met = met_++;
  }
  void measure_depth();
  UniqueNames give_names();

  std::string_view model_;
  std::size_t input_count_, met_ = 0;
  std::vector<Vertex> vertices_;
  std::vector<Node> nodes_;
  std::vector<Network::Source> outputs_;
  std::vector<std::size_t> finished_;  // vertices, each behind those that it needs
  struct Visit {
    std::size_t vertex, next;
  };
  std::vector<Visit> open_;
  std::map<std::pair<const SymbolicCall*, std::uint32_t>, std::size_t> vertex_of_input_;
  std::unordered_map<const SymbolicCall*, std::size_t> vertex_of_;
  std::unordered_map<const void*, std::size_t> node_of_;
};

Walk::Walk(std::string_view model, const Symbols& inputs)
    : model_(model), input_count_(inputs.size()) {
  for (const Symbol& input : inputs) {
    if (!input) fail<ArgumentError>("model \"{}\": an input is an empty nn::Symbol", model);
    const std::size_t number = vertices_.size();
    if (!vertex_of_input_.emplace(std::pair{&input.call(), input.port()}, number).second) {
      fail<ArgumentError>("model \"{}\": input {} is there twice", model, number);
    }
    vertices_.push_back({.node = number});
    // What another layer made can be an input too; only an Input has a name to give.
    const bool is_input = input.call().layer.as<Input>() != nullptr;
    nodes_.push_back(
        {is_input ? input.call().layer : Layer(Input(input.shape(), {.dtype = input.dtype()}))});
  }
}

std::size_t Walk::enter(const Symbol& symbol) {
  const SymbolicCall& call = symbol.call();
  if (const auto input = vertex_of_input_.find({&call, symbol.port()});
      input != vertex_of_input_.end()) {
    const std::size_t vertex = input->second;
    if (nodes_[vertex].met == never) finished_.push_back(vertex);
    meet(vertex);
    return vertex;
  }
  const auto [known, is_new] = vertex_of_.emplace(&call, vertices_.size());
  if (!is_new) return known->second;
  if (call.inputs.empty()) {
    fail<ArgumentError>(
        "model \"{}\": output {} depends on the Input {}, which is not among the model's inputs",
        model_, outputs_.size(), text_of(call));
  }
  const auto [node, is_new_layer] = node_of_.emplace(call.layer.identity(), nodes_.size());
  if (is_new_layer) nodes_.push_back({.layer = call.layer, .created = call.order});
  Node& layer = nodes_[node->second];
  layer.created = std::min(layer.created, call.order);
  meet(node->second);
  vertices_.push_back({.call = &call, .node = node->second});
  open_.push_back({known->second, 0});
  return known->second;
}

void Walk::to(const Symbol& output) {
  if (!output) fail<ArgumentError>("model \"{}\": an output is an empty nn::Symbol", model_);
  const auto source = [&](const Symbol& symbol) {
    const std::size_t vertex = enter(symbol);
    return Network::Source{vertex, vertex < input_count_ ? 0 : symbol.port()};
  };
  const Network::Source last = source(output);
  while (!open_.empty()) {
    const auto [vertex, next] = open_.back();
    const std::vector<Symbol>& inputs = vertices_[vertex].call->inputs;
    if (next == inputs.size()) {
      finished_.push_back(vertex);
      open_.pop_back();
      continue;
    }
    ++open_.back().next;
    const Network::Source input = source(inputs[next]);
    vertices_[vertex].inputs.push_back(input);
  }
  outputs_.push_back(last);
}

/// As Keras measures it: a layer is as deep as its deepest call, and so are its earlier calls.
void Walk::measure_depth() {
  for (auto v = finished_.rbegin(); v != finished_.rend(); ++v) {
    Vertex& vertex = vertices_[*v];
    Node& node = nodes_[vertex.node];
    node.depth = vertex.depth = std::max(vertex.depth, node.depth);
    for (const Network::Source& input : vertex.inputs) {
      std::size_t& depth = vertices_[input.from].depth;
      depth = std::max(depth, vertex.depth + 1);
    }
  }
}

/// Given names first; the others are numbered in the order in which layers were first called.
UniqueNames Walk::give_names() {
  UniqueNames names;
  for (Node& node : nodes_) {
    node.name = node.layer.name();
    if (node.name.empty() || names.take(node.name)) continue;
    fail<ArgumentError>("model \"{}\": two layers are named \"{}\"", model_, node.name);
  }
  std::vector<Node*> nodes;
  for (Node& node : nodes_) nodes.push_back(&node);
  std::stable_sort(nodes.begin(), nodes.end(),
                   [](const Node* a, const Node* b) { return a->created < b->created; });
  for (Node* node : nodes) {
    if (node->name.empty()) node->name = names.make(snake_case(node->layer.type()));
  }
  return names;
}

Network Walk::network() && {
  measure_depth();
  Network network;
  network.names = give_names();

  std::vector<std::size_t> order(nodes_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  // In Keras, inputs that nothing needs count as met first.
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(nodes_[b].depth, nodes_[a].met + 1) <
           std::pair(nodes_[a].depth, nodes_[b].met + 1);
  });
  std::vector<std::size_t> place(nodes_.size());  // of a layer in the network
  network.inputs.resize(input_count_);
  for (const std::size_t i : order) {
    const Node& node = nodes_[i];
    if (i < input_count_) {
      const InputConfig& config = node.layer.as<Input>()->config;
      network.inputs[i] = {node.name, config.input_shape, config.dtype, network.layers.size()};
    } else {
      place[i] = network.layers.size();
      network.layers.push_back({node.name, node.layer});
    }
  }

  std::vector<std::size_t> calls;
  for (std::size_t v = input_count_; v < vertices_.size(); ++v) calls.push_back(v);
  std::sort(calls.begin(), calls.end(), [&](std::size_t a, std::size_t b) {
    const auto key = [&](const Vertex& v) { return std::pair(place[v.node], v.call->order); };
    if (vertices_[a].depth != vertices_[b].depth) return vertices_[a].depth > vertices_[b].depth;
    return key(vertices_[a]) < key(vertices_[b]);
  });
  std::vector<std::size_t> moved(vertices_.size());
  for (std::size_t i = 0; i < input_count_; ++i) moved[i] = i;
  for (std::size_t i = 0; i < calls.size(); ++i) moved[calls[i]] = input_count_ + i;
  const auto to_moved = [&](std::vector<Network::Source> sources) {
    for (Network::Source& source : sources) source.from = moved[source.from];
    return sources;
  };
  for (const std::size_t v : calls) {
    network.calls.push_back({place[vertices_[v].node], to_moved(vertices_[v].inputs)});
  }
  network.outputs = to_moved(outputs_);
  return network;
}

}  // namespace

Network network_of(std::string_view model, const Symbols& inputs, const Symbols& outputs) {
  if (inputs.size() == 0 || outputs.size() == 0) {
    fail<ArgumentError>("model \"{}\": it needs inputs and outputs, but {} and {} were given",
                        model, inputs.size(), outputs.size());
  }
  Walk walk(model, inputs);
  for (const Symbol& output : outputs) walk.to(output);
  return std::move(walk).network();
}

}  // namespace weft::nn
