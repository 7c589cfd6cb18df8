// A bias, then a normalisation by given moments: what stands behind a convolution is a chain of
// factors and summands per channel. It becomes x * factor + summand, which the convolution can take
// as its kernel's factor and its bias.
#include <algorithm>

#include "graph/algorithms.hpp"
#include "graph/rewrite.hpp"
#include "runtime/lowering.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {
namespace {

struct Chain {
  Value start;                  // what is multiplied and added to
  std::vector<NodeId> links;    // products and sums
  std::vector<Value> operands;  // by link: its numbers per channel
};

Chain chain_behind(const Graph& graph, const OutputSet& outputs, NodeId first) {
  Chain chain{.start = graph.value(first)};
  for (Value value = chain.start;;) {
    if (graph.uses(value).size() != 1 || outputs.contains(value)) break;
    const Use use = graph.uses(value)[0];
    const Node& user = graph[use.user];
    if (!user.op.adds() && !user.op.multiplies()) break;
    const Value operand = user.inputs[1 - use.input];
    if (user.outputs[0] != value.type() || !is_per_channel(operand.type(), value.type())) break;
    chain.links.push_back(use.user);
    chain.operands.push_back(operand);
    value = graph.value(use.user);
  }
  return chain;
}

/// Is it more than a factor, or a factor and a summand?
bool can_shrink(const Graph& graph, const Chain& chain) {
  const auto multiplies = [&](NodeId id) { return graph[id].op.multiplies(); };
  const auto factors = std::ranges::count_if(chain.links, multiplies);
  return factors > 1 || (factors == 1 && (chain.links.size() > 2 || !multiplies(chain.links[0])));
}

Value collected(const Rewriting& r, const Graph& graph, const Chain& chain) {
  Value factor, summand, result = r.moved(chain.start);
  const Op *multiply = nullptr, *add = nullptr;
  for (std::size_t i = 0; i < chain.links.size(); ++i) {
    const Op& op = graph[chain.links[i]].op;
    const Value operand = r.moved(chain.operands[i]);
    if (op.multiplies()) {
      multiply = &op;
      factor = factor ? apply(op, {factor, operand}) : operand;
      if (summand) summand = apply(op, {summand, operand});
    } else {
      add = &op;
      summand = summand ? apply(op, {summand, operand}) : operand;
    }
  }
  result = apply(*multiply, {result, factor});
  return add != nullptr ? apply(*add, {result, summand}) : result;
}

}  // namespace

Program collect_factors(Program program) {
  const Graph& graph = program.graph;
  const OutputSet outputs(program.outputs);
  std::vector<Chain> ends(graph.size());  // by last node
  std::vector<bool> inside(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (!graph[id].op.traits().takes_scale) continue;
    Chain chain = chain_behind(graph, outputs, id);
    if (!can_shrink(graph, chain)) continue;
    for (const NodeId link : chain.links) inside[link] = true;
    ends[chain.links.back()] = std::move(chain);
  }
  if (std::ranges::count(inside, true) == 0) return program;
  return rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
    if (!inside[r.id]) return std::nullopt;
    if (ends[r.id].links.empty()) return std::vector<Value>(1);
    return std::vector<Value>{collected(r, graph, ends[r.id])};
  });
}

}  // namespace weft
