#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

Program expand(Program program) {
  // A decomposition may again hold ops without `lower`; each round expands one level.
  bool changed = true;
  while (changed) {
    changed = false;
    program = rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
      if (r.node.op.has_lower() || !r.node.op.has_decompose()) return std::nullopt;
      changed = true;
      return r.node.op.decompose(r.inputs);
    });
  }
  return program;
}

}  // namespace weft
