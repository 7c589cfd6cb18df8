#include "runtime/executable.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <numeric>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "runtime/config.hpp"
#include "runtime/executable_impl.hpp"
#include "runtime/onednn.hpp"
#include "runtime/variable_store.hpp"

namespace weft {
namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

Executable::Impl::Impl(Plan p, Variables v, bool check, bool poisoned, std::set<std::string> unused)
    : plan(std::make_shared<const Plan>(std::move(p))),
      variables(std::move(v)),
      check_numbers(check),
      poison(poisoned),
      unused_inputs(std::move(unused)),
      arena_(Type{DType::u8, {static_cast<std::int64_t>(plan->arena_bytes)}}),
      stream_(onednn::engine()) {
  const std::size_t step_count = plan->steps.size(), buffer_count = plan->buffers.size();
  statistics = {plan->node_count,  step_count,        plan->fused_count, 0,
                plan->arena_bytes, plan->buffer_bytes};
  times.resize(step_count);
  profiling = config().debug == 3 || !config().trace_file.empty();

  std::vector<BufferId> roots(buffer_count);
  for (BufferId id = 0; id < buffer_count; ++id) {
    roots[id] = id;
    while (plan->buffers[roots[id]].shares) roots[id] = *plan->buffers[roots[id]].shares;
  }
  places_.resize(buffer_count);
  for (std::size_t s = 0; s < step_count; ++s) {
    const Step& step = plan->steps[s];
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
    statistics.reorders += step.is_reorder;
    bound_.push_back(std::move(bound));
  }

  feed_buffers_.resize(plan->feeds.size());
  result_buffers_.resize(plan->result_types.size());
  addresses_.resize(buffer_count);
  for (BufferId id = 0; id < buffer_count; ++id) {
    const Buffer& buffer = plan->buffers[id];
    if (buffer.kind == Buffer::Kind::feed) feed_buffers_[buffer.index] = id;
    if (buffer.kind == Buffer::Kind::result) result_buffers_[buffer.index] = id;
    if (roots[id] == id) {
      if (std::byte* address = own_address(buffer); address != nullptr) bind(id, address);
    }
  }
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

/// Feeds and results have none of their own: they are bound when the caller brings them.
std::byte* Executable::Impl::own_address(const Buffer& buffer) {
  switch (buffer.kind) {
    case Buffer::Kind::arena:
      return arena_.bytes() + buffer.offset;
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

void Executable::Impl::bind(BufferId root, std::byte* memory) {
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

void Executable::Impl::bind_feed(std::size_t index, std::byte* memory) {
  bind(feed_buffers_[index], memory);
}

void Executable::Impl::bind_result(std::size_t index, std::byte* memory) {
  bind(result_buffers_[index], memory);
}

std::size_t Executable::Impl::feed_index(const std::string& name) const {
  const auto found = std::ranges::find(plan->feeds, name);
  if (found == plan->feeds.end()) {
    fail<ArgumentError>("run: there is no input \"{}\"; there are: {}", name,
                        fmt::join(plan->feeds, ", "));
  }
  return static_cast<std::size_t>(found - plan->feeds.begin());
}

void Executable::Impl::execute(std::size_t s) {
  const Step& step = plan->steps[s];
  Bound& bound = bound_[s];
  if (step.kernel) {
    step.kernel(bound.reads, bound.writes);
    return;
  }
  const auto status =
      dnnl_primitive_execute(step.primitive.get(), stream_.get(),
                             static_cast<int>(bound.arguments.size()), bound.arguments.data());
  if (status != dnnl_success) {
    fail("run: {} ({}) failed in oneDNN with status {}", step.label, step.detail,
         static_cast<int>(status));
  }
}

void Executable::Impl::check(std::size_t s) const {
  const Step& step = plan->steps[s];
  for (std::size_t w = 0; w < step.writes.size(); ++w) {
    const Buffer& buffer = plan->buffers[step.writes[w]];
    if (onednn::data_type(buffer.layout.md) != dnnl::memory::data_type::f32) continue;
    const auto* numbers = reinterpret_cast<const float*>(bound_[s].writes[w]);
    const std::size_t count = buffer.layout.md.get_size() / sizeof(float);
    const auto* bad = std::find_if(numbers, numbers + count, [](float x) { return std::isnan(x); });
    if (bad != numbers + count) {
      fail("run: step {} ({}{}) is the first to make a NaN, in its output {} of {}", s, step.label,
           buffer.name.empty() ? "" : fmt::format(" \"{}\"", buffer.name), w, step.writes.size());
    }
  }
}

void Executable::Impl::run() {
  if (poison) {
    const std::span<float> numbers(reinterpret_cast<float*>(arena_.bytes()),
                                   plan->arena_bytes / sizeof(float));
    std::ranges::fill(numbers, std::nanf(""));
  }
  for (std::size_t s = 0; s < plan->steps.size(); ++s) {
    if (profiling) {
      Time& time = times[s];
      time.start = Clock::now();
      execute(s);
      time.last = Clock::now() - time.start;
      time.total += time.last;
      ++time.calls;
    } else {
      execute(s);
    }
    if (check_numbers) check(s);
  }
}

std::string Executable::Impl::profile_table() const {
  Clock::duration all{};
  for (const Time& time : times) all += time.total;
  std::vector<std::size_t> order(times.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return times[a].total > times[b].total; });
  std::string out = fmt::format("{:>5} {:>9} {:>10} {:>6}  {:<44} {}\n", "step", "calls", "mean us",
                                "share", "what", "by");
  for (const std::size_t s : order) {
    const Time& time = times[s];
    if (time.calls == 0) continue;
    out += fmt::format("{:>5} {:>9} {:>10.1f} {:>5.1f}%  {:<44} {}\n", s, time.calls,
                       seconds(time.total) * 1e6 / static_cast<double>(time.calls),
                       100 * seconds(time.total) / std::max(seconds(all), 1e-12),
                       plan->steps[s].label, plan->steps[s].detail);
  }
  return out + fmt::format("{:>5} {:>9} {:>10.3f} s in all\n", "", "", seconds(all));
}

void Executable::Impl::write_trace(const std::string& path) const {
  std::ofstream out(path);
  out << "[";
  const auto origin = times.empty() ? Clock::time_point{} : times[0].start;
  for (std::size_t s = 0; s < times.size(); ++s) {
    out << fmt::format(
        "{}\n{{\"name\":\"{}\",\"cat\":\"{}\",\"ph\":\"X\",\"pid\":0,\"tid\":0,\"ts\":{:.3f},"
        "\"dur\":{:.3f}}}",
        s > 0 ? "," : "", plan->steps[s].label, plan->steps[s].detail,
        seconds(times[s].start - origin) * 1e6, seconds(times[s].last) * 1e6);
  }
  out << "\n]\n";
  if (!out.flush()) fail<IoError>("trace: cannot write \"{}\"", path);
}

// ---- Executable

Executable::Executable(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Executable::Executable(Executable&&) noexcept = default;
Executable& Executable::operator=(Executable&&) noexcept = default;
Executable::~Executable() = default;

std::vector<Tensor> Executable::run(const Feeds& feeds) {
  const Plan& plan = *impl_->plan;
  for (const auto& [name, tensor] : feeds) {
    if (impl_->unused_inputs.contains(name)) continue;
    const Type& wanted = plan.feed_types[impl_->feed_index(name)];
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
  std::vector<Tensor> held;  // shares the callers' memory for the time of the run
  for (std::size_t i = 0; i < plan.feeds.size(); ++i) {
    const auto found = feeds.find(plan.feeds[i]);
    if (found == feeds.end()) {
      fail<ArgumentError>("run: input \"{}\" ({}) was not given", plan.feeds[i],
                          plan.feed_types[i]);
    }
    held.push_back(found->second);
    impl_->bind_feed(i, held.back().bytes());
  }
  std::vector<Tensor> results;
  for (std::size_t i = 0; i < plan.result_types.size(); ++i) {
    results.emplace_back(plan.result_types[i]);
    impl_->bind_result(i, results.back().bytes());
  }
  impl_->stepping = false;
  impl_->run();
  return results;
}

Tensor& Executable::input(const std::string& name) {
  if (impl_->inputs.empty()) {
    for (const Type& type : impl_->plan->feed_types) impl_->inputs.emplace_back(type);
  }
  return impl_->inputs[impl_->feed_index(name)];
}

void Executable::step() {
  if (!impl_->stepping) {
    const Plan& plan = *impl_->plan;
    if (impl_->inputs.empty()) {
      for (const Type& type : plan.feed_types) impl_->inputs.emplace_back(type);
    }
    if (impl_->outputs.empty()) {
      for (const Type& type : plan.result_types) impl_->outputs.emplace_back(type);
    }
    for (std::size_t i = 0; i < impl_->inputs.size(); ++i) {
      impl_->bind_feed(i, impl_->inputs[i].bytes());
    }
    for (std::size_t i = 0; i < impl_->outputs.size(); ++i) {
      impl_->bind_result(i, impl_->outputs[i].bytes());
    }
    impl_->stepping = true;
  }
  impl_->run();
}

const Tensor& Executable::output(std::size_t index) const {
  if (index >= impl_->outputs.size()) {
    fail<ArgumentError>("executable: output {} of {}; or step() has not run yet", index,
                        impl_->plan->result_types.size());
  }
  return impl_->outputs[index];
}

const Executable::Statistics& Executable::statistics() const noexcept { return impl_->statistics; }

std::string Executable::report() const {
  const Statistics& s = impl_->statistics;
  return fmt::format(
      "{} nodes, {} steps, {} ops fused into others, {} reorders\n"
      "arena {} bytes, {:.0f} % of the {} bytes that its buffers take together\n",
      s.nodes, s.steps, s.fused, s.reorders, s.arena_bytes,
      s.buffer_bytes == 0
          ? 100.0
          : 100.0 * static_cast<double>(s.arena_bytes) / static_cast<double>(s.buffer_bytes),
      s.buffer_bytes);
}

std::vector<Executable::Reorder> Executable::reorders() const {
  std::vector<Reorder> found;
  for (const Step& step : impl_->plan->steps) {
    if (!step.is_reorder) continue;
    const Buffer& moved = impl_->plan->buffers[step.writes[0]];
    found.push_back({moved.name, moved.bytes});
  }
  return found;
}

std::string Executable::to_string() const {
  std::string out;
  for (std::size_t s = 0; s < impl_->plan->steps.size(); ++s) {
    const Step& step = impl_->plan->steps[s];
    const std::string& name =
        step.writes.empty() ? std::string() : impl_->plan->buffers[step.writes[0]].name;
    out += fmt::format("{:>4} {:<40} {:<16} {}\n", s, step.label, step.detail, name);
  }
  return out;
}

void Executable::profile(bool on) {
  if (on && !impl_->profiling) {
    std::ranges::fill(impl_->times, Impl::Time{});
  }
  impl_->profiling = on;
}

std::string Executable::profile_table() const { return impl_->profile_table(); }

std::vector<Executable::StepTime> Executable::profile_steps() const {
  std::vector<StepTime> out;
  for (std::size_t s = 0; s < impl_->plan->steps.size(); ++s) {
    const Step& step = impl_->plan->steps[s];
    out.push_back({step.label, step.detail, seconds(impl_->times[s].total), impl_->times[s].calls,
                   !step.kernel});
  }
  return out;
}

void Executable::write_trace(const std::string& path) const { impl_->write_trace(path); }

}  // namespace weft
