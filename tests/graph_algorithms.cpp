// graph/bgl.hpp and graph/algorithms.hpp.
#include "graph/algorithms.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/graph/graph_concepts.hpp>

#include "graph/bgl.hpp"
#include "toy_ops.hpp"

namespace weft {
namespace {

const Type scalar{DType::f32, {}};

Value twice(Value x) { return apply(toy::Scale{}, {x}); }
Value plus(Value a, Value b) { return apply(toy::Plus{}, {a, b}); }

}  // namespace

TEST_CASE("bgl: a Graph is a Boost graph") {
  BOOST_CONCEPT_ASSERT((boost::VertexListGraphConcept<Graph>));
  BOOST_CONCEPT_ASSERT((boost::BidirectionalGraphConcept<Graph>));
  BOOST_CONCEPT_ASSERT((boost::EdgeListGraphConcept<Graph>));

  Graph graph;
  const Value x = graph.input(scalar, "x");
  const std::vector<Value> fork = apply_all(toy::Fork{}, {x});
  plus(fork[0], fork[1]);
  plus(fork[1], fork[1]);
  CHECK(num_vertices(graph) == 4);
  CHECK(num_edges(graph) == 5);
  CHECK(out_degree(1, graph) == 4);
  CHECK(in_degree(3, graph) == 2);
  CHECK(degree(1, graph) == 5);

  std::vector<Edge> all, in, out;
  for (auto [i, end] = edges(graph); i != end; ++i) all.push_back(*i);
  for (NodeId id = 0; id < 4; ++id) {
    for (auto [i, end] = in_edges(id, graph); i != end; ++i) in.push_back(*i);
    for (auto [i, end] = out_edges(id, graph); i != end; ++i) out.push_back(*i);
  }
  CHECK(all.size() == 5);
  CHECK(all == in);
  std::ranges::sort(all);
  std::ranges::sort(out);
  CHECK(all == out);
  CHECK(
      std::ranges::all_of(all, [&](const Edge& e) { return source(e, graph) < target(e, graph); }));
}

TEST_CASE("reachable: what outputs need") {
  Graph graph;
  const Value x = graph.input(scalar, "x"), y = graph.input(scalar, "y");
  const Value used = twice(x), unused = twice(x), last = plus(used, used);
  CHECK(reachable(graph, {last}) == std::vector<bool>{true, false, true, false, true});
  CHECK(reachable(graph, {unused, y}) == std::vector<bool>{true, true, false, true, false});
  CHECK(reachable(graph, {}) == std::vector<bool>(5));
}

TEST_CASE("topological order: inputs first, a cycle is an error") {
  const std::vector<std::pair<std::size_t, std::size_t>> edges{{3, 1}, {1, 0}, {3, 2}, {2, 0}};
  const std::vector<std::size_t> order = topological_order(5, edges);
  REQUIRE(order.size() == 5);
  const auto place = [&](std::size_t node) {
    return std::find(order.begin(), order.end(), node) - order.begin();
  };
  for (const auto& [from, to] : edges) CHECK(place(from) < place(to));
  CHECK(topological_order(0, {}).empty());
  CHECK_THROWS_WITH_AS(topological_order(3, {{0, 1}, {1, 2}, {2, 0}}),
                       "topological order: the edges have a cycle", Error);
  CHECK_THROWS_WITH_AS(topological_order(1, {{0, 0}}), "topological order: the edges have a cycle",
                       Error);
  CHECK_THROWS_WITH_AS(topological_order(2, {{0, 2}}),
                       "topological order: edge 0 -> 2 leaves the 2 nodes", Error);
}

TEST_CASE("post-dominators: where the arms of a diamond meet") {
  Graph graph;
  const Value x = graph.input(scalar, "x");                      // 0
  const Value split = twice(x);                                  // 1
  const Value left = twice(split), right = twice(twice(split));  // 2; 3, 4
  const Value meet = plus(left, right);                          // 5
  const Value exit = twice(meet);                                // 6
  twice(split);                                                  // 7: leads nowhere
  const auto result = post_dominators(graph, exit.node());
  REQUIRE(result.size() == 8);
  CHECK(result[0] == NodeId{1});
  CHECK(result[1] == NodeId{5});
  CHECK(result[2] == NodeId{5});
  CHECK(result[3] == NodeId{4});
  CHECK(result[4] == NodeId{5});
  CHECK(result[5] == NodeId{6});
  CHECK_FALSE(result[6]);
  CHECK_FALSE(result[7]);
}

TEST_CASE("algorithms: a chain of 100000 nodes is a loop, not a recursion") {
  Graph graph;
  Value y = graph.input(scalar, "x");
  for (int i = 0; i < 100000; ++i) y = twice(y);
  const std::vector<bool> needed = reachable(graph, {y});
  CHECK(std::ranges::count(needed, true) == 100001);
  CHECK(post_dominators(graph, y.node())[0] == NodeId{1});
}

}  // namespace weft
