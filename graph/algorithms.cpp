#include "graph/algorithms.hpp"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dominator_tree.hpp>
#include <boost/graph/reverse_graph.hpp>
#include <boost/graph/topological_sort.hpp>
#include <iterator>
#include <limits>

#include "graph/bgl.hpp"

namespace weft {

// Inputs stand before their users, so one way back finds all.
std::vector<bool> reachable(const Graph& graph, const std::vector<Value>& outputs) {
  std::vector<bool> needed(graph.size());
  for (const Value& output : outputs) needed[output.node()] = true;
  for (NodeId id = static_cast<NodeId>(graph.size()); id-- > 0;) {
    if (!needed[id]) continue;
    for (const Value& input : graph[id].inputs) needed[input.node()] = true;
  }
  return needed;
}

OutputSet::OutputSet(const std::vector<Value>& outputs) {
  for (const Value& output : outputs) sorted_.emplace_back(output.node(), output.port());
  std::sort(sorted_.begin(), sorted_.end());
}

bool OutputSet::contains(Value value) const {
  return std::binary_search(sorted_.begin(), sorted_.end(), std::pair(value.node(), value.port()));
}

std::vector<std::size_t> topological_order(
    std::size_t count, const std::vector<std::pair<std::size_t, std::size_t>>& edges) {
  using List = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS>;
  List list(count);
  for (const auto& [from, to] : edges) {
    if (from >= count || to >= count) {
      fail("topological order: edge {} -> {} leaves the {} nodes", from, to, count);
    }
    boost::add_edge(from, to, list);
  }
  std::vector<std::size_t> order;
  order.reserve(count);
  try {
    boost::topological_sort(list, std::back_inserter(order));
  } catch (const boost::not_a_dag&) {
    fail("topological order: the edges have a cycle");
  }
  std::reverse(order.begin(), order.end());
  return order;
}

std::vector<std::optional<NodeId>> post_dominators(const Graph& graph, NodeId exit) {
  const auto upward = boost::make_reverse_graph(graph);
  const boost::typed_identity_property_map<NodeId> index;
  const auto table = [&](auto& values) {
    return boost::make_iterator_property_map(values.begin(), index);
  };
  // Nodes from which no path leads to the exit keep the largest number: Boost passes over them
  // then.
  const NodeId none = GraphTraits::null_vertex();
  std::vector<std::size_t> number(graph.size(), std::numeric_limits<std::size_t>::max());
  std::vector<NodeId> parent(graph.size(), none), by_number(graph.size(), none);
  std::vector<NodeId> tree(graph.size(), none);
  boost::lengauer_tarjan_dominator_tree(upward, exit, index, table(number), table(parent),
                                        by_number, table(tree));
  std::vector<std::optional<NodeId>> result(graph.size());
  for (std::size_t i = 0; i < tree.size(); ++i) {
    if (tree[i] != none) result[i] = tree[i];
  }
  return result;
}

}  // namespace weft
