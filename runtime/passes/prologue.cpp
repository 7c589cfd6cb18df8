// The prologue: steps that hang on variables and constants alone run first, and only when one of
// those variables has changed since. So weights are brought into a kernel's layout, and scaled for
// a normalisation behind it, once, and not for each batch of a prediction.
#include <algorithm>

#include "runtime/passes/passes.hpp"

namespace weft {

Plan prologue(Plan plan) {
  // What the run itself changes is not kept; nor is what replaces it.
  std::vector<bool> fixed(plan.buffers.size()), excluded(plan.buffers.size());
  for (const auto& [variable, next] : plan.updates) excluded[variable] = excluded[next] = true;
  // Nor what several steps write: the first only prepares it for the others.
  std::vector<std::size_t> writers(plan.buffers.size());
  for (const Step& step : plan.steps) {
    for (const BufferId id : step.writes) {
      if (++writers[id] > 1) excluded[id] = true;
    }
  }
  for (BufferId id = 0; id < plan.buffers.size(); ++id) {
    const auto kind = plan.buffers[id].kind;
    fixed[id] = !excluded[id] && (kind == Buffer::Kind::variable || kind == Buffer::Kind::constant);
  }
  for (Step& step : plan.steps) {
    step.once = !step.all_reduce && !step.makes_part &&
                std::ranges::all_of(step.reads, [&](BufferId id) { return fixed[id]; }) &&
                std::ranges::all_of(step.writes, [&](BufferId id) {
                  return plan.buffers[id].kind == Buffer::Kind::arena && !excluded[id];
                });
    for (const BufferId id : step.writes) fixed[id] = step.once;
  }
  std::ranges::stable_partition(plan.steps, [](const Step& step) { return step.once; });
  // What only the prologue reads can lie in the arena, which no run is using yet.
  for (const Step& step : plan.steps) {
    if (step.once) continue;
    for (const BufferId id : step.reads) {
      Buffer& buffer = plan.buffers[id];
      if (!fixed[id] || buffer.kind != Buffer::Kind::arena) continue;
      constexpr std::size_t alignment = 64;
      buffer.kind = Buffer::Kind::kept;
      buffer.offset = plan.kept_bytes;
      plan.kept_bytes += (buffer.bytes + alignment - 1) / alignment * alignment;
    }
  }
  return plan;
}

}  // namespace weft
