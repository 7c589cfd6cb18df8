// The walk that turns a program into a plan.
#include <algorithm>
#include <cstring>
#include <set>

#include "graph/evaluate.hpp"
#include "runtime/lowering_context.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {
namespace {

/// An op without `lower` runs by its own definition, in double precision.
void lower_by_evaluation(Lowering& l, const Node& node) {
  std::vector<Operand> reads, writes;
  std::vector<Type> in, out = node.outputs;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    reads.push_back(l.read_row_major(i));
    in.push_back(l.input(i));
  }
  for (std::size_t o = 0; o < out.size(); ++o) writes.push_back(l.write_row_major(o));
  l.step(reads, writes, [op = node.op, in, out](auto sources, auto destinations) {
    std::vector<Array> arrays;
    for (std::size_t i = 0; i < in.size(); ++i) {
      Tensor tensor(in[i]);
      std::memcpy(tensor.bytes(), sources[i], in[i].bytes());
      arrays.push_back(to_array(tensor));
    }
    const auto results = evaluate(op, in, arrays);
    for (std::size_t o = 0; o < out.size(); ++o) {
      const Tensor tensor = to_tensor(results[o], out[o].dtype);
      std::memcpy(destinations[o], tensor.bytes(), out[o].bytes());
    }
  });
}

bool has_elements(const Type& type) { return type.shape.elements() > 0; }

/// Outputs without elements need no work, and oneDNN has no primitive for some of them.
void lower_empty(Lowering& l, const Node& node) {
  std::vector<Operand> writes;
  for (std::size_t o = 0; o < node.outputs.size(); ++o) writes.push_back(l.write_row_major(o));
  l.step({}, writes, [](auto, auto) {});
}

Operand copy(LoweringContext& context, const Operand& from, Buffer to) {
  const Operand target{context.add_buffer(std::move(to)), from.layout};
  Step step;
  step.label = "copy";
  step.detail = "weft";
  step.reads = {from.buffer};
  step.writes = {target.buffer};
  step.kernel = [bytes = from.layout.md.get_size()](auto in, auto out) {
    std::memcpy(out[0], in[0], bytes);
  };
  context.plan().steps.push_back(std::move(step));
  return target;
}

/// The new value of each variable, in the variable's layout.
std::set<BufferId> place_updates(LoweringContext& context, std::size_t results) {
  const auto& outputs = context.program().outputs;
  const std::size_t count = (outputs.size() - results) / 2;
  std::set<BufferId> taken;
  for (std::size_t i = 0; i < count; ++i) {
    const Operand variable = context.place(outputs[results + count + i]);
    Operand next = context.place(outputs[results + i]);
    // A variable that nobody reads in a layout of its own takes that of its new value.
    if (context.flexible(variable)) context.convert(variable, next.layout);
    const Layout layout = context.plan().buffers[variable.buffer].layout;
    next = context.convert(next, layout);
    if (context.plan().buffers[next.buffer].kind != Buffer::Kind::arena ||
        taken.contains(next.buffer)) {
      next = copy(context, next, {.layout = layout});
    }
    taken.insert(next.buffer);
    context.plan().updates.push_back({variable.buffer, next.buffer});
  }
  return taken;
}

void place_results(LoweringContext& context, std::size_t results, std::set<BufferId> taken) {
  Plan& plan = context.plan();
  for (std::size_t i = 0; i < results; ++i) {
    const Value& value = context.program().outputs[i];
    const Operand have = context.place(value);
    const Operand plain = context.convert(have, row_major(value.type()));
    plan.result_types.push_back(value.type());
    Buffer& buffer = plan.buffers[plain.buffer];
    if (buffer.kind == Buffer::Kind::arena && !taken.contains(plain.buffer)) {
      buffer.kind = Buffer::Kind::result;
      buffer.index = i;
      taken.insert(plain.buffer);
    } else {
      copy(context, plain,
           {.kind = Buffer::Kind::result, .layout = row_major(value.type()), .index = i});
    }
  }
}

}  // namespace

Plan lower(const Program& program, std::size_t results, VariableStore& variables,
           std::size_t replicas, const Choices& choices, const Plan* sibling) {
  LoweringContext context(program, variables, replicas, choices, sibling);
  for (NodeId id = 0; id < program.graph.size(); ++id) {
    const Node& node = program.graph[id];
    if (node.inputs.empty() && !node.op.has_lower()) {
      context.lower_leaf(id);
      continue;
    }
    Lowering lowering(context, id);
    if (std::ranges::none_of(node.outputs, has_elements)) {
      lower_empty(lowering, node);
    } else if (node.op.has_lower()) {
      node.op.lower(lowering);
    } else {
      lower_by_evaluation(lowering, node);
    }
  }
  const auto taken = place_updates(context, results);
  place_results(context, results, taken);
  return std::move(context.plan());
}

}  // namespace weft
