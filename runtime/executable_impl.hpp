// What is behind an Executable. Included by .cpp files only.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/executable.hpp"
#include "runtime/plan.hpp"
#include "runtime/team.hpp"
#include "runtime/variable_lock.hpp"
#include "runtime/variable_store.hpp"
#include "runtime/variables.hpp"

namespace weft {

/// One replica's instance of a plan: an arena, and every step's arguments with addresses filled in.
class Instance {
 public:
  /// kept: the memory of buffers that steps fill once, which all instances share.
  Instance(const Plan& plan, const Variables& variables, Tensor kept);

  void bind_feed(std::size_t index, std::byte* memory) { bind(feed_buffers_[index], memory); }
  void bind_result(std::size_t index, std::byte* memory) { bind(result_buffers_[index], memory); }
  void poison();

  void execute(std::size_t step);
  /// A loop over elements, or a part of it.
  void execute_range(std::size_t step, std::size_t first, std::size_t last);
  /// Throws Error if the step has made a NaN.
  void check(std::size_t step) const;

  const std::byte* read(std::size_t step, std::size_t i) const { return bound_[step].reads[i]; }
  std::byte* write(std::size_t step, std::size_t i) { return bound_[step].writes[i]; }

 private:
  struct Bound {  // a step with addresses
    std::vector<dnnl::memory> memories;
    std::vector<dnnl_exec_arg_t> arguments;
    std::vector<const std::byte*> reads;
    std::vector<std::byte*> writes;
  };
  struct Place {  // where an address is kept
    enum class In : std::uint8_t { reads, writes, memories } in;
    std::size_t step, index;
  };
  void bind(BufferId root, std::byte* memory);
  std::byte* own_address(const Buffer& buffer, const Variables& variables);

  const Plan& plan_;
  Tensor arena_, kept_;
  dnnl::stream stream_;
  std::vector<Bound> bound_;
  std::vector<BufferId> feed_buffers_, result_buffers_;
  std::vector<std::byte*> addresses_;       // by buffer, of those that do not share
  std::vector<std::vector<Place>> places_;  // likewise: of the buffer and those that share it
};

/// What an Executable is made of, besides its variables.
struct Parts {
  /// Of replicas with the larger slices, and of those with the smaller, if there are such.
  std::vector<Plan> plans;
  std::size_t larger = 1;  ///< how many replicas run the first plan
  int threads = 1;         ///< within each replica
  bool check_numbers = false, poison = false;
  std::set<std::string> unused_inputs;  ///< of the graph, but nothing wanted needs them
};

/// What one run needs for itself.
struct Executable::Context {
  std::vector<std::unique_ptr<Instance>> instances;  // one a replica
  /// Where a replica leaves results that all have, by replica and result; the first's are given
  /// back.
  std::vector<std::vector<Tensor>> spare;
  std::vector<Tensor> inputs, outputs;  // of a session; made when first asked for
  bool is_own_bound = false;            // are they bound now?
  bool is_measured = false;             // is this run?
};

struct Executable::Impl {
  Impl(Parts parts, Variables variables);
  ~Impl();

  /// The type of what the caller gives or gets: of all replicas' slices together.
  Type feed_type(std::size_t index) const;
  Type result_type(std::size_t index) const;
  /// A context that nobody else has, and the way back.
  std::unique_ptr<Context> take();
  void put_back(std::unique_ptr<Context> context) noexcept;
  void bind(Context& context, const std::vector<Tensor>& feeds, std::vector<Tensor>& results) const;
  /// What a session reads and writes.
  void make_own_tensors(Context& context) const;
  Tensor& own_input(Context& context, std::size_t index) const;
  const Tensor& own_output(const Context& context, std::size_t index) const;
  void step(Context& context, const std::function<void(std::size_t)>* prepare);
  /// prepare: nullptr, or called first in each replica.
  void run(Context& context, const std::function<void(std::size_t)>* prepare = nullptr);
  /// The executable's own session.
  Context& own();
  void step_own(const std::function<void(std::size_t)>* prepare);
  std::string profile_table() const;
  std::string peak_line() const;  ///< of report()
  void write_trace(const std::string& path) const;
  std::size_t feed_index(const std::string& name) const;

  const Parts parts;
  const Plan& plan;     // of the first replica
  Variables variables;  // keeps the store alive
  Statistics statistics;

  std::atomic<std::size_t> context_count{0};

  // Profile, of the first replica. Runs that are measured take turns.
  std::atomic<bool> profiling{false};
  mutable std::mutex measuring;
  using Clock = std::chrono::steady_clock;
  struct Time {
    Clock::duration total{}, last{}, least = Clock::duration::max();
    Clock::time_point start{};
    std::size_t calls = 0;
  };
  std::vector<Time> times;

 private:
  const Plan& plan_of(std::size_t replica) const {
    return replica < parts.larger ? parts.plans.front() : parts.plans.back();
  }
  bool has_rows(const Type& feed) const { return plan.replicas > 1 && feed.shape.rank() > 0; }
  bool has_rows(std::size_t result) const {
    return plan.replicas > 1 && !plan.result_is_uniform[result];
  }
  /// The slices of all replicas together.
  Type whole(std::vector<Type> Plan::*types, std::size_t index) const;
  std::unique_ptr<Context> make_context() const;
  /// Runs the steps that hang on variables alone, if one of those has changed.
  void run_prologue(Context& context);
  void run_replica(Context& context, std::size_t replica);
  void execute(Context& context, std::size_t replica, std::size_t step, std::size_t sum);
  void execute_measured(Context& context, std::size_t step, std::size_t sum);
  void sum_replicas(Context& context, std::size_t replica, std::size_t sum, std::size_t first,
                    std::size_t last) const;

  VariableLocks locks_;  // of the variables it reads and updates
  std::vector<VariableStore::Entry*> updated_;
  // The prologue: which variables it reads (their versions only grow, so that their sum says
  // whether one has changed), and of which versions it has made what is kept. Those who run it
  // take turns; a run that finds it done needs no lock.
  static constexpr std::uint64_t never = UINT64_MAX;
  std::vector<const VariableStore::Entry*> watched_;
  bool has_prologue_ = false;
  bool blocks_signals_ = false;  // while it runs: onednn::corrupts_below_stack
  std::mutex prologue_;
  std::atomic<std::uint64_t> prologue_of_{never};

  std::vector<Tensor> kept_;                    // by plan: what the prologue makes
  std::vector<std::vector<std::size_t>> sums_;  // by plan, its steps that are sums
  std::shared_ptr<Team> team_;                  // if there are several replicas
  static constexpr std::size_t most_free = 32;  // more runs at once are rare, and pay for it
  std::mutex pool_;
  std::vector<std::unique_ptr<Context>> free_;
  std::once_flag own_made_;
  std::unique_ptr<Context> own_;
  std::atomic<bool> is_stepping_{false};
};

}  // namespace weft
