// Makes Graph a Boost.Graph graph: VertexListGraph, BidirectionalGraph and EdgeListGraph, without a
// copy. Vertices are NodeIds; an edge is one use of one value. For .cpp files only.
#pragma once

#include <boost/graph/graph_traits.hpp>
#include <boost/graph/properties.hpp>
#include <boost/iterator/counting_iterator.hpp>
#include <boost/iterator/iterator_facade.hpp>
#include <boost/property_map/property_map.hpp>
#include <iterator>
#include <utility>

#include "graph/graph.hpp"

namespace weft {

/// Input number `input` of node `target` is an output of node `source`.
struct Edge {
  NodeId source = 0, target = 0;
  std::uint32_t input = 0;
  friend auto operator<=>(const Edge&, const Edge&) = default;
};

/// Walks the inputs of nodes first .. last-1, in order: the edges into one node, or all edges.
class InEdgeIterator
    : public boost::iterator_facade<InEdgeIterator, Edge, std::forward_iterator_tag, Edge> {
 public:
  InEdgeIterator() = default;
  InEdgeIterator(const Graph& graph, NodeId first, NodeId last)
      : graph_(&graph), node_(first), last_(last) {
    skip();
  }

 private:
  friend class boost::iterator_core_access;
  Edge dereference() const { return {(*graph_)[node_].inputs[input_].node(), node_, input_}; }
  bool equal(const InEdgeIterator& other) const {
    return node_ == other.node_ && input_ == other.input_;
  }
  void increment() {
    ++input_;
    skip();
  }
  void skip() {
    while (node_ < last_ && input_ >= (*graph_)[node_].inputs.size()) {
      ++node_;
      input_ = 0;
    }
  }

  const Graph* graph_ = nullptr;
  NodeId node_ = 0, last_ = 0;
  std::uint32_t input_ = 0;
};

/// Walks the uses of every output of one node.
class OutEdgeIterator
    : public boost::iterator_facade<OutEdgeIterator, Edge, std::forward_iterator_tag, Edge> {
 public:
  OutEdgeIterator() = default;
  OutEdgeIterator(const Graph& graph, NodeId node, std::size_t port)
      : uses_(&graph[node].uses), node_(node), port_(port) {
    skip();
  }

 private:
  friend class boost::iterator_core_access;
  Edge dereference() const {
    const Use& use = (*uses_)[port_][index_];
    return {node_, use.user, use.input};
  }
  bool equal(const OutEdgeIterator& other) const {
    return port_ == other.port_ && index_ == other.index_;
  }
  void increment() {
    ++index_;
    skip();
  }
  void skip() {
    while (port_ < uses_->size() && index_ >= (*uses_)[port_].size()) {
      ++port_;
      index_ = 0;
    }
  }

  const std::vector<std::vector<Use>>* uses_ = nullptr;
  NodeId node_ = 0;
  std::size_t port_ = 0, index_ = 0;
};

}  // namespace weft

namespace boost {

template <>
struct graph_traits<weft::Graph> {
  struct traversal_category : virtual vertex_list_graph_tag,
                              virtual bidirectional_graph_tag,
                              virtual edge_list_graph_tag {};
  using vertex_descriptor = weft::NodeId;
  using edge_descriptor = weft::Edge;
  using directed_category = bidirectional_tag;
  using edge_parallel_category = allow_parallel_edge_tag;
  using vertex_iterator = counting_iterator<weft::NodeId>;
  using edge_iterator = weft::InEdgeIterator;
  using in_edge_iterator = weft::InEdgeIterator;
  using out_edge_iterator = weft::OutEdgeIterator;
  using vertices_size_type = std::size_t;
  using edges_size_type = std::size_t;
  using degree_size_type = std::size_t;
  static vertex_descriptor null_vertex() { return ~weft::NodeId{0}; }
};

template <>
struct property_map<weft::Graph, vertex_index_t> {
  using type = typed_identity_property_map<weft::NodeId>;
  using const_type = type;
};

}  // namespace boost

namespace weft {

using GraphTraits = boost::graph_traits<Graph>;

inline NodeId source(const Edge& edge, const Graph&) { return edge.source; }
inline NodeId target(const Edge& edge, const Graph&) { return edge.target; }
inline std::size_t num_vertices(const Graph& graph) { return graph.size(); }
inline std::pair<GraphTraits::vertex_iterator, GraphTraits::vertex_iterator> vertices(
    const Graph& graph) {
  return {GraphTraits::vertex_iterator(0),
          GraphTraits::vertex_iterator(static_cast<NodeId>(graph.size()))};
}
inline std::pair<InEdgeIterator, InEdgeIterator> edges(const Graph& graph) {
  const auto end = static_cast<NodeId>(graph.size());
  return {InEdgeIterator(graph, 0, end), InEdgeIterator(graph, end, end)};
}
inline std::size_t num_edges(const Graph& graph) {
  std::size_t count = 0;
  for (NodeId id = 0; id < graph.size(); ++id) count += graph[id].inputs.size();
  return count;
}
inline std::pair<InEdgeIterator, InEdgeIterator> in_edges(NodeId node, const Graph& graph) {
  return {InEdgeIterator(graph, node, node + 1), InEdgeIterator(graph, node + 1, node + 1)};
}
inline std::size_t in_degree(NodeId node, const Graph& graph) { return graph[node].inputs.size(); }
inline std::pair<OutEdgeIterator, OutEdgeIterator> out_edges(NodeId node, const Graph& graph) {
  return {OutEdgeIterator(graph, node, 0), OutEdgeIterator(graph, node, graph[node].uses.size())};
}
inline std::size_t out_degree(NodeId node, const Graph& graph) {
  std::size_t count = 0;
  for (const auto& uses : graph[node].uses) count += uses.size();
  return count;
}
inline std::size_t degree(NodeId node, const Graph& graph) {
  return in_degree(node, graph) + out_degree(node, graph);
}
inline boost::typed_identity_property_map<NodeId> get(boost::vertex_index_t, const Graph&) {
  return {};
}
inline NodeId get(boost::vertex_index_t, const Graph&, NodeId node) { return node; }

}  // namespace weft
