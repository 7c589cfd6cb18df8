#include "graph/rewrite.hpp"

#include "graph/algorithms.hpp"

namespace weft {

Program rewrite(const Program& program, const Rule& rule) { return rewrite(program.outputs, rule); }

Program rewrite(const std::vector<Value>& outputs, const Rule& rule) {
  Program result;
  if (outputs.empty()) return result;
  const Graph& from = Graph::of(outputs[0]);
  const std::vector<bool> needed = reachable(from, outputs);
  std::vector<std::vector<Value>> moved(from.size());
  const std::function<Value(Value)> lookup = [&moved](Value old) {
    const auto& values = moved[old.node()];
    return values.empty() ? Value{} : values[old.port()];
  };
  const std::function<void(Value, Value)> move = [&moved](Value old, Value now) {
    moved[old.node()][old.port()] = now;
  };
  for (NodeId id = 0; id < from.size(); ++id) {
    if (!needed[id]) continue;
    const Node& node = from[id];
    std::vector<Value> inputs;
    inputs.reserve(node.inputs.size());
    for (const Value& input : node.inputs) inputs.push_back(lookup(input));
    if (auto replaced = rule({node, id, inputs, result.graph, lookup, move})) {
      moved[id] = std::move(*replaced);
    } else {
      moved[id] = result.graph.copy(node, std::move(inputs));
    }
    if (!node.name.empty() && moved[id][0] && moved[id][0].name().empty()) {
      moved[id][0].named(node.name);
    }
  }
  for (const Value& output : outputs) result.outputs.push_back(lookup(output));
  return result;
}

}  // namespace weft
