// Two plans side by side: do slices of different sizes still bring the same things together?
#include <algorithm>
#include <cstring>

#include "graph/print.hpp"
#include "runtime/onednn.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {
namespace {

/// The steps that must be alike: those whose outcome leaves the run for all replicas together, and
/// what they follow from, back to the sums.
std::vector<std::size_t> common_steps(const Plan& plan) {
  std::vector<bool> needed(plan.buffers.size());
  for (const auto& [variable, next] : plan.updates) needed[variable] = needed[next] = true;
  for (BufferId id = 0; id < plan.buffers.size(); ++id) {
    const Buffer& buffer = plan.buffers[id];
    if (buffer.kind == Buffer::Kind::result && plan.result_is_uniform[buffer.index]) {
      needed[id] = true;
    }
  }
  std::vector<std::size_t> steps;
  for (std::size_t s = plan.steps.size(); s-- > 0;) {
    const Step& step = plan.steps[s];
    if (std::ranges::none_of(step.writes, [&](BufferId id) { return needed[id]; })) continue;
    steps.push_back(s);
    if (step.all_reduce) continue;
    for (const BufferId id : step.reads) needed[id] = true;
  }
  std::ranges::reverse(steps);
  return steps;
}

bool same_layout(const Layout& a, const Layout& b) {
  return onednn::same_memory(a.md, b.md) && onednn::same_memory(a.plain, b.plain);
}

/// Of a type whose first axis counts rows, what remains.
bool same_but_rows(const Type& a, const Type& b) {
  return a.dtype == b.dtype && a.shape.rank() == b.shape.rank() &&
         (a.shape.rank() == 0 ||
          std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1, b.shape.end()));
}

class Comparison {
 public:
  Comparison(const Program& program_a, const Plan& a, const Program& program_b, const Plan& b)
      : program_a_(program_a),
        program_b_(program_b),
        a_(a),
        b_(b),
        partner_(a.buffers.size()),
        meeting_a_(meetings(a)),
        meeting_b_(meetings(b)) {}

  std::optional<std::string> run() {
    if (a_.feeds != b_.feeds || !std::ranges::equal(a_.feed_types, b_.feed_types, same_but_rows)) {
      return "they have different inputs";
    }
    if (a_.result_is_uniform != b_.result_is_uniform ||
        !std::ranges::equal(a_.result_types, b_.result_types, same_but_rows)) {
      return "they have different results";
    }
    if (last(meeting_a_) != last(meeting_b_)) return "they do not meet equally often";
    if (auto why = compare_sums()) return why;
    const auto steps_a = common_steps(a_), steps_b = common_steps(b_);
    if (steps_a.size() != steps_b.size()) return "they have different steps in common";
    for (std::size_t i = 0; i < steps_a.size(); ++i) {
      if (!same(steps_a[i], steps_b[i])) {
        return fmt::format("step {} of the one ({}) is not as step {} of the other ({})",
                           steps_a[i], a_.steps[steps_a[i]].label, steps_b[i],
                           b_.steps[steps_b[i]].label);
      }
    }
    return compare_updates();
  }

 private:
  /// By step, how often replicas have met before it.
  static std::vector<std::size_t> meetings(const Plan& plan) {
    std::vector<std::size_t> counts;
    for (const Step& step : plan.steps) counts.push_back(last(counts) + (step.meets ? 1 : 0));
    return counts;
  }
  static std::size_t last(const std::vector<std::size_t>& counts) {
    return counts.empty() ? 0 : counts.back();
  }
  static std::vector<std::size_t> sums(const Plan& plan) {
    std::vector<std::size_t> steps;
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
      if (plan.steps[s].all_reduce) steps.push_back(s);
    }
    return steps;
  }

  std::optional<std::string> compare_sums() const {
    const auto sums_a = sums(a_), sums_b = sums(b_);
    if (sums_a.size() != sums_b.size()) return "they sum different things";
    for (std::size_t k = 0; k < sums_a.size(); ++k) {
      // A sum is written as it is read, whatever the buffer that it reads from was made for.
      const Step &a = a_.steps[sums_a[k]], &b = b_.steps[sums_b[k]];
      if (a.elements != b.elements || a.is_cut != b.is_cut ||
          meeting_a_[sums_a[k]] != meeting_b_[sums_b[k]] ||
          !same_layout(a_.buffers[a.writes[0]].layout, b_.buffers[b.writes[0]].layout)) {
        return fmt::format("sum {} over replicas is not the same in both", k);
      }
    }
    return std::nullopt;
  }

  std::optional<std::string> compare_updates() const {
    const auto in_place = [](const Plan& plan, const VariableUpdate& update) {
      return plan.buffers[update.next].shares == update.variable;
    };
    for (std::size_t i = 0; i < a_.updates.size(); ++i) {
      const std::string& name = a_.buffers[a_.updates[i].variable].name;
      if (i >= b_.updates.size() || name != b_.buffers[b_.updates[i].variable].name ||
          in_place(a_, a_.updates[i]) != in_place(b_, b_.updates[i])) {
        return fmt::format("they update variable \"{}\" differently", name);
      }
    }
    if (a_.updates.size() != b_.updates.size()) return "they update different variables";
    return std::nullopt;
  }

  bool same(std::size_t at_a, std::size_t at_b) {
    const Step &a = a_.steps[at_a], &b = b_.steps[at_b];
    if (a.label != b.label || a.detail != b.detail || a.elements != b.elements ||
        a.all_reduce != b.all_reduce || a.is_cut != b.is_cut || a.is_last != b.is_last ||
        a.node.has_value() != b.node.has_value() || meeting_a_[at_a] != meeting_b_[at_b] ||
        a.reads.size() != b.reads.size() || a.writes.size() != b.writes.size()) {
      return false;
    }
    if (a.node && !(program_a_.graph[*a.node].op == program_b_.graph[*b.node].op)) return false;
    for (std::size_t i = 0; i < a.reads.size() && !a.all_reduce; ++i) {
      if (!same_buffer(a.reads[i], b.reads[i])) return false;
    }
    for (std::size_t i = 0; i < a.writes.size(); ++i) {
      if (!same_buffer(a.writes[i], b.writes[i])) return false;
    }
    return true;
  }

  bool same_buffer(BufferId at_a, BufferId at_b) {
    if (partner_[at_a]) return *partner_[at_a] == at_b;
    partner_[at_a] = at_b;
    const Buffer &a = a_.buffers[at_a], &b = b_.buffers[at_b];
    if (a.kind != b.kind || !same_layout(a.layout, b.layout)) return false;
    switch (a.kind) {
      case Buffer::Kind::variable:
        return a.name == b.name;
      case Buffer::Kind::constant:
        return std::memcmp(a.memory.bytes(), b.memory.bytes(), a.bytes) == 0;
      case Buffer::Kind::feed:
      case Buffer::Kind::result:
        return a.index == b.index;
      case Buffer::Kind::arena:
      case Buffer::Kind::kept:
        break;
    }
    return true;
  }

  const Program &program_a_, &program_b_;
  const Plan &a_, &b_;
  std::vector<std::optional<BufferId>> partner_;  // of a's buffers among b's
  std::vector<std::size_t> meeting_a_, meeting_b_;
};

}  // namespace

std::optional<std::string> disagreement(const Program& program, const Plan& plan,
                                        const Program& other_program, const Plan& other_plan) {
  return Comparison(program, plan, other_program, other_plan).run();
}

}  // namespace weft
