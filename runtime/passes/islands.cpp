// Islands: connected elementwise ops of one shape become one node that is one loop. An optimizer's
// update of a parameter reads and writes each of its tensors once; and so do a normalisation, the
// residual added to it and an activation.
#include <algorithm>
#include <set>

#include "graph/algorithms.hpp"
#include "graph/print.hpp"
#include "graph/rewrite.hpp"
#include "runtime/elementwise.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {
namespace {

struct Island {
  Region region;
  Type type;
  std::string code;  // the ops' names and arguments, for print-outs and hashing

  static constexpr auto fields = std::tuple{field("code", &Island::code)};
  static std::string_view name() { return "island"; }
  friend bool operator==(const Island&, const Island&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, region.input_count);
    return std::vector<Type>(region.outputs.size(), type);
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    std::vector<Value> values(in.begin(), in.end());
    for (const RegionOp& step : region.code) {
      std::vector<Value> arguments;
      for (const auto argument : step.arguments) arguments.push_back(values[argument]);
      values.push_back(apply(step.op, arguments));
    }
    std::vector<Value> results;
    for (const auto output : region.outputs) results.push_back(values[in.size() + output]);
    return results;
  }
  void lower(Lowering& l) const { lower_region(l, region); }
};

/// Can the node be one line of a loop over its output's elements?
bool is_elementwise(const Node& node) {
  if (node.outputs.size() != 1 || !node.op.elementwise()) return false;
  const Type& type = node.outputs[0];
  return type.dtype == DType::f32 && node.inputs.size() <= 4 &&
         std::ranges::all_of(node.inputs, [&](const Value& input) {
           const auto count = input.shape().elements();
           return input.dtype() == DType::f32 && (count == 1 || count == type.shape.elements() ||
                                                  is_per_channel(input.type(), type));
         });
}

/// By node: is it equal in all replicas? It is where it follows from variables, constants, scalar
/// inputs and sums over replicas alone.
std::vector<bool> find_uniform(const Graph& graph) {
  std::vector<bool> uniform(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph[id];
    if (const auto* input = node.op.as<Input>()) {
      uniform[id] = input->type.shape.rank() == 0;
    } else {
      uniform[id] =
          node.op.traits().sums_replicas ||
          std::ranges::all_of(node.inputs, [&](const Value& v) { return uniform[v.node()]; });
    }
  }
  return uniform;
}

struct Islands {
  const Program& program;
  // A loop that reads a slice differs between replicas, and so does all that it makes. Nothing that
  // is equal in all of them may leave such a loop.
  const std::vector<bool> uniform;           // by node
  std::vector<int> of;                       // by node: its island, or -1
  std::vector<std::vector<NodeId>> members;  // by island, in order

  explicit Islands(const Program& p)
      : program(p), uniform(find_uniform(p.graph)), of(p.graph.size(), -1) {
    for (NodeId id = 0; id < p.graph.size(); ++id) {
      if (is_elementwise(p.graph[id])) join(id);
    }
  }

  /// An island runs where its last member stood, so nobody else may have read a member before that.
  bool is_private(int island, NodeId before, const std::set<int>& merged) const {
    for (const NodeId member : members[static_cast<std::size_t>(island)]) {
      for (const Use& use : program.graph.uses(program.graph.value(member))) {
        if (use.user < before && !merged.contains(of[use.user])) return false;
      }
    }
    return true;
  }

  /// Is what an island of equal values makes read by nodes alone that differ between replicas?
  bool serves_slices(int island) const {
    const auto& own = members[static_cast<std::size_t>(island)];
    return std::ranges::all_of(own, [&](NodeId member) {
      const Value value = program.graph.value(member);
      return std::ranges::count(program.outputs, value) == 0 &&
             std::ranges::all_of(program.graph.uses(value), [&](const Use& use) {
               return !uniform[use.user] || of[use.user] == island;
             });
    });
  }

  static bool fits(const Graph& graph, const std::vector<NodeId>& ids) {
    std::set<std::pair<NodeId, std::uint32_t>> inputs, singles, channels;
    for (const NodeId id : ids) {
      for (const Value& input : graph[id].inputs) {
        const auto key = std::pair(input.node(), input.port());
        inputs.insert(key);
        const auto count = input.shape().elements();
        if (count == graph[id].outputs[0].shape.elements()) continue;
        (count == 1 ? singles : channels).insert(key);
      }
    }
    return ids.size() <= Region::max_ops && inputs.size() <= Region::max_inputs &&
           singles.size() <= Region::max_singles && channels.size() <= Region::max_channels;
  }

