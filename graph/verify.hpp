// Checks a program's invariants. Runs between passes when WEFT_DEBUG is set, and in tests.
#pragma once

#include "graph/graph.hpp"

namespace weft {

/// Infers every type again, and checks that inputs precede users and that uses mirror inputs.
///   after    what ran before, for the message
///   throws   CompileError naming the node
void verify(const Program& program, std::string_view after);

}  // namespace weft
