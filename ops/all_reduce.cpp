#include "ops/all_reduce.hpp"

#include "graph/graph.hpp"
#include "runtime/lowering.hpp"

namespace weft {
namespace {

struct AllReduce {
  static std::string_view name() { return "all_reduce"; }
  friend bool operator==(const AllReduce&, const AllReduce&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    return {in[0]};
  }
  // y_r = sum over s of x_s in every replica r, so dx_s = sum over r of dy_r.
  std::vector<Value> vjp(const VjpArgs& args) const { return {all_reduce(args.cotangents[0])}; }
  // The definition knows of one replica.
  std::vector<Array> evaluate(std::span<const Array> in) const { return {in[0]}; }
  void lower(Lowering& l) const { l.all_reduce(0, 0); }
};

const Register registered{AllReduce{}};

}  // namespace

Value all_reduce(Value x) { return apply(AllReduce{}, {x}); }

bool is_uniform(Value x) {
  // Inputs come before users, so one walk back meets every node after all that need it.
  const Graph& graph = Graph::of(x);
  std::vector<bool> needed(x.node() + 1);
  needed[x.node()] = true;
  for (NodeId id = x.node() + 1; id-- > 0;) {
    const Node& node = graph[id];
    if (!needed[id] || node.op.as<AllReduce>() != nullptr) continue;
    if (node.op.as<Input>() != nullptr && node.outputs[0].shape.rank() > 0) return false;
    for (const Value& input : node.inputs) needed[input.node()] = true;
  }
  return true;
}

}  // namespace weft
