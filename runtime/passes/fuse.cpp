// Fusion: a producer and the ops that ride on it become one node, which prints as
// conv2d+add+relu and decomposes into what it was made of.
#include <algorithm>

#include "graph/algorithms.hpp"
#include "graph/print.hpp"
#include "graph/rewrite.hpp"
#include "runtime/lowering.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {
namespace {

struct Fused {
  std::vector<Rider> chain;  // the producer first; operands are inputs of the fused node
  bool has_scale = false;    // the first behind it multiplies by a number per channel
  bool has_bias = false;     // the first (behind that) adds a number per channel
  std::string label, attributes;

  static constexpr auto fields = std::tuple{field("of", &Fused::attributes)};
  std::string_view name() const { return label; }
  friend bool operator==(const Fused&, const Fused&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    return chain[0].op.infer(in.first(chain[0].operands.size()));
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    std::vector<Value> values;
    for (const Rider& link : chain) {
      std::vector<Value> inputs;
      for (const std::size_t operand : link.operands) inputs.push_back(in[operand]);
      if (values.empty()) {
        values = apply_all(link.op, inputs);
        continue;
      }
      inputs.insert(inputs.begin() + static_cast<std::ptrdiff_t>(link.through), values[0]);
      values[0] = apply(link.op, inputs);
    }
    return values;
  }
  double flops(std::span<const Type> in) const {
    return chain[0].op.flops(in.first(chain[0].operands.size()));
  }
  void lower(Lowering& l) const {
    std::optional<std::size_t> scale, bias;
    std::size_t riders = 1;
    if (has_scale) scale = chain[riders++].operands[0];
    if (has_bias) bias = chain[riders++].operands[0];
    l.set_epilogue(scale, bias, std::span(chain).subspan(riders));
    chain[0].op.lower(l);
  }
};

/// Can the node be applied where its input number `input` is made, reading its other inputs there?
bool can_ride(const Node& node, std::uint32_t input) {
  if (!node.op.rides_on(input)) return false;
  const Type& type = node.outputs[0];
  for (std::uint32_t i = 0; i < node.inputs.size(); ++i) {
    const Type& other = node.inputs[i].type();
    if (i == input) continue;
    if (other != type && !is_per_channel(other, type) && other.shape.elements() != 1) return false;
  }
  return true;
}

/// Are the other outputs of a node read only by nodes behind `last`?
bool others_read_behind(const Program& program, NodeId node, NodeId last) {
  for (std::uint32_t port = 1; port < program.graph[node].outputs.size(); ++port) {
    for (const Use& use : program.graph.uses(program.graph.value(node, port))) {
      if (use.user <= last) return false;
    }
  }
  return true;
}

// oneDNN takes 32 post-ops, and an op needs up to two of them.
constexpr std::size_t most_riders = 16;

/// The nodes that `first` can take into its step, itself included; `taken` belong to others.
std::vector<NodeId> chain_from(const Program& program, const OutputSet& outputs, NodeId first,
                               const std::vector<bool>& taken) {
  const Graph& graph = program.graph;
  std::vector<NodeId> chain{first};
  const Traits traits = graph[first].op.traits();
  if (!traits.takes_epilogue && !traits.takes_unary) return chain;
  const Type type = graph[first].outputs[0];
  std::vector<Rider> riders;
  while (chain.size() <= most_riders) {
    const Value value = graph.value(chain.back());
    if (graph.uses(value).size() != 1 || outputs.contains(value)) break;
    const Use use = graph.uses(value)[0];
    const Node& user = graph[use.user];
    if (taken[use.user] || user.outputs[0] != type || !can_ride(user, use.input)) break;
    if (traits.takes_unary && (user.inputs.size() != 1 || !user.op.elementwise())) break;
    if (!others_read_behind(program, first, use.user)) break;
    riders.push_back({user.op, use.input, {}});
    if (traits.takes_epilogue && epilogue_fault(riders)) break;
    chain.push_back(use.user);
  }
  return chain;
}

/// Which nodes are the same in every run until a variable is set: a factor that is can be taken
/// into a kernel that is.
std::vector<bool> find_fixed(const Graph& graph, const OutputSet& outputs) {
  std::vector<bool> fixed(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph[id];
    if (!node.inputs.empty()) {
      fixed[id] = std::ranges::all_of(node.inputs, [&](Value v) { return fixed[v.node()]; });
    } else {
      // The program wants the variables that it updates.
      fixed[id] = node.op.as<Constant>() != nullptr ||
                  (node.op.as<Variable>() != nullptr && !outputs.contains(graph.value(id)));
    }
  }
  return fixed;
}

std::vector<Value> fused(const Rewriting& r, const Graph& graph, const std::vector<NodeId>& chain,
                         const std::vector<bool>& fixed) {
  Fused op;
  std::vector<Value> inputs;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const Node& node = graph[chain[i]];
    Rider link{.op = node.op};
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      if (i > 0 && node.inputs[k].node() == chain[i - 1]) {
        link.through = k;
        continue;
      }
      link.operands.push_back(inputs.size());
      inputs.push_back(r.moved(node.inputs[k]));
    }
    const Node& producer = graph[chain[0]];
    const bool per_channel =
        i > 0 && link.operands.size() == 1 && is_per_channel(inputs.back().type(), node.outputs[0]);
    if (i == 1 && per_channel && node.op.multiplies() && producer.op.traits().takes_scale) {
      const Value operand = node.inputs[1 - link.through];
      op.has_scale = fixed[operand.node()] && fixed[producer.inputs.back().node()];
    }
    if (i == (op.has_scale ? 2u : 1u) && per_channel && node.op.adds()) {
      op.has_bias = producer.op.traits().takes_bias;
    }
    op.label += (i > 0 ? "+" : "") + std::string(node.op.name());
    op.attributes += node.op.attributes();
    op.chain.push_back(std::move(link));
  }
  return r.to.apply(std::move(op), std::move(inputs));
}

}  // namespace

Program fuse(Program program) {
  const Graph& graph = program.graph;
  const OutputSet outputs(program.outputs);
  std::vector<std::vector<NodeId>> ends(graph.size());  // by last node: the chain
  std::vector<bool> inside(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (inside[id]) continue;
    auto chain = chain_from(program, outputs, id, inside);
    if (chain.size() < 2) continue;
    for (const NodeId member : chain) inside[member] = true;
    ends[chain.back()] = std::move(chain);
  }
  const std::vector<bool> fixed = find_fixed(graph, outputs);
  // The fused node stands where the last of the chain stood: all operands exist there.
  return rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
    if (!inside[r.id]) return std::nullopt;
    if (ends[r.id].empty()) return std::vector<Value>(r.node.outputs.size());
    auto values = fused(r, graph, ends[r.id], fixed);
    for (std::uint32_t port = 1; port < values.size(); ++port) {
      r.move(graph.value(ends[r.id][0], port), values[port]);
    }
    values.resize(1);
    for (const NodeId member : ends[r.id]) {
      if (values[0].name().empty()) values[0].named(graph[member].name);
    }
    return values;
  });
}

}  // namespace weft
