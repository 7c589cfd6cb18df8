// Reverse mode. The loop below is the whole of it: what a derivative is, each op says of itself.
#include "autodiff/gradients.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "graph/algorithms.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/reduce.hpp"

namespace weft {
namespace {

struct HashOf {
  std::size_t operator()(Value v) const { return (std::size_t{v.node()} << 16) ^ v.port(); }
};

std::string described(Value value) {
  return value.name().empty() ? to_string(value) : fmt::format("\"{}\"", value.name());
}

/// Throws: the path from one of ys to one of wrt goes through this node, which has no derivative.
[[noreturn]] void fail_at(NodeId id, const std::vector<Value>& ys, const std::vector<Value>& wrt) {
  const Graph& graph = Graph::of(ys[0]);
  const std::vector<bool> above = reachable(graph, graph[id].inputs);
  const auto reaches = [&](Value v) -> bool { return reachable(graph, {v})[id]; };
  const auto y = std::ranges::find_if(ys, reaches);
  const auto x = std::ranges::find_if(wrt, [&](Value v) -> bool { return above[v.node()]; });
  fail<GradientError>(
      "gradients: no gradient flows from {} to {}: the path goes through {} (node {}), which has "
      "no "
      "derivative; see stop_gradient",
      described(y == ys.end() ? ys[0] : *y), described(x == wrt.end() ? wrt[0] : *x),
      graph[id].op.name(), id);
}

/// What the rule gave for one input, checked, and with the broadcasting of that input undone.
Value reduced(Value cotangent, Value input, const Op& op, std::size_t index) {
  const bool fits = Graph::of(input).owns(cotangent) && cotangent.dtype() == input.dtype() &&
                    cotangent.shape().rank() >= input.shape().rank();
  if (!fits || broadcast(input.shape(), cotangent.shape(), op.name()) != cotangent.shape()) {
    fail<GradientError>("gradients: the vjp of {} gives {} for input {}, which is {}", op.name(),
                        cotangent.type(), index, input.type());
  }
  return cotangent.shape() == input.shape() ? cotangent : sum_to(cotangent, input.shape());
}

/// The textbook's backward pass over nodes `first` and later; wrt may lie before them.
std::vector<Value> backward(const std::vector<Value>& ys, const std::vector<Value>& wrt,
                            const std::vector<Value>& seeds, NodeId first);

/// The cotangents of a node's inputs: by its rule, or by differentiating what it decomposes into.
std::vector<Value> pull_back(const Node& node, const VjpArgs& args) {
  if (node.op.has_vjp()) {
    std::vector<Value> results = node.op.vjp(args);
    if (results.size() != node.inputs.size()) {
      fail<GradientError>("gradients: the vjp of {} gives {} cotangents for {} inputs",
                          node.op.name(), results.size(), node.inputs.size());
    }
    return results;
  }
  // An input given twice is one variable of the decomposition: its first place gets all of it.
  std::vector<Value> results(node.inputs.size()), wanted;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (!args.wants(i) || std::ranges::count(wanted, node.inputs[i]) > 0) continue;
    wanted.push_back(node.inputs[i]);
    places.push_back(i);
  }
  const auto first = static_cast<NodeId>(Graph::of(wanted[0]).size());
  const std::vector<Value> outputs = node.op.decompose(node.inputs);
  const std::vector<Value> seeds(args.cotangents.begin(), args.cotangents.end());
  const std::vector<Value> found = backward(outputs, wanted, seeds, first);
  for (std::size_t i = 0; i < places.size(); ++i) results[places[i]] = found[i];
  return results;
}

/// Which values vary with wrt. An op that has a rule although it calls itself not differentiable
/// makes constants (stop_gradient).
std::unordered_set<Value, HashOf> varying_with(const std::vector<Value>& wrt, NodeId first) {
  const Graph& graph = Graph::of(wrt[0]);
  std::unordered_set<Value, HashOf> varying(wrt.begin(), wrt.end());
  for (NodeId id = first; id < graph.size(); ++id) {
    const Node& node = graph[id];
    if (!node.op.traits().differentiable && node.op.has_vjp()) continue;
    if (std::ranges::none_of(node.inputs, [&](Value v) { return varying.contains(v); })) continue;
    for (std::uint32_t port = 0; port < node.outputs.size(); ++port) {
      varying.insert(graph.value(id, port));
    }
  }
  return varying;
}

std::vector<Value> backward(const std::vector<Value>& ys, const std::vector<Value>& wrt,
                            const std::vector<Value>& seeds, NodeId first) {
  const Graph& graph = Graph::of(ys[0]);
  const auto end = static_cast<NodeId>(graph.size());  // rules append nodes behind it

  const auto varying = varying_with(wrt, first);
  const auto varies = [&](Value value) { return varying.contains(value); };

  // An integer has no cotangent but an empty one, zero: it is in the table if ys vary with it.
  std::unordered_map<Value, Value, HashOf> cotangents;
  const auto add_to = [&](Value value, Value cotangent) {
    Value& sum = cotangents[value];
    if (cotangent) sum = sum ? sum + cotangent : cotangent;
  };
  for (std::size_t i = 0; i < ys.size(); ++i) {
    if (seeds[i] && varies(ys[i])) add_to(ys[i], seeds[i]);
  }

  for (NodeId id = end; id-- > first;) {
    const Node& node = graph[id];
    std::vector<std::uint8_t> wanted;
    for (const Value& input : node.inputs) wanted.push_back(varies(input));
    if (std::ranges::count(wanted, 1) == 0) continue;

    std::vector<Value> outputs, arriving;
    bool reached = false;
    for (std::uint32_t port = 0; port < node.outputs.size(); ++port) {
      outputs.push_back(graph.value(id, port));
      const auto found = cotangents.find(outputs.back());
      reached |= found != cotangents.end();
      arriving.push_back(found != cotangents.end() ? found->second : Value());
    }
    if (!reached) continue;
    if (!node.op.traits().differentiable) fail_at(id, ys, wrt);

    std::vector<Value> leaving(node.inputs.size());
    if (std::ranges::any_of(arriving, [](Value c) { return static_cast<bool>(c); })) {
      leaving = pull_back(node, {node.inputs, outputs, arriving, wanted});
    }
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Value input = node.inputs[i];
      if (!wanted[i]) continue;
      if (leaving[i]) {
        add_to(input, reduced(leaving[i], input, node.op, i));
      } else if (!is_floating(input.dtype())) {
        add_to(input, Value());
      }
    }
  }

