#include "graph/print.hpp"

#include "graph/graph.hpp"

namespace weft {

std::string to_string(const Value& value) {
  if (!value) return "nothing";
  return value.port() == 0 ? fmt::format("%{}", value.node())
                           : fmt::format("%{}.{}", value.node(), value.port());
}

std::string to_string(const Program& program) {
  std::string out;
  for (NodeId id = 0; id < program.graph.size(); ++id) {
    const Node& node = program.graph[id];
    out += fmt::format("%{} = {}", id, node.op.name());
    for (const Value& input : node.inputs) out += " " + to_string(input);
    if (const std::string attributes = node.op.attributes(); !attributes.empty()) {
      out += " " + attributes;
    }
    if (!node.name.empty() && !node.inputs.empty()) out += fmt::format(" \"{}\"", node.name);
    out += fmt::format(" : {}\n", fmt::join(node.outputs, ", "));
  }
  out += "return";
  for (const Value& output : program.outputs) out += " " + to_string(output);
  return out + "\n";
}

}  // namespace weft
