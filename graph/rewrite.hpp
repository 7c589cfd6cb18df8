// The one helper that every graph pass is written with.
#pragma once

#include <functional>
#include <optional>

#include "graph/graph.hpp"

namespace weft {

/// One node on its way into the new graph.
struct Rewriting {
  const Node& node;                          ///< in the old graph
  NodeId id;                                 ///< there
  const std::vector<Value>& inputs;          ///< its inputs, in the new graph
  Graph& to;                                 ///< the new graph
  const std::function<Value(Value)>& moved;  ///< where an earlier value went; empty: nowhere yet
  const std::function<void(Value, Value)>& move;  ///< says so after the fact: (old, new)
};

/// What becomes of a node: values of the new graph, one per output; nothing: copy the node. A value
/// that nobody will need may be empty.
using Rule = std::function<std::optional<std::vector<Value>>(const Rewriting&)>;

/// Copies what the program's outputs need into a new graph, in order, replacing nodes by the rule.
/// Names are kept.
Program rewrite(const Program& program, const Rule& rule);
Program rewrite(const std::vector<Value>& outputs, const Rule& rule);

}  // namespace weft
