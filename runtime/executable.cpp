#include "runtime/executable.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "runtime/config.hpp"
#include "runtime/core_turn.hpp"
#include "runtime/executable_impl.hpp"
#include "runtime/fork.hpp"
#include "runtime/onednn.hpp"
#include "runtime/parallel.hpp"
#include "runtime/run_mode.hpp"
#include "runtime/tuning.hpp"
#include "runtime/variable_store.hpp"

namespace weft {
namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

// ---- Instance

Instance::Instance(const Plan& plan, const Variables& variables, Tensor kept)
    : plan_(plan),
      arena_(Type{DType::u8, {static_cast<std::int64_t>(plan.arena_bytes)}},
             "compile: the arena of a program"),
      kept_(std::move(kept)),
      stream_(onednn::engine()) {
  const std::size_t step_count = plan.steps.size(), buffer_count = plan.buffers.size();
  std::vector<BufferId> roots(buffer_count);
  for (BufferId id = 0; id < buffer_count; ++id) {
    roots[id] = id;
    while (plan.buffers[roots[id]].shares) roots[id] = *plan.buffers[roots[id]].shares;
  }
  places_.resize(buffer_count);
  for (std::size_t s = 0; s < step_count; ++s) {
    const Step& step = plan.steps[s];
    Bound bound;
    bound.reads.resize(step.reads.size());
    bound.writes.resize(step.writes.size());
    bound.memories.reserve(step.arguments.size());
    for (const auto& [index, buffer, md] : step.arguments) {
      bound.memories.emplace_back(md, onednn::engine(), static_cast<void*>(nullptr));
      bound.arguments.push_back({index, bound.memories.back().get()});
      places_[roots[buffer]].push_back({Place::In::memories, s, bound.memories.size() - 1});
    }
    for (std::size_t i = 0; i < step.reads.size(); ++i) {
      places_[roots[step.reads[i]]].push_back({Place::In::reads, s, i});
    }
    for (std::size_t i = 0; i < step.writes.size(); ++i) {
      places_[roots[step.writes[i]]].push_back({Place::In::writes, s, i});
    }
    bound_.push_back(std::move(bound));
  }

  feed_buffers_.resize(plan.feeds.size());
  result_buffers_.resize(plan.result_types.size());
  addresses_.resize(buffer_count);
  for (BufferId id = 0; id < buffer_count; ++id) {
    const Buffer& buffer = plan.buffers[id];
    if (buffer.kind == Buffer::Kind::feed) feed_buffers_[buffer.index] = id;
    if (buffer.kind == Buffer::Kind::result) result_buffers_[buffer.index] = id;
    if (roots[id] == id) {
      if (std::byte* address = own_address(buffer, variables); address != nullptr) {
        bind(id, address);
      }
    }
  }
}

/// Feeds and results have none of their own: they are bound when the caller brings them.
std::byte* Instance::own_address(const Buffer& buffer, const Variables& variables) {
  switch (buffer.kind) {
    case Buffer::Kind::arena:
      return arena_.bytes() + buffer.offset;
    case Buffer::Kind::kept:
      return kept_.bytes() + buffer.offset;
    case Buffer::Kind::variable:
      return variables.store().find(buffer.name)->memory.bytes();
    case Buffer::Kind::constant:
      return const_cast<std::byte*>(buffer.memory.bytes());
    case Buffer::Kind::feed:
    case Buffer::Kind::result:
      break;
  }
  return nullptr;
}

void Instance::bind(BufferId root, std::byte* memory) {
  if (addresses_[root] == memory) return;
  addresses_[root] = memory;
  for (const auto& [in, step, index] : places_[root]) {
    Bound& bound = bound_[step];
    switch (in) {
      case Place::In::reads:
        bound.reads[index] = memory;
        break;
      case Place::In::writes:
        bound.writes[index] = memory;
        break;
      case Place::In::memories:
        bound.memories[index].set_data_handle(memory);
        break;
    }
  }
}

void Instance::poison() {
  const std::span<float> numbers(reinterpret_cast<float*>(arena_.bytes()),
                                 plan_.arena_bytes / sizeof(float));
  std::ranges::fill(numbers, std::nanf(""));
}

void Instance::execute(std::size_t s) {
  const Step& step = plan_.steps[s];
  Bound& bound = bound_[s];
  if (step.range) return execute_range(s, 0, step.elements);
  if (step.kernel) return step.kernel(bound.reads, bound.writes);
  const auto status =
      dnnl_primitive_execute(step.primitive.get(), stream_.get(),
                             static_cast<int>(bound.arguments.size()), bound.arguments.data());
  if (status == dnnl_out_of_memory) {
    fail<MemoryError>("run: there is no memory for {} ({})", step.label, step.detail);
  }
  if (status != dnnl_success) {
    fail("run: {} ({}) failed in oneDNN with status {}", step.label, step.detail,
         static_cast<int>(status));
  }
  if (step.behind) step.behind(bound.reads, bound.writes);
}

void Instance::execute_range(std::size_t s, std::size_t first, std::size_t last) {
  constexpr std::size_t grain = 32 * 1024;  // elements that are worth another thread
  const Step& step = plan_.steps[s];
  const Bound& bound = bound_[s];
  if (step.makes_part) return step.range(bound.reads, bound.writes, first, last);
  parallel_for(last - first, grain, [&](std::size_t from, std::size_t to) {
    step.range(bound.reads, bound.writes, first + from, first + to);
  });
}

void Instance::check(std::size_t s) const {
  const Step& step = plan_.steps[s];
  if (step.is_cut) return;  // a replica has only its part of the numbers
  for (std::size_t w = 0; w < step.writes.size(); ++w) {
    const Buffer& buffer = plan_.buffers[step.writes[w]];
    if (onednn::data_type(buffer.layout.md) != dnnl::memory::data_type::f32) continue;
    if (!onednn::padding_is_zero(buffer.layout.md, bound_[s].writes[w])) {
      fail(
          "run: step {} ({}, by {}) leaves something other than zero in the padding of its output "
          "{}, which lies as {}",
          s, step.label, step.detail, w, onednn::layout_name(buffer.layout.md));
    }
    const auto* numbers = reinterpret_cast<const float*>(bound_[s].writes[w]);
    const std::size_t count = buffer.layout.md.get_size() / sizeof(float);
    const auto* bad = std::find_if(numbers, numbers + count, [](float x) { return std::isnan(x); });
    if (bad != numbers + count) {
      fail("run: step {} ({}{}) is the first to make a NaN, in its output {} of {}", s, step.label,
           buffer.name.empty() ? "" : fmt::format(" \"{}\"", buffer.name), w, step.writes.size());
    }
  }
}

// ---- Impl

Executable::Impl::Impl(Parts p, Variables v)
    : parts(std::move(p)), plan(parts.plans.front()), variables(std::move(v)) {
  for (const Plan& each : parts.plans) {
    kept_.emplace_back(Type{DType::u8, {static_cast<std::int64_t>(each.kept_bytes)}},
                       "compile: what a program keeps between runs");
    auto& sums = sums_.emplace_back();
    for (std::size_t s = 0; s < each.steps.size(); ++s) {
      if (each.steps[s].all_reduce) sums.push_back(s);
    }
  }
  for (const Plan& each : parts.plans) {
    const auto entry_of = [&](BufferId id) {
      return variables.store().find(each.buffers[id].name);
    };
    for (const Buffer& buffer : each.buffers) {
      if (buffer.kind != Buffer::Kind::variable) continue;
      locks_.add(variables.store().find(buffer.name)->lock, false);
    }
    for (const Step& step : each.steps) {
      blocks_signals_ |= step.primitive && onednn::corrupts_below_stack(step.detail);
      if (!step.once) continue;
      has_prologue_ = true;
      for (const BufferId id : step.reads) {
        if (each.buffers[id].kind == Buffer::Kind::variable) watched_.push_back(entry_of(id));
      }
    }
  }
  for (const VariableUpdate& update : plan.updates) {
    updated_.push_back(variables.store().find(plan.buffers[update.variable].name));
    locks_.add(updated_.back()->lock, true);
  }
  if (plan.replicas > 1) team_ = Team::of(plan.replicas);
  free_.reserve(most_free);
  free_.push_back(make_context());
  context_count = 1;
  statistics = {plan.node_count,  plan.steps.size(), plan.fused_count, 0,
                plan.arena_bytes, plan.buffer_bytes, plan.replicas,    parts.threads};
  for (const Step& step : plan.steps) {
    statistics.once += step.once;
    statistics.reorders += step.is_reorder;
    statistics.meetings += step.meets;
  }
  times.resize(plan.steps.size());
  profiling = config().debug == 3 || !config().trace_file.empty();
}

Executable::Impl::~Impl() {
  if (config().debug == 3) std::cerr << profile_table();
  if (!config().trace_file.empty()) {
    try {
      write_trace(config().trace_file);
    } catch (const Error& error) {
      std::cerr << error.what() << '\n';
    }
  }
}

Type Executable::Impl::whole(std::vector<Type> Plan::*types, std::size_t index) const {
  const Type& first = (plan.*types)[index];
  std::int64_t rows = 0;
  for (std::size_t r = 0; r < plan.replicas; ++r) rows += (plan_of(r).*types)[index].shape[0];
  return {first.dtype, first.shape.with(0, rows)};
}

Type Executable::Impl::feed_type(std::size_t index) const {
  const Type& slice = plan.feed_types[index];
  return has_rows(slice) ? whole(&Plan::feed_types, index) : slice;
}

Type Executable::Impl::result_type(std::size_t index) const {
  return has_rows(index) ? whole(&Plan::result_types, index) : plan.result_types[index];
}

void Executable::Impl::bind(Context& context, const std::vector<Tensor>& feeds,
                            std::vector<Tensor>& results) const {
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    auto* memory = const_cast<std::byte*>(feeds[i].bytes());
    for (std::size_t r = 0; r < context.instances.size(); ++r) {
      const Type& slice = plan_of(r).feed_types[i];
      context.instances[r]->bind_feed(i, memory);
      if (has_rows(slice)) memory += slice.bytes();
    }
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    std::byte* memory = results[i].bytes();
    for (std::size_t r = 0; r < context.instances.size(); ++r) {
      const bool own = r == 0 || has_rows(i);
      context.instances[r]->bind_result(i, own ? memory : context.spare[r][i].bytes());
      if (has_rows(i)) memory += plan_of(r).result_types[i].bytes();
    }
  }
}

