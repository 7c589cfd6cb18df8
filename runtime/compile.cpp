// The compiler's table of contents.
#include "runtime/compile.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <new>
#include <optional>
#include <set>

#include "graph/dot.hpp"
#include "graph/print.hpp"
#include "graph/rewrite.hpp"
#include "graph/verify.hpp"
#include "runtime/config.hpp"
#include "runtime/executable_impl.hpp"
#include "runtime/fork.hpp"
#include "runtime/limits.hpp"
#include "runtime/onednn.hpp"
#include "runtime/parallel.hpp"
#include "runtime/passes/passes.hpp"
#include "runtime/split.hpp"
#include "runtime/threads.hpp"
#include "runtime/variable_store.hpp"
#include "runtime/work.hpp"

namespace weft {
namespace {

struct GraphPass {
  std::string_view name;
  Program (*run)(Program);
  bool fuses = false;  // left out when CompileOptions::fuse is off
};

constexpr std::array graph_passes{
    GraphPass{"expand", expand},   GraphPass{"simplify", simplify},
    GraphPass{"fold", fold},       GraphPass{"share_sums", share_sums, true},
    GraphPass{"cse", cse},         GraphPass{"join", join, true},
    GraphPass{"prune", prune},     GraphPass{"collect_factors", collect_factors, true},
    GraphPass{"fuse", fuse, true}, GraphPass{"islands", islands, true},
};

/// Checks and shows a pass' result where the environment asks for it (runtime/config.hpp).
void show(const Program& program, std::string_view pass, std::size_t index, std::size_t compile) {
  if (config().debug >= 2 || config().verify) verify(program, pass);
  if (config().debug >= 2) {
    std::cerr << fmt::format("-- compile {}, after {}\n{}", compile, pass, to_string(program));
  }
  if (!config().dot_folder.empty()) {
    std::filesystem::create_directories(config().dot_folder);
    std::ofstream out(std::filesystem::path(config().dot_folder) /
                      fmt::format("{}-{}-{}.dot", compile, index, pass));
    write_dot(out, program);
  }
}

void check_updates(const std::vector<Update>& updates) {
  std::set<std::string> seen;
  for (const Update& update : updates) {
    const auto* variable = update.variable ? update.variable.op().as<Variable>() : nullptr;
    if (variable == nullptr) {
      fail<CompileError>("compile: the target of an update must be a variable, {} is {}",
                         to_string(update.variable),
                         update.variable ? update.variable.op().name() : "nothing");
    }
    if (!seen.insert(variable->label).second) {
      fail<CompileError>("compile: variable \"{}\" is updated twice", variable->label);
    }
    if (!update.next || update.next.type() != update.variable.type()) {
      fail<CompileError>("compile: variable \"{}\" is {}, but its update is {}", variable->label,
                         update.variable.type(),
                         update.next ? fmt::format("{}", update.next.type()) : "nothing");
    }
  }
}

std::set<std::string> input_names(const Graph& graph) {
  std::set<std::string> names;
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (const auto* input = graph[id].op.as<Input>()) names.insert(input->label);
  }
  return names;
}

/// A graph that has become a plan.
struct Planned {
  Program program;  // after the passes
  Plan plan;
  std::set<std::string> unused_inputs;
  int threads = 1;  // within its primitives
};

int threads_at_hand(const CompileOptions& options) {
  return options.most_threads > 0 ? options.most_threads : thread_count();
}

/// sibling: the plan for slices of another size, if there is one already.
Planned plan_graph(const Traced& traced, VariableStore& variables, const CompileOptions& options,
                   const Split& split, std::size_t number, const Plan* sibling = nullptr) {
  if (options.most_threads < 0) {
    fail<CompileError>("compile: there cannot be {} threads at hand", options.most_threads);
  }
  if (options.threads < 0) {
    fail<CompileError>("compile: there cannot be {} threads in a replica", options.threads);
  }
  check_updates(traced.updates);
  // The program wants the results, then the new values of variables, then the variables themselves.
  std::vector<Value> wanted = traced.outputs;
  for (const Update& update : traced.updates) wanted.push_back(update.next);
  for (const Update& update : traced.updates) wanted.push_back(update.variable);
  if (wanted.empty()) fail<CompileError>("compile: there is nothing to compute");
  for (const Value& value : wanted) {
    if (!value) fail<CompileError>("compile: an output is an empty Value");
    if (!Graph::of(wanted[0]).owns(value)) {
      fail<CompileError>("compile: the outputs belong to different graphs");
    }
  }

  std::size_t unfused = 0;  // nodes before the passes that join them
  Program program = rewrite(wanted, [](const Rewriting&) { return std::nullopt; });
  if (options.watch) options.watch("traced", program);
  for (std::size_t i = 0; i < graph_passes.size(); ++i) {
    const GraphPass& pass = graph_passes[i];
    if (pass.fuses && !options.fuse) continue;
    if (pass.run == fuse) unfused = program.graph.size();
    program = pass.run(std::move(program));
    show(program, pass.name, i, number);
    if (options.watch) options.watch(pass.name, program);
  }
  Plan plan;
  const int worth = options.threads > 0 ? split.threads : threads_worth(program, split.threads);
  const int threads = threads_to_be_had(worth);
  {
    // Primitives are made for the number of threads that will run them.
    const ThreadCount count(threads);
    plan = lower(program, traced.outputs.size(), variables, split.replicas,
                 {.winograd = options.winograd, .tune = options.tune}, sibling);
  }
  plan = plan_memory(replicate(prologue(std::move(plan))));
  plan.node_count = program.graph.size();
  plan.fused_count = options.fuse ? unfused - program.graph.size() : 0;

  std::set<std::string> unused = input_names(Graph::of(wanted[0]));
  for (const std::string& feed : plan.feeds) unused.erase(feed);
  return {std::move(program), std::move(plan), std::move(unused), threads};
}

/// Numbers compiles and tells of them, where WEFT_DEBUG asks for it.
class Telling {
 public:
  const std::size_t number = next_number();