  std::vector<Value> results;
  for (const Value& value : wrt) {
    const auto found = cotangents.find(value);
    results.push_back(found != cotangents.end() ? found->second : Value());
  }
  return results;
}

}  // namespace

std::vector<Value> gradients(const std::vector<Value>& ys, const std::vector<Value>& wrt,
                             const std::vector<Value>& seeds) {
  if (ys.size() != seeds.size()) {
    fail("gradients: {} ys need as many seeds, {} were given", ys.size(), seeds.size());
  }
  if (wrt.empty()) return {};
  if (ys.empty()) fail("gradients: there is no y to differentiate");
  const Graph& graph = Graph::of(ys[0]);
  NodeId first = static_cast<NodeId>(graph.size());
  for (const Value& value : wrt) {
    if (!graph.owns(value)) fail("gradients: y and wrt must be values of one graph");
    if (!is_floating(value.dtype())) {
      fail<TypeError>("gradients: wrt must be floating, {} is {}", described(value), value.type());
    }
    first = std::min(first, value.node());
  }
  for (std::size_t i = 0; i < ys.size(); ++i) {
    if (!graph.owns(ys[i])) fail("gradients: y and wrt must be values of one graph");
    if (!seeds[i]) continue;
    if (!graph.owns(seeds[i])) fail("gradients: seed {} must be a value of y's graph", i);
    if (!is_floating(ys[i].dtype())) {
      fail<TypeError>("gradients: y must be floating, {} is {}", described(ys[i]), ys[i].type());
    }
    if (seeds[i].dtype() != ys[i].dtype()) {
      fail<TypeError>("gradients: seed {} is {}, its y is {}", i, seeds[i].type(), ys[i].type());
    }
    if (seeds[i].shape() != ys[i].shape()) {
      fail<ShapeError>("gradients: seed {} is {}, its y is {}", i, seeds[i].type(), ys[i].type());
    }
  }
  std::vector<Value> results = backward(ys, wrt, seeds, first);
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    if (!results[i]) results[i] = zeros_like(wrt[i]);
  }
  return results;
}

std::vector<Value> gradients(Value y, const std::vector<Value>& wrt) {
  if (!y) fail("gradients: y is an empty Value");
  if (y.shape().elements() != 1) {
    fail<ShapeError>(
        "gradients: y must have one element, {} is {}; reduce it with sum or mean, or give seeds",
        described(y), y.type());
  }
  if (!is_floating(y.dtype())) {
    fail<TypeError>("gradients: y must be floating, {} is {}", described(y), y.type());
  }
  const Value one = scalar_like(y, 1.0f);
  return gradients(std::vector<Value>{y}, wrt, {broadcast_to(one, y.shape())});
}

}  // namespace weft
