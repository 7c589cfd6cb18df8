// A program, compiled in several ways, against the reference evaluation in double precision.
#include <cstring>
#include <exception>

#include "graph/print.hpp"
#include "tests/random/expected.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

/// The expected values of a program: its outputs, then its variables after a step.
struct Reference {
  Graph graph;
  std::size_t outputs = 0;
  std::vector<std::string> updated;
  Expected expected;

  Reference(const Program& program, const Feeds64& feeds) : expected(wanted(program), feeds) {}

 private:
  std::vector<Value> wanted(const Program& program) {
    Built built = build(program, graph, whole(program));
    outputs = built.outputs.size();
    for (const Update& update : built.updates) {
      built.outputs.push_back(update.next);
      updated.push_back(update.variable.op().as<Variable>()->label);
    }
    return std::move(built.outputs);
  }
};

Executable compiled(const Program& program, const Variables& variables, CompileOptions options) {
  options.threads = program.threads;
  options.poison = true;
  if (program.rows > 0) {
    options.replicas = program.replicas;
    const auto trace = [&](Graph& graph, const Slice& slice) {
      Built built = build(program, graph, slice);
      return Traced{std::move(built.outputs), std::move(built.updates)};
    };
    return compile_batch(program.rows, trace, variables, options);
  }
  Graph graph;
  Built built = build(program, graph, whole(program));
  options.updates = std::move(built.updates);
  return compile(built.outputs, variables, options);
}

Feeds needed(Executable& executable, const Feeds& feeds) {
  Feeds result;
  for (const auto& [name, tensor] : feeds) {
    try {
      executable.input(name);
      result.emplace(name, tensor);
    } catch (const ArgumentError&) {  // nothing that is wanted reads it
    }
  }
  return result;
}

struct Way {
  const char* name;
  CompileOptions options;
  bool gradients = true;
};

}  // namespace

std::string check(const Program& program) {
  Feeds feeds;
  Variables variables;
  Feeds64 numbers;
  const auto reset = [&] {
    for (std::size_t i = 0; i < program.sources.size(); ++i) {
      const Source& source = program.sources[i];
      if (source.kind == Source::Kind::constant) continue;
      const Tensor tensor = numbers_of(source);
      numbers[source_name(i)] = to_array(tensor);
      if (source.kind == Source::Kind::input) {
        feeds[source_name(i)] = tensor;
      } else {
        variables.set(source_name(i), tensor);
      }
    }
  };
  reset();
  Reference reference(program, numbers);
  if (!reference.expected.is_usable()) return "";
  const bool check_numbers = reference.expected.is_finite();
  // The executables share variables, whose layouts the first one chooses.
  const Way ways[] = {{"all passes", {.check_numbers = check_numbers}},
                      {"without fusion", {.fuse = false, .check_numbers = check_numbers}},
                      {"without gradients", {.check_numbers = check_numbers}, false}};
  for (const Way& way : ways) {
    Program part = program;
    if (!way.gradients) part.order = 0, part.updates = false;
    if (!way.gradients && program.order == 0) continue;
    try {
      reset();
      Executable executable = compiled(part, variables, way.options);
      const Feeds given = needed(executable, feeds);
      const std::vector<Tensor> results = executable.run(given);
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (auto text = reference.expected.difference(i, results[i]); !text.empty()) {
          return fmt::format("{}: output {} {}\n{}", way.name, i, text, executable.to_string());
        }
      }
      for (std::size_t i = 0; part.updates && i < reference.updated.size(); ++i) {
        const std::string& name = reference.updated[i];
        if (auto text = reference.expected.difference(reference.outputs + i, variables.get(name));
            !text.empty()) {
          return fmt::format("{}: variable {} after a step {}\n{}", way.name, name, text,
                             executable.to_string());
        }
      }
      reset();
      const std::vector<Tensor> again = executable.run(given);
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (std::memcmp(results[i].bytes(), again[i].bytes(), results[i].type().bytes()) != 0) {
          return fmt::format("{}: output {} differs from run to run\n{}", way.name, i,
                             executable.to_string());
        }
      }
    } catch (const std::exception& error) {
      return fmt::format("{}: threw {}", way.name, error.what());
    }
  }
  return "";
}

}  // namespace weft::random_test