  Executable operator()(Executable executable) const {
    if (config().debug >= 1) {
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start_;
      std::cerr << fmt::format("compile {} ({:.1f} ms, oneDNN {} on {}): {}", number, took.count(),
                               onednn::version(), onednn::isa(), executable.report());
    }
    return executable;
  }

 private:
  static std::size_t next_number() {
    static std::atomic<std::size_t> compiles{0};
    return compiles++;
  }
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

Executable assemble(std::vector<Plan> plans, std::size_t larger, std::set<std::string> unused,
                    const Variables& variables, const CompileOptions& options, int threads) {
  return Executable(std::make_shared<Executable::Impl>(
      Parts{std::move(plans), larger, threads, options.check_numbers || config().debug >= 4,
            options.poison, std::move(unused)},
      variables));
}

/// As options say, or else `replicas` of them and their part of the threads at hand.
Split split_from(const CompileOptions& options, std::size_t replicas) {
  if (options.replicas > 0) replicas = options.replicas;
  const int threads = threads_at_hand(options) / static_cast<int>(replicas);
  return {replicas, options.threads > 0 ? options.threads : std::max(threads, 1)};
}

using TraceSlice = std::function<Traced(Graph&, const Slice&)>;

/// A result may be equal in all replicas and still have rows for each sample: a table that is
/// broadcast to all of them, or the gradient of a sum. Each replica's rows belong to the batch then.
/// Rows are told from other sizes by tracing a slice that has one more.
void find_rows(Plan& plan, const Slice& slice, const TraceSlice& trace) {
  const auto in_doubt = [&](std::size_t i) {
    const Shape& shape = plan.result_types[i].shape;
    return plan.result_is_uniform[i] && shape.rank() > 0 && shape[0] % slice.rows == 0;
  };
  bool any = false;
  for (std::size_t i = 0; i < plan.result_is_uniform.size(); ++i) any = any || in_doubt(i);
  if (!any) return;
  Graph graph;
  const auto more = trace(graph, {slice.rows + 1, slice.batch + 1, slice.replicas}).outputs;
  for (std::size_t i = 0; i < plan.result_is_uniform.size(); ++i) {
    if (in_doubt(i) && more.at(i).shape()[0] != plan.result_types[i].shape[0]) {
      plan.result_is_uniform[i] = false;
    }
  }
}

/// A batch cut as `split` says; nothing if its slices cannot be brought together.
std::optional<Executable> compile_split(std::int64_t rows, const TraceSlice& trace,
                                        const Variables& variables, const CompileOptions& options,
                                        const Split& split) {
  const Telling tell;
  const auto plan_slice = [&](std::size_t replica, const Planned* sibling) {
    // All replicas have as many threads as the first.
    CompileOptions own = options;
    if (sibling != nullptr) own.threads = sibling->threads;
    const Split share{split.replicas, sibling != nullptr ? sibling->threads : split.threads};
    Graph graph;
    const Slice slice{slice_of(rows, split.replicas, replica).count, rows, split.replicas};
    const Traced traced = trace(graph, slice);
    Planned planned = plan_graph(traced, variables.store(), own, share, tell.number,
                                 sibling == nullptr ? nullptr : &sibling->plan);
    find_rows(planned.plan, slice, trace);
    return planned;
  };
  Planned first = plan_slice(0, nullptr);
  std::vector<Plan> plans;
  const auto larger = static_cast<std::size_t>(rows) % split.replicas;
  if (larger == 0) {
    plans.push_back(std::move(first.plan));
  } else {
    Planned second = plan_slice(split.replicas - 1, &first);
    if (const auto why = disagreement(first.program, first.plan, second.program, second.plan)) {
      if (config().debug >= 1) {
        std::cerr << fmt::format(
            "compile {}: slices of a batch of {} cannot be brought together: "
            "{}; it runs as one\n",
            tell.number, rows, *why);
      }
      return std::nullopt;
    }
    plans.push_back(std::move(first.plan));
    plans.push_back(std::move(second.plan));
  }
  return tell(assemble(std::move(plans), larger == 0 ? split.replicas : larger,
                       std::move(first.unused_inputs), variables, options, first.threads));
}

/// Names a program for as long as the process lives: what it computes, on how many threads.
std::string measuring_key(std::int64_t rows, const TraceSlice& trace, int threads) {
  Graph graph;
  const Traced traced = trace(graph, {rows, rows, 1});
  std::vector<Value> wanted = traced.outputs;
  for (const Update& update : traced.updates) wanted.push_back(update.next);
  const std::string text =
      to_string(rewrite(wanted, [](const Rewriting&) { return std::nullopt; }));
  return fmt::format("split {:016x}-{} rows {} threads {} {}", std::hash<std::string>()(text),
                     text.size(), rows, threads, onednn::isa());
}

/// The time of a batch cut like this, on variables of its own.
double measure(std::int64_t rows, const TraceSlice& trace, const Variables& variables,
               const CompileOptions& options, const Split& split) {
  constexpr double never = std::numeric_limits<double>::infinity();
  try {
    auto executable = compile_split(rows, trace, variables.clone(), options, split);
    return executable ? seconds_of(*executable) : never;
  } catch (const Error&) {
    return never;  // zeros may be no input for it; if it cannot be compiled, it will be said later
  }
}

Split choose_split(std::int64_t rows, const TraceSlice& trace, const Variables& variables,
                   const CompileOptions& options) {
  if (options.replicas > 0 || options.threads != 0) {
    const std::int64_t replicas = threads_at_hand(options) / std::max(options.threads, 1);
    return split_from(options,
                      static_cast<std::size_t>(std::clamp<std::int64_t>(replicas, 1, rows)));
  }
  const int threads = threads_at_hand(options);
  const auto candidates = suitable_splits(rows, threads);
  if (candidates.size() == 1) return candidates[0];
  return fastest(measuring_key(rows, trace, threads), candidates, [&](const Split& split) {
    return measure(rows, trace, variables, options, split);
  });
}

/// What oneDNN throws is an Error here, and so is memory that is short outside of tensors.
template <class Make>
Executable at_the_border(Make make) {
  const Section section(Section::Kind::compile);
  expect_room();
  try {
    return onednn::try_to("compile", make);
  } catch (const std::bad_alloc&) {
    fail<MemoryError>("compile: there is not enough memory for the program's plan");
  }
}

Executable compile_whole(const std::vector<Value>& outputs, const Variables& variables,
                         const CompileOptions& options) {
  const Telling tell;
  const Split split = split_from(options, 1);
  Planned planned =
      plan_graph({outputs, options.updates}, variables.store(), options, split, tell.number);
  std::vector<Plan> plans;
  plans.push_back(std::move(planned.plan));
  return tell(assemble(std::move(plans), split.replicas, std::move(planned.unused_inputs),
                       variables, options, planned.threads));
}

Executable compile_any(std::int64_t rows, const TraceSlice& trace, const Variables& variables,
                       const CompileOptions& options) {
  const Split split = choose_split(rows, trace, variables, options);
  if (auto executable = compile_split(rows, trace, variables, options, split)) {
    return std::move(*executable);
  }
  const Split whole{1, static_cast<int>(split.replicas) * split.threads};
  return std::move(*compile_split(rows, trace, variables, options, whole));
}

}  // namespace

Executable compile(const std::vector<Value>& outputs, const Variables& variables,
                   const CompileOptions& options) {
  return at_the_border([&] { return compile_whole(outputs, variables, options); });
}

Executable compile(const std::vector<Value>& outputs, const CompileOptions& options) {
  return compile(outputs, Variables{}, options);
}

Executable compile_batch(std::int64_t rows, const TraceSlice& trace, const Variables& variables,
                         const CompileOptions& options) {
  if (rows < 1) fail<CompileError>("compile: a batch needs at least one row, not {}", rows);
  if (options.replicas > static_cast<std::size_t>(rows)) {
    fail<CompileError>("compile: a batch of {} rows cannot be cut among {} replicas", rows,
                       options.replicas);
  }
  return at_the_border([&] { return compile_any(rows, trace, variables, options); });
}

}  // namespace weft