/// out[i] = sum of in[i] over replicas, always in the same order.
void Executable::Impl::sum_replicas(Context& context, std::size_t replica, std::size_t sum,
                                    std::size_t first, std::size_t last) const {
  const auto& instances = context.instances;
  const auto step_of = [&](std::size_t r) { return sums_[r < parts.larger ? 0 : 1][sum]; };
  const auto in = [&](std::size_t r) {
    return reinterpret_cast<const float*>(instances[r]->read(step_of(r), 0));
  };
  auto* out = reinterpret_cast<float*>(instances[replica]->write(step_of(replica), 0));
  std::copy(in(0) + first, in(0) + last, out + first);
  for (std::size_t r = 1; r < instances.size(); ++r) {
    const float* more = in(r);
    for (std::size_t i = first; i < last; ++i) out[i] += more[i];
  }
}

/// sum: how many sums over replicas came before.
void Executable::Impl::execute(Context& context, std::size_t replica, std::size_t s,
                               std::size_t sum) {
  const Step& step = plan_of(replica).steps[s];
  Instance& instance = *context.instances[replica];
  const std::size_t n = step.elements, count = plan.replicas;
  const std::size_t first = step.is_cut ? n * replica / count : 0;
  const std::size_t last = step.is_cut ? n * (replica + 1) / count : n;
  if (step.all_reduce) {
    sum_replicas(context, replica, sum, first, last);
  } else if (step.is_cut) {
    instance.execute_range(s, first, last);
  } else {
    instance.execute(s);
  }
  if (parts.check_numbers) instance.check(s);
}

