#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {
namespace {

bool expands(const Op& op) { return !op.has_lower() && op.has_decompose(); }

bool has_more(const Graph& graph) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (expands(graph[id].op)) return true;
  }
  return false;
}

}  // namespace

Program expand(Program program) {
  // A decomposition may again hold ops without `lower`; each round expands one level.
  while (has_more(program.graph)) {
    program = rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
      if (!expands(r.node.op)) return std::nullopt;
      return r.node.op.decompose(r.inputs);
    });
  }
  return program;
}

}  // namespace weft
