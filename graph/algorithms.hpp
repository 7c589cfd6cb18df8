// What Boost.Graph finds out about a graph. Every result is a table indexed by node.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "graph/graph.hpp"

namespace weft {

/// Which nodes the outputs need, themselves included.
std::vector<bool> reachable(const Graph& graph, const std::vector<Value>& outputs);

/// Which values are outputs, for passes that ask this of every node.
class OutputSet {
 public:
  explicit OutputSet(const std::vector<Value>& outputs);
  bool contains(Value value) const;

 private:
  std::vector<std::pair<NodeId, std::uint32_t>> sorted_;  // node and port
};

/// An order in which every node comes after its inputs. A Graph is always in such an order; an
/// imported list of edges is not.
///   edges    pairs (from, to) over nodes 0 .. count-1
///   throws   Error if the edges have a cycle
std::vector<std::size_t> topological_order(
    std::size_t count, const std::vector<std::pair<std::size_t, std::size_t>>& edges);

/// For each node, the nearest other node that lies on every path from it to `exit`; nothing for the
/// exit itself and for nodes from which no path leads there.
std::vector<std::optional<NodeId>> post_dominators(const Graph& graph, NodeId exit);

}  // namespace weft
