#include "runtime/work.hpp"

#include <algorithm>
#include <vector>

namespace weft {
namespace {

// As many operations as an element of a loop counts: reading and writing it takes that long.
constexpr double per_element = 16;
// Operations of one step that are worth a thread (docs/performance.md has the figures).
constexpr double per_thread = 2e6;

double elements_of(const std::vector<Type>& types) {
  double elements = 0;
  for (const Type& type : types) elements += static_cast<double>(type.shape.elements());
  return elements;
}

double work_of(const Node& node) {
  if (node.inputs.empty()) return 0;
  std::vector<Type> inputs;
  for (const Value& input : node.inputs) inputs.push_back(input.type());
  const double flops = node.op.flops(inputs);
  const double elements = std::max(elements_of(inputs), elements_of(node.outputs));
  return std::max(flops, per_element * elements);
}

}  // namespace

double work_of_a_step(const Program& program) {
  double sum = 0, squares = 0;
  for (NodeId id = 0; id < program.graph.size(); ++id) {
    const double work = work_of(program.graph[id]);
    sum += work;
    squares += work * work;
  }
  return sum > 0 ? squares / sum : 0;
}

int threads_worth(const Program& program, int threads) {
  if (threads <= 1) return threads;
  const double worth = work_of_a_step(program) / per_thread;
  return worth >= threads ? threads : std::max(1, static_cast<int>(worth));
}

}  // namespace weft
