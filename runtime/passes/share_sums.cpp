#include <algorithm>

#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

// The gradient of a bias is the cotangent summed over all axes but the last, and the gradient of
// the kernel beside it, which reads the same cotangent, can give that sum along the way. The sum
// usually stands first, so the other op is built early here; cse merges it with its later self.
Program share_sums(Program program) {
  const Graph& graph = program.graph;
  return rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
    if (r.node.inputs.size() != 1) return std::nullopt;
    const Type& type = r.node.inputs[0].type();
    if (r.node.op.channel_sum(0, type) != 0) return std::nullopt;
    for (const Use& use : graph.uses(r.node.inputs[0])) {
      const Node& other = graph[use.user];
      const auto port = other.op.channel_sum(use.input, type);
      if (use.user == r.id || !port || *port == 0) continue;
      std::vector<Value> inputs;
      for (const Value& input : other.inputs) inputs.push_back(r.moved(input));
      if (!std::ranges::all_of(inputs, [](Value v) { return static_cast<bool>(v); })) continue;
      return std::vector<Value>{r.to.apply(other.op, inputs)[*port]};
    }
    return std::nullopt;
  });
}

}  // namespace weft
