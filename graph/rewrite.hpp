// The one helper that every graph pass is written with.
#pragma once

#include <functional>
#include <optional>

#include "graph/graph.hpp"

namespace weft {

/// What a rule makes of one node, given its inputs already rewritten; nothing: copy the node.
using Rule = std::function<std::optional<std::vector<Value>>(Graph& to, const Node& node,
                                                             const std::vector<Value>& inputs)>;

/// Copies what the program's outputs need into a new graph, in order, replacing nodes by the rule.
/// Names are kept.
Program rewrite(const Program& program, const Rule& rule);
Program rewrite(const std::vector<Value>& outputs, const Rule& rule);

}  // namespace weft