  void join(NodeId id) {
    const Graph& graph = program.graph;
    std::set<int> merged;
    for (const Value& input : graph[id].inputs) {
      const int island = of[input.node()];
      if (island < 0 || input.type() != graph[id].outputs[0]) continue;
      const bool is_uniform = uniform[members[static_cast<std::size_t>(island)].back()];
      if (uniform[id] || !is_uniform || serves_slices(island)) merged.insert(island);
    }
    while (!merged.empty()) {
      const auto exposed =
          std::ranges::find_if(merged, [&](int island) { return !is_private(island, id, merged); });
      if (exposed == merged.end()) break;
      merged.erase(exposed);  // the others may be private only together with it: look again
    }
    std::vector<NodeId> ids{id};
    for (const int island : merged) {
      const auto& more = members[static_cast<std::size_t>(island)];
      ids.insert(ids.end(), more.begin(), more.end());
    }
    std::ranges::sort(ids);
    if (!fits(graph, ids)) {
      merged.clear();
      ids = {id};
    }
    for (const int island : merged) members[static_cast<std::size_t>(island)].clear();
    for (const NodeId member : ids) of[member] = static_cast<int>(members.size());
    members.push_back(std::move(ids));
  }
};

/// Builds the node for the island whose last member is being rewritten.
std::vector<Value> build(const Rewriting& r, const Graph& graph, const OutputSet& outputs,
                         const std::vector<NodeId>& members) {
  std::vector<Value> inputs;  // in the old graph
  for (const NodeId id : members) {
    for (const Value& input : graph[id].inputs) {
      if (!std::ranges::binary_search(members, input.node()) &&
          std::ranges::count(inputs, input) == 0) {
        inputs.push_back(input);
      }
    }
  }
  Island island{.region = {.input_count = inputs.size()}, .type = r.node.outputs[0]};
  std::vector<Value> leaving;
  for (std::uint32_t i = 0; i < members.size(); ++i) {
    const Node& node = graph[members[i]];
    RegionOp step{.op = node.op};
    island.code += fmt::format("{}{}{}(", i > 0 ? ";" : "", node.op.name(), node.op.attributes());
    for (const Value& input : node.inputs) {
      const auto member = std::ranges::lower_bound(members, input.node());
      const bool inside = member != members.end() && *member == input.node();
      const auto index =
          inside ? inputs.size() + static_cast<std::size_t>(member - members.begin())
                 : static_cast<std::size_t>(std::ranges::find(inputs, input) - inputs.begin());
      island.code += fmt::format("{}{}", step.arguments.empty() ? "" : ",", index);
      step.arguments.push_back(static_cast<std::uint32_t>(index));
    }
    island.code += ")";
    island.region.code.push_back(std::move(step));
    const Value value = graph.value(members[i]);
    const bool leaves =
        outputs.contains(value) || std::ranges::any_of(graph.uses(value), [&](const Use& use) {
          return !std::ranges::binary_search(members, use.user);
        });
    if (leaves) {
      island.region.outputs.push_back(i);
      leaving.push_back(value);
    }
  }
  std::vector<Value> moved;
  for (const Value& input : inputs) moved.push_back(r.moved(input));
  const auto values = r.to.apply(std::move(island), std::move(moved));
  for (std::size_t o = 0; o + 1 < leaving.size(); ++o) r.move(leaving[o], values[o]);
  return {values.back()};  // the last member is always needed, or it would have been pruned
}

}  // namespace

Program islands(Program program) {
  const Islands found(program);
  const OutputSet outputs(program.outputs);
  return rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
    const int island = found.of[r.id];
    if (island < 0) return std::nullopt;
    const auto& members = found.members[static_cast<std::size_t>(island)];
    if (members.size() < 2) return std::nullopt;
    if (r.id != members.back()) return std::vector<Value>(1);
    return build(r, program.graph, outputs, members);
  });
}

}  // namespace weft
