#include "graph/verify.hpp"

#include <algorithm>

#include "graph/print.hpp"

namespace weft {

void verify(const Program& program, std::string_view after) {
  for (NodeId id = 0; id < program.graph.size(); ++id) {
    const Node& node = program.graph[id];
    std::vector<Type> types;
    for (std::uint32_t i = 0; i < node.inputs.size(); ++i) {
      const Value& input = node.inputs[i];
      if (!program.graph.owns(input) || input.node() >= id) {
        fail<CompileError>("verify after {}: input {} of %{} ({}) does not precede it", after, i,
                           id, node.op.name());
      }
      const auto uses = program.graph.uses(input);
      if (std::ranges::none_of(uses, [&](const Use& u) { return u.user == id && u.input == i; })) {
        fail<CompileError>("verify after {}: %{} does not know its user %{}", after, input.node(),
                           id);
      }
      types.push_back(input.type());
    }
    if (const auto inferred = node.op.infer(types); inferred != node.outputs) {
      fail<CompileError>("verify after {}: %{} ({}) is {}, but its inputs give {}", after, id,
                         node.op.name(), fmt::join(node.outputs, ", "), fmt::join(inferred, ", "));
    }
  }
  for (const Value& output : program.outputs) {
    if (!program.graph.owns(output)) {
      fail<CompileError>("verify after {}: an output belongs to another graph", after);
    }
  }
}

}  // namespace weft
