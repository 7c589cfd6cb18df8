#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

Program simplify(Program program) {
  bool changed = true;
  while (changed) {
    changed = false;
    program = rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
      auto simpler = r.node.op.simplify(r.inputs);
      changed = changed || simpler;
      return simpler;
    });
  }
  return program;
}

}  // namespace weft
