// Memory planning: where each buffer of the arena lies. A buffer lives from the step that writes it
// to the last step that reads it; what does not live at the same time may lie at the same place.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "graph/print.hpp"
#include "runtime/passes/passes.hpp"
#include "runtime/passes/space.hpp"

namespace weft {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t never = std::size_t(-1);
constexpr std::size_t most_bytes = std::size_t{1} << 62;  // of an arena

struct Lifetime {
  std::size_t first = never, last = 0;  // steps

  bool overlaps(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

bool may_write_over(const Step& step, BufferId out, BufferId in) {
  return std::ranges::any_of(step.over, [&](const auto& pair) {
    return step.writes[pair.first] == out && step.reads[pair.second] == in;
  });
}

class Planner {
 public:
  explicit Planner(Plan& plan) : plan_(plan) {}

  void run() {
    find_lifetimes();
    update_in_place();
    write_in_place();
    assign_offsets();
    find_peak();
  }

 private:
  BufferId root(BufferId id) const {
    while (plan_.buffers[id].shares) id = *plan_.buffers[id].shares;
    return id;
  }

  void find_lifetimes() {
    lives_.assign(plan_.buffers.size(), {});
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      const Step& step = plan_.steps[s];
      for (const auto* list : {&step.reads, &step.writes, &step.scratch}) {
        for (const BufferId id : *list) {
          lives_[id].first = std::min(lives_[id].first, s);
          lives_[id].last = std::max(lives_[id].last, s);
        }
      }
    }
    // What another replica sums must stay until all replicas have met again.
    std::size_t meeting = plan_.steps.size();
    for (std::size_t s = plan_.steps.size(); s-- > 0;) {
      const Step& step = plan_.steps[s];
      if (step.all_reduce) {
        lives_[step.reads[0]].last = std::max(lives_[step.reads[0]].last, meeting - 1);
      }
      if (step.meets) meeting = s;
    }
  }

  /// The new value of a variable is written into the variable itself where it may be; else it is
  /// copied there at the end of the run. Replicas share variables: each writes its own range of
  /// one, or the first copies all of it when the others are done.
  void update_in_place() {
    const LastSteps last(plan_);  // the copies that are appended here change nothing of it
    for (const VariableUpdate& update : plan_.updates) {
      const auto& [variable, next] = update;
      const bool whole = plan_.replicas == 1;
      if ((whole || plan_.steps[lives_[next].first].is_cut) &&
          may_update_in_place(plan_, last, update)) {
        plan_.buffers[next].shares = variable;
        continue;
      }
      Step copy;
      copy.label = "copy";
      copy.detail = "weft";
      copy.reads = {next};
      copy.writes = {variable};
      copy.kernel = [bytes = plan_.buffers[next].bytes](auto in, auto out) {
        std::memcpy(out[0], in[0], bytes);
      };
      copy.is_last = !whole;
      copy.meets = !whole && (plan_.steps.empty() || !plan_.steps.back().is_last);
      lives_[next].last = lives_[variable].last = plan_.steps.size();
      plan_.steps.push_back(std::move(copy));
    }
  }

  void write_in_place() {
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      const Step& step = plan_.steps[s];
      for (const auto& [w, r] : step.over) {
        Buffer& out = plan_.buffers[step.writes[w]];
        const BufferId in = root(step.reads[r]);
        if (out.kind != Buffer::Kind::arena || out.shares || lives_[step.writes[w]].first != s ||
            plan_.buffers[in].kind != Buffer::Kind::arena || lives_[in].last != s ||
            out.bytes > plan_.buffers[in].bytes || in == step.writes[w]) {
          continue;
        }
        out.shares = in;
        lives_[in].last = lives_[step.writes[w]].last;
      }
    }
  }

  void assign_offsets() {
    std::vector<BufferId> order;
    for (BufferId id = 0; id < plan_.buffers.size(); ++id) {
      const Buffer& buffer = plan_.buffers[id];
      if (buffer.kind != Buffer::Kind::arena || lives_[id].first == never) continue;
      if (!buffer.shares) order.push_back(id);
      if (plan_.buffers[root(id)].kind == Buffer::Kind::arena) plan_.buffer_bytes += buffer.bytes;
    }
    std::ranges::stable_sort(order, [&](BufferId a, BufferId b) {
      return plan_.buffers[a].bytes > plan_.buffers[b].bytes;
    });
    Space space(plan_.steps.size());
    for (const BufferId id : order) {
      Buffer& buffer = plan_.buffers[id];
      if (buffer.bytes > most_bytes - plan_.arena_bytes) {
        fail<CompileError>(
            "compile: the tensors of one run need more memory than there can be: \"{}\" has {} "
            "bytes, and up to {} come before it",
            buffer.name, buffer.bytes, plan_.arena_bytes);
      }
      const std::size_t bytes = rounded(buffer.bytes);
      buffer.offset = space.take(lives_[id].first, lives_[id].last, bytes);
      plan_.arena_bytes = std::max(plan_.arena_bytes, buffer.offset + bytes);
    }
  }

  void find_peak() {
    constexpr std::size_t most = 3;  // buffers that the report names
    std::vector<BufferId> owners;
    for (BufferId id = 0; id < plan_.buffers.size(); ++id) {
      const Buffer& buffer = plan_.buffers[id];
      if (buffer.kind == Buffer::Kind::arena && !buffer.shares && lives_[id].first != never) {
        owners.push_back(id);
      }
    }
    std::vector<std::size_t> changes(plan_.steps.size() + 1);
    for (const BufferId id : owners) {
      changes[lives_[id].first] += plan_.buffers[id].bytes;
      changes[std::min(lives_[id].last + 1, plan_.steps.size())] -= plan_.buffers[id].bytes;
    }
    std::size_t in_use = 0;
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      in_use += changes[s];  // wraps around below zero, and back
      if (in_use <= plan_.peak_bytes) continue;
      plan_.peak_bytes = in_use;
      plan_.peak_step = s;
    }
    const Lifetime peak{plan_.peak_step, plan_.peak_step};
    std::erase_if(owners, [&](BufferId id) { return !lives_[id].overlaps(peak); });
    std::ranges::stable_sort(owners, [&](BufferId a, BufferId b) {
      return plan_.buffers[a].bytes > plan_.buffers[b].bytes;
    });
    owners.resize(std::min(owners.size(), most));
    plan_.peak_buffers = owners;
  }

  static std::size_t rounded(std::size_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
  }

  Plan& plan_;
  std::vector<Lifetime> lives_;
};

}  // namespace

LastSteps::LastSteps(const Plan& plan) : writer(plan.buffers.size()), reader(plan.buffers.size()) {
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    for (const BufferId id : plan.steps[s].writes) writer[id] = s;
    for (const BufferId id : plan.steps[s].reads) reader[id] = s;
  }
}

bool may_update_in_place(const Plan& plan, const LastSteps& last, const VariableUpdate& update) {
  const auto& [variable, next] = update;
  const auto writer = last.writer[next], reader = last.reader[variable];
  if (!writer || !reader || *reader < *writer) return writer.has_value();
  return *reader == *writer && may_write_over(plan.steps[*writer], next, variable);
}

Plan plan_memory(Plan plan) {
  Planner(plan).run();
  return plan;
}

}  // namespace weft
