#include "graph/evaluate.hpp"

#include "graph/algorithms.hpp"
#include "graph/print.hpp"

namespace weft {
namespace {

const Array* find_feed(const Node& node, const std::unordered_map<std::string, Array>& feeds) {
  std::string_view label;
  if (const auto* input = node.op.as<Input>()) label = input->label;
  if (const auto* variable = node.op.as<Variable>()) label = variable->label;
  if (label.empty()) return nullptr;
  const auto found = feeds.find(std::string(label));
  if (found == feeds.end()) return nullptr;
  if (found->second.shape != node.outputs[0].shape) {
    fail<ShapeError>("evaluate: \"{}\" is {}, but the numbers given have shape {}", label,
                     node.outputs[0], found->second.shape);
  }
  return &found->second;
}

}  // namespace

std::vector<Array> evaluate(const Op& op, std::span<const Type> types,
                            std::span<const Array> inputs) {
  if (op.has_evaluate()) return op.evaluate(inputs);
  Graph graph;
  std::vector<Value> values;
  std::unordered_map<std::string, Array> feeds;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::string name = fmt::to_string(i);
    values.push_back(graph.input(types[i], name));
    feeds.emplace(name, inputs[i]);
  }
  return evaluate(op.decompose(values), feeds);
}

std::vector<Array> evaluate(const std::vector<Value>& outputs,
                            const std::unordered_map<std::string, Array>& feeds) {
  if (outputs.empty()) return {};
  const Graph& graph = Graph::of(outputs[0]);
  const std::vector<bool> needed = reachable(graph, outputs);
  std::vector<std::vector<Array>> arrays(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (!needed[id]) continue;
    const Node& node = graph[id];
    if (const Array* feed = find_feed(node, feeds)) {
      arrays[id] = {*feed};
      continue;
    }
    std::vector<Array> inputs;
    std::vector<Type> types;
    for (const Value& input : node.inputs) {
      inputs.push_back(arrays[input.node()][input.port()]);
      types.push_back(input.type());
    }
    arrays[id] = evaluate(node.op, types, inputs);
  }
  std::vector<Array> results;
  for (const Value& output : outputs) results.push_back(arrays[output.node()][output.port()]);
  return results;
}

}  // namespace weft
