#include "graph/algorithms.hpp"
#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

// The nodes that a joined op replaces are copied before it is met, and are left to `prune`.
Program join(Program program) {
  const Graph& graph = program.graph;
  const OutputSet outputs(program.outputs);
  const OnlyHere only_here = [&](Value value) {
    return graph.uses(value).size() == 1 && !outputs.contains(value);
  };
  return rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
    const auto joined = r.node.op.join(r.node.inputs, only_here);
    if (!joined) return std::nullopt;
    std::vector<Value> inputs;
    for (const Value& input : joined->inputs) inputs.push_back(r.moved(input));
    return r.to.apply(joined->op, inputs);
  });
}

}  // namespace weft
