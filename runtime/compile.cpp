// The compiler's table of contents.
#include "runtime/compile.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "graph/dot.hpp"
#include "graph/print.hpp"
#include "graph/rewrite.hpp"
#include "graph/verify.hpp"
#include "runtime/config.hpp"
#include "runtime/executable_impl.hpp"
#include "runtime/onednn.hpp"
#include "runtime/parallel.hpp"
#include "runtime/passes/passes.hpp"
#include "runtime/variable_store.hpp"

namespace weft {
namespace {

struct GraphPass {
  std::string_view name;
  Program (*run)(Program);
  bool fuses = false;  // left out when CompileOptions::fuse is off
};

constexpr std::array graph_passes{
    GraphPass{"expand", expand},
    GraphPass{"simplify", simplify},
    GraphPass{"fold", fold},
    GraphPass{"share_sums", share_sums, true},
    GraphPass{"cse", cse},
    GraphPass{"join", join, true},
    GraphPass{"prune", prune},
    GraphPass{"collect_factors", collect_factors, true},
    GraphPass{"fuse", fuse, true},
    GraphPass{"islands", islands, true},
};

/// Shows a pass' result where the environment asks for it (runtime/config.hpp).
void show(const Program& program, std::string_view pass, std::size_t index, std::size_t compile) {
  if (config().debug >= 2) {
    verify(program, pass);
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

}  // namespace

std::size_t suitable_replicas(std::int64_t batch) {
  constexpr std::int64_t least_rows = 8;
  for (std::int64_t replicas = omp_get_max_threads(); replicas > 1; --replicas) {
    if (batch % replicas == 0 && batch / replicas >= least_rows) {
      return static_cast<std::size_t>(replicas);
    }
  }
  return 1;
}

Executable compile(const std::vector<Value>& outputs, const Variables& variables,
                   const CompileOptions& options) {
  static std::atomic<std::size_t> compiles{0};
  const std::size_t number = compiles++;
  const auto start = std::chrono::steady_clock::now();
  check_updates(options.updates);

  // The program wants the results, then the new values of variables, then the variables themselves.
  std::vector<Value> wanted = outputs;
  for (const Update& update : options.updates) wanted.push_back(update.next);
  for (const Update& update : options.updates) wanted.push_back(update.variable);
  if (wanted.empty()) fail<CompileError>("compile: there is nothing to compute");
  for (const Value& value : wanted) {
    if (!value) fail<CompileError>("compile: an output is an empty Value");
    if (!Graph::of(wanted[0]).owns(value)) {
      fail<CompileError>("compile: the outputs belong to different graphs");
    }
  }

  std::size_t unfused = 0;  // nodes before the passes that join them
  Program program = rewrite(wanted, [](const Rewriting&) { return std::nullopt; });
  for (std::size_t i = 0; i < graph_passes.size(); ++i) {
    const GraphPass& pass = graph_passes[i];
    if (pass.fuses && !options.fuse) continue;
    if (pass.run == fuse) unfused = program.graph.size();
    program = pass.run(std::move(program));
    show(program, pass.name, i, number);
  }
  if (options.replicas < 1) fail<CompileError>("compile: there must be at least one replica");
  Plan plan;
  {
    // Primitives are made for the number of threads that will run them.
    const ThreadCount threads(omp_get_max_threads() / static_cast<int>(options.replicas));
    plan = lower(program, outputs.size(), variables.store(), options.replicas,
                 {.winograd = options.winograd, .tune = options.tune});
  }
  plan = plan_memory(replicate(prologue(std::move(plan))));
  plan.node_count = program.graph.size();
  plan.fused_count = options.fuse ? unfused - program.graph.size() : 0;

  std::set<std::string> unused = input_names(Graph::of(wanted[0]));
  for (const std::string& feed : plan.feeds) unused.erase(feed);
  Executable executable(std::make_unique<Executable::Impl>(
      std::move(plan), variables, options.check_numbers || config().debug >= 4, options.poison,
      std::move(unused)));
  if (config().debug >= 1) {
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    std::cerr << fmt::format("compile {} ({:.1f} ms, oneDNN {} on {}): {}", number, took.count(),
                             onednn::version(), onednn::isa(), executable.report());
  }
  return executable;
}

Executable compile(const std::vector<Value>& outputs, const CompileOptions& options) {
  return compile(outputs, Variables{}, options);
}

}  // namespace weft