void Executable::Impl::run_replica(Context& context, std::size_t replica) {
  const Plan& own = plan_of(replica);
  if (parts.poison) context.instances[replica]->poison();
  std::size_t sums = 0;
  for (std::size_t s = 0; s < own.steps.size(); ++s) {
    const Step& step = own.steps[s];
    const std::size_t sum = sums;
    sums += step.all_reduce;
    if (step.once) continue;
    if (step.meets) team_->barrier();
    if (step.is_last && replica > 0) continue;
    if (!context.is_measured || replica > 0) {
      execute(context, replica, s, sum);
    } else {
      execute_measured(context, s, sum);
    }
  }
}

/// Of the first replica.
void Executable::Impl::execute_measured(Context& context, std::size_t s, std::size_t sum) {
  Time& time = times[s];
  time.start = Clock::now();
  execute(context, 0, s, sum);
  time.last = Clock::now() - time.start;
  time.total += time.last;
  time.least = std::min(time.least, time.last);
  ++time.calls;
}

void Executable::Impl::run_prologue(Context& context) {
  if (!has_prologue_) return;
  std::uint64_t versions = 0;
  for (const VariableStore::Entry* entry : watched_) versions += entry->version;
  if (prologue_of_.load(std::memory_order_acquire) == versions) return;
  // Nobody reads what is kept now: the run that changed a variable had it for itself, and those who
  // came later wait here.
  const std::lock_guard lock(prologue_);
  if (prologue_of_.load(std::memory_order_relaxed) == versions) return;
  prologue_of_.store(never, std::memory_order_relaxed);
  // Primitives were made for so many threads.
  const ThreadCount threads(parts.threads);
  for (std::size_t replica : {std::size_t{0}, parts.larger}) {  // one of each plan
    if (replica >= plan.replicas || (replica > 0 && parts.plans.size() == 1)) continue;
    if (parts.poison) context.instances[replica]->poison();
    const Plan& own = plan_of(replica);
    for (std::size_t s = 0; s < own.steps.size() && own.steps[s].once; ++s) {
      if (context.is_measured && replica == 0) {
        execute_measured(context, s, 0);
      } else {
        execute(context, replica, s, 0);
      }
    }
  }
  prologue_of_.store(versions, std::memory_order_release);
}

