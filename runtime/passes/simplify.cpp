#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

Program simplify(Program program) {
  bool changed = true;
  while (changed) {
    changed = false;
    program = rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
      const auto simpler = r.node.op.simplify(r.inputs);
      if (!simpler) return std::nullopt;
      changed = true;
      return std::vector<Value>{*simpler};
    });
  }
  return program;
}

}  // namespace weft
