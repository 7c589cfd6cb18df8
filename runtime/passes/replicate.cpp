// Replicas: the same plan on slices of a batch, meeting where the graph says all_reduce.
//
// Steps are sorted into levels: those that need no sum over replicas, those that need one, and so
// on. Between levels all replicas meet, so that a training step of a plain network has two
// meetings: before the gradients are summed, and at its end. What follows from sums alone is equal
// in all replicas ("uniform"), and so the update of a variable, a loop over its elements, is cut:
// each replica sums, computes and stores its own range.
#include <algorithm>
#include <functional>
#include <optional>

#include "graph/error.hpp"
#include "runtime/passes/passes.hpp"

namespace weft {
namespace {

class Replicator {
 public:
  explicit Replicator(Plan& plan) : plan_(plan) {}

  void run() {
    sort_into_levels();
    find_uniform();
    check();
    cut();
  }

 private:
  void sort_into_levels() {
    std::vector<std::size_t> level_of(plan_.buffers.size(), 0), levels;
    for (const Step& step : plan_.steps) {
      std::size_t level = 0;
      for (const BufferId id : step.reads) level = std::max(level, level_of[id]);
      if (step.all_reduce) ++level;
      for (const BufferId id : step.writes) level_of[id] = level;
      levels.push_back(level);
    }
    // Sums first, the others in their order.
    std::vector<std::size_t> order(plan_.steps.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, std::less<>{}, [&](std::size_t i) {
      return std::pair(levels[i], !plan_.steps[i].all_reduce);
    });
    std::vector<Step> sorted;
    std::size_t level = 0;
    for (const std::size_t i : order) {
      sorted.push_back(std::move(plan_.steps[i]));
      sorted.back().meets = levels[i] != level;
      level = levels[i];
      levels_.push_back(level);
    }
    plan_.steps = std::move(sorted);
  }

  void find_uniform() {
    uniform_.assign(plan_.buffers.size(), false);
    for (BufferId id = 0; id < plan_.buffers.size(); ++id) {
      const auto kind = plan_.buffers[id].kind;
      uniform_[id] = kind == Buffer::Kind::variable || kind == Buffer::Kind::constant;
      if (kind == Buffer::Kind::feed) {
        uniform_[id] = plan_.feed_types[plan_.buffers[id].index].shape.rank() == 0;
      }
    }
    for (const Step& step : plan_.steps) {
      const bool same = step.all_reduce ||
                        std::ranges::all_of(step.reads, [&](BufferId id) { return uniform_[id]; });
      for (const BufferId id : step.writes) uniform_[id] = same && !step.makes_part;
    }
  }

  void check() {
    for (const Step& step : plan_.steps) {
      if (!step.makes_part || uniform_[step.reads[0]]) continue;
      fail<CompileError>(
          "compile: {} is shared by replicas, but what it reads differs between them: bring it "
          "together with all_reduce",
          step.label);
    }
    for (const auto& [variable, next] : plan_.updates) {
      if (uniform_[next]) continue;
      fail<CompileError>(
          "compile: the update of variable \"{}\" differs between replicas: bring what their "
          "slices "
          "of the batch gave together with all_reduce",
          plan_.buffers[variable].name);
    }
    plan_.result_is_uniform.resize(plan_.result_types.size());
    for (BufferId id = 0; id < plan_.buffers.size(); ++id) {
      if (plan_.buffers[id].kind != Buffer::Kind::result) continue;
      const std::size_t index = plan_.buffers[id].index;
      plan_.result_is_uniform[index] = uniform_[id];
      if (!uniform_[id] && plan_.result_types[index].shape.rank() == 0) {
        fail<CompileError>(
            "compile: output {} is a scalar that differs between replicas: bring them together "
            "with "
            "all_reduce",
            index);
      }
    }
  }

  void cut() {
    const LastSteps last(plan_);
    std::vector<std::optional<BufferId>> variable_of(plan_.buffers.size());
    for (const auto& [variable, next] : plan_.updates) variable_of[next] = variable;
    std::vector<std::vector<std::size_t>> readers(plan_.buffers.size());
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      for (const BufferId id : plan_.steps[s].reads) readers[id].push_back(s);
    }
    const auto only_cut_readers = [&](BufferId id, std::size_t elements) {
      return std::ranges::all_of(readers[id], [&](std::size_t s) {
        return plan_.steps[s].is_cut && plan_.steps[s].elements == elements;
      });
    };
    // Another replica may be at any step of the same level: nobody there may read the old value
    // whole.
    const auto may_store = [&](std::size_t writer, BufferId next) {
      const BufferId variable = *variable_of[next];
      return may_update_in_place(plan_, last, {variable, next}) &&
             std::ranges::all_of(readers[variable], [&](std::size_t s) {
               return s == writer || plan_.steps[s].is_cut || levels_[s] < levels_[writer];
             });
    };
    const auto stays = [&](std::size_t s, const Step& step) {
      if (step.makes_part) return true;
      return std::ranges::all_of(step.writes, [&](BufferId id) {
        if (plan_.buffers[id].kind != Buffer::Kind::arena) return false;
        if (!only_cut_readers(id, step.elements)) return false;
        return variable_of[id] ? may_store(s, id) : !readers[id].empty();
      });
    };
    // Begin with every loop that could be cut, and give up those that break a rule.
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      Step& step = plan_.steps[s];
      const bool uniform =
          std::ranges::all_of(step.writes, [&](BufferId id) { return uniform_[id]; });
      step.is_cut = step.makes_part || (levels_[s] > 0 && uniform && step.elements > 1 &&
                                        (step.range || step.all_reduce));
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t s = plan_.steps.size(); s-- > 0;) {
        Step& step = plan_.steps[s];
        if (!step.is_cut || stays(s, step)) continue;
        step.is_cut = false;
        changed = true;
      }
    }
  }

  Plan& plan_;
  std::vector<std::size_t> levels_;  // by step
  std::vector<bool> uniform_;        // by buffer
};

}  // namespace

Plan replicate(Plan plan) {
  if (plan.replicas > 1) Replicator(plan).run();
  return plan;
}

}  // namespace weft