void Executable::Impl::run(Context& context, const std::function<void(std::size_t)>* prepare) {
  const Section section(Section::Kind::step);
  const RunMode mode(parts.threads, blocks_signals_);
  const VariableLocks::Held held(locks_);
  const CoreTurn cores(static_cast<int>(plan.replicas) * parts.threads);
  std::unique_lock<std::mutex> turn;
  context.is_measured = profiling;
  if (context.is_measured) turn = std::unique_lock(measuring);
  run_prologue(context);
  for (VariableStore::Entry* entry : updated_) ++entry->version;
  if (team_) {
    const auto work = [&](std::size_t replica) {
      if (prepare != nullptr) (*prepare)(replica);
      run_replica(context, replica);
    };
    team_->run(parts.threads, std::ref(work));  // which a std::function holds without allocating
    return;
  }
  if (prepare != nullptr) (*prepare)(0);
  const ThreadCount threads(parts.threads);
  run_replica(context, 0);
}

std::size_t Executable::Impl::feed_index(const std::string& name) const {
  const auto found = std::ranges::find(plan.feeds, name);
  if (found == plan.feeds.end()) {
    fail<ArgumentError>("run: there is no input \"{}\"; there are: {}", name,
                        fmt::join(plan.feeds, ", "));
  }
  return static_cast<std::size_t>(found - plan.feeds.begin());
}

