#include <unordered_map>

#include "graph/rewrite.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {

Program cse(Program program) {
  std::unordered_multimap<std::size_t, NodeId> known;  // by hash, in the new graph
  return rewrite(program, [&](const Rewriting& r) -> std::optional<std::vector<Value>> {
    std::size_t hash = r.node.op.hash();
    for (const Value& input : r.inputs) {
      hash = hash * 31 + (std::size_t{input.node()} << 8) + input.port();
    }
    std::vector<Value> values;
    const auto [first, last] = known.equal_range(hash);
    for (auto i = first; i != last; ++i) {
      const Node& other = r.to[i->second];
      if (other.inputs == r.inputs && other.op == r.node.op) {
        for (std::uint32_t o = 0; o < other.outputs.size(); ++o) {
          values.push_back(r.to.value(i->second, o));
        }
        return values;
      }
    }
    values = r.to.apply(r.node.op, r.inputs);
    known.emplace(hash, values[0].node());
    return values;
  });
}

}  // namespace weft
