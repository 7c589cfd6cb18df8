#include <algorithm>

#include "graph/evaluate.hpp"
#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

Program fold(Program program) {
  return rewrite(program, [](const Rewriting& r) -> std::optional<std::vector<Value>> {
    if (r.inputs.empty()) return std::nullopt;
    std::vector<Type> types;
    std::vector<Array> arrays;
    std::int64_t given = 1, made = 0;
    for (const Value& input : r.inputs) {
      const auto* constant = input.op().as<Constant>();
      if (constant == nullptr) return std::nullopt;
      types.push_back(input.type());
      given += input.shape().elements();
    }
    for (const Type& output : r.node.outputs) made += output.shape.elements();
    if (made > given) return std::nullopt;  // a broadcast scalar is better left a scalar
    for (const Value& input : r.inputs)
      arrays.push_back(to_array(input.op().as<Constant>()->tensor));
    std::vector<Value> results;
    const auto folded = evaluate(r.node.op, types, arrays);
    for (std::size_t o = 0; o < folded.size(); ++o) {
      results.push_back(r.to.constant(to_tensor(folded[o], r.node.outputs[o].dtype)));
    }
    return results;
  });
}

}  // namespace weft