std::string Executable::Impl::profile_table() const {
  Clock::duration all{};
  for (const Time& time : times) all += time.total;
  std::vector<std::size_t> order(times.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return times[a].total > times[b].total; });
  std::string out = fmt::format("{:>5} {:>9} {:>10} {:>10} {:>6}  {:<44} {}\n", "step", "calls",
                                "mean us", "least us", "share", "what", "by");
  for (const std::size_t s : order) {
    const Time& time = times[s];
    if (time.calls == 0) continue;
    out += fmt::format("{:>5} {:>9} {:>10.1f} {:>10.1f} {:>5.1f}%  {:<44} {}\n", s, time.calls,
                       seconds(time.total) * 1e6 / static_cast<double>(time.calls),
                       seconds(time.least) * 1e6,
                       100 * seconds(time.total) / std::max(seconds(all), 1e-12),
                       plan.steps[s].label, plan.steps[s].detail);
  }
  return out + fmt::format("{:>5} {:>9} {:>10.3f} s in all\n", "", "", seconds(all));
}

std::string Executable::Impl::peak_line() const {
  if (plan.peak_buffers.empty()) return "";
  std::vector<std::string> largest;
  for (const BufferId id : plan.peak_buffers) {
    const Buffer& buffer = plan.buffers[id];
    const std::string name = buffer.name.empty() ? "a value without a name" : buffer.name;
    largest.push_back(fmt::format("{} {}", name, buffer.bytes));
  }
  return fmt::format("most in use: {} bytes, at step {} ({}); largest there: {}\n", plan.peak_bytes,
                     plan.peak_step, plan.steps[plan.peak_step].label, fmt::join(largest, ", "));
}

void Executable::Impl::write_trace(const std::string& path) const {
  std::ofstream out(path);
  out << "[";
  const auto origin = times.empty() ? Clock::time_point{} : times[0].start;
  for (std::size_t s = 0; s < times.size(); ++s) {
    out << fmt::format(
        "{}\n{{\"name\":\"{}\",\"cat\":\"{}\",\"ph\":\"X\",\"pid\":0,\"tid\":0,\"ts\":{:.3f},"
        "\"dur\":{:.3f}}}",
        s > 0 ? "," : "", plan.steps[s].label, plan.steps[s].detail,
        seconds(times[s].start - origin) * 1e6, seconds(times[s].last) * 1e6);
  }
  out << "\n]\n";
  if (!out.flush()) fail<IoError>("trace: cannot write \"{}\"", path);
}

// ---- Executable

