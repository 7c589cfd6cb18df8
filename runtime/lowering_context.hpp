// The state of the one walk that turns a program into a plan: where each value lies so far.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/algorithms.hpp"
#include "graph/graph.hpp"
#include "runtime/lowering.hpp"
#include "runtime/variable_store.hpp"

namespace weft {

class LoweringContext {
 public:
  LoweringContext(const Program& program, VariableStore& variables, std::size_t replicas,
                  const Choices& choices, const Plan* sibling)
      : program_(program),
        variables_(variables),
        choices_(choices),
        sibling_(sibling),
        outputs_(program.outputs),
        places_(program.graph.size()) {
    plan_.replicas = replicas;
  }

  const Program& program() const { return program_; }
  bool is_output(Value value) const { return outputs_.contains(value); }
  Plan& plan() { return plan_; }
  const Choices& choices() const { return choices_; }

  BufferId add_buffer(Buffer buffer);
  void place(NodeId node, std::uint32_t port, Operand operand);
  const Operand& place(const Value& value) const { return places_[value.node()][value.port()]; }

  /// A variable or constant whose layout the next reader may choose.
  bool flexible(const Operand& operand) const;
  /// The operand in the wanted layout, by choosing, by renaming, or by a reorder that is shared.
  Operand convert(const Operand& operand, const Layout& wanted);

  /// Places inputs, variables and constants.
  void lower_leaf(NodeId node);
  /// The layout in which the next sum over replicas is made: the sibling's, if there is one.
  Layout layout_of_sum(const Type& type, const Layout& own);

 private:
  Operand reorder(const Operand& from, const Layout& to);

  const Program& program_;
  VariableStore& variables_;
  Choices choices_;
  const Plan* sibling_;  // of replicas with another slice, lowered before; or nullptr
  OutputSet outputs_;
  Plan plan_;
  std::vector<std::vector<Operand>> places_;
  std::unordered_map<std::string, BufferId> variable_buffers_;
  std::unordered_set<std::string> feed_names_;
  std::vector<bool> flexible_;  // by buffer
  struct Reordered {
    Layout layout;
    BufferId to;
  };
  std::unordered_map<BufferId, std::vector<Reordered>> reordered_;  // by what was read
};

}  // namespace weft
