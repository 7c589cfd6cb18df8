#include <algorithm>

#include "graph/algorithms.hpp"
#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

Program prune(Program program) {
  if (!std::ranges::count(reachable(program.graph, program.outputs), false)) return program;
  return rewrite(program, [](const Rewriting&) { return std::nullopt; });
}

}  // namespace weft