Executable::Executable(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Executable::Executable(Executable&&) noexcept = default;
Executable& Executable::operator=(Executable&&) noexcept = default;
Executable::~Executable() = default;

std::vector<Tensor> Executable::run(const Feeds& feeds) {
  const Plan& plan = impl_->plan;
  for (const auto& [name, tensor] : feeds) {
    if (impl_->parts.unused_inputs.contains(name)) continue;
    const Type wanted = impl_->feed_type(impl_->feed_index(name));
    if (!tensor) fail<ArgumentError>("run: input \"{}\" was given an empty tensor", name);
    if (tensor.dtype() != wanted.dtype) {
      fail<TypeError>("run: input \"{}\" is {}, but this executable was compiled for {}", name,
                      tensor.type(), wanted);
    }
    if (tensor.shape() != wanted.shape) {
      fail<ShapeError>("run: input \"{}\" is {}, but this executable was compiled for {}", name,
                       tensor.type(), wanted);
    }
  }
  std::vector<Tensor> given;  // shares the caller's memory
  for (std::size_t i = 0; i < plan.feeds.size(); ++i) {
    const auto found = feeds.find(plan.feeds[i]);
    if (found == feeds.end()) {
      fail<ArgumentError>("run: input \"{}\" ({}) was not given", plan.feeds[i],
                          impl_->feed_type(i));
    }
    given.push_back(found->second);
  }
  std::vector<Tensor> results;
  for (std::size_t i = 0; i < plan.result_types.size(); ++i) {
    results.emplace_back(impl_->result_type(i));
  }
  struct Lease {
    Impl& impl;
    std::unique_ptr<Context> context;
    ~Lease() { impl.put_back(std::move(context)); }
  } lease{*impl_, impl_->take()};
  impl_->bind(*lease.context, given, results);
  lease.context->is_own_bound = false;
  impl_->run(*lease.context);
  return results;
}

const Executable::Statistics& Executable::statistics() const noexcept { return impl_->statistics; }

std::string Executable::report() const {
  const Statistics& s = impl_->statistics;
  const std::string replicas = s.replicas == 1
                                   ? ""
                                   : fmt::format("{} replicas x {} threads, {} meetings a run\n",
                                                 s.replicas, s.threads, s.meetings);
  const std::string once =
      s.once == 0
          ? ""
          : fmt::format("{} steps run only when a variable has changed, and keep {} bytes\n",
                        s.once, impl_->plan.kept_bytes);
  return fmt::format(
             "{} nodes, {} steps, {} ops fused into others, {} reorders\n"
             "arena {} bytes, {:.0f} % of the {} bytes that its buffers take together\n",
             s.nodes, s.steps, s.fused, s.reorders, s.arena_bytes,
             s.buffer_bytes == 0
                 ? 100.0
                 : 100.0 * static_cast<double>(s.arena_bytes) / static_cast<double>(s.buffer_bytes),
             s.buffer_bytes) +
         impl_->peak_line() + once + replicas;
}

std::vector<Executable::Reorder> Executable::reorders() const {
  std::vector<Reorder> found;
  for (const Step& step : impl_->plan.steps) {
    if (!step.is_reorder) continue;
    const Buffer& moved = impl_->plan.buffers[step.writes[0]];
    found.push_back({moved.name, moved.bytes});
  }
  return found;
}

std::string Executable::to_string() const {
  std::string out;
  for (std::size_t s = 0; s < impl_->plan.steps.size(); ++s) {
    const Step& step = impl_->plan.steps[s];
    const std::string& name =
        step.writes.empty() ? std::string() : impl_->plan.buffers[step.writes[0]].name;
    out += fmt::format("{:>4} {:<40} {:<16} {}\n", s, step.label, step.detail, name);
  }
  return out;
}

void Executable::profile(bool on) {
  const Section section(Section::Kind::step);
  const std::lock_guard lock(impl_->measuring);
  if (on && !impl_->profiling) {
    std::ranges::fill(impl_->times, Impl::Time{});
  }
  impl_->profiling = on;
}

std::string Executable::profile_table() const {
  const Section section(Section::Kind::step);
  const std::lock_guard lock(impl_->measuring);
  return impl_->profile_table();
}

std::vector<Executable::StepTime> Executable::profile_steps(bool alone) const {
  const Section section(Section::Kind::step);
  const std::lock_guard lock(impl_->measuring);
  const ThreadCount threads(impl_->parts.threads);
  std::vector<StepTime> out;
  for (std::size_t s = 0; s < impl_->plan.steps.size(); ++s) {
    const Step& step = impl_->plan.steps[s];
    const Impl::Time& time = impl_->times[s];
    StepTime result{.label = step.label,
                    .detail = step.detail,
                    .seconds = seconds(time.total),
                    .least = time.calls > 0 ? seconds(time.least) : 0,
                    .calls = time.calls,
                    .is_primitive = static_cast<bool>(step.primitive)};
    for (const auto* list : {&step.reads, &step.writes}) {
      for (const BufferId id : *list) {
        result.bytes += static_cast<double>(impl_->plan.buffers[id].bytes);
      }
    }
    if (step.is_cut) result.bytes /= static_cast<double>(impl_->plan.replicas);
    if (step.primitive) {
      std::vector<std::pair<int, onednn::Desc>> arguments;
      for (const auto& [index, buffer, md] : step.arguments) arguments.emplace_back(index, md);
      result.flops = onednn::flops(step.primitive, arguments);
      if (alone) result.alone = seconds_of(step.primitive, arguments);
    }
    out.push_back(std::move(result));
  }
  return out;
}

void Executable::write_trace(const std::string& path) const {
  const Section section(Section::Kind::step);
  const std::lock_guard lock(impl_->measuring);
  impl_->write_trace(path);
}

}  // namespace weft
