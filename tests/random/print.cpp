#include "graph/print.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

std::string type_text(const Source& source) {
  std::string sizes;
  for (std::size_t i = 0; i < source.type.shape.rank(); ++i) {
    sizes += i > 0 ? ", " : "";
    sizes +=
        i == 0 && source.has_rows ? "slice.rows" : fmt::to_string(source.type.shape.begin()[i]);
  }
  return fmt::format("{{DType::{}, {{{}}}}}", name_of(source.type.dtype), sizes);
}

}  // namespace

std::string to_cpp(const Program& program) {
  std::string out = fmt::format(
      "// rows {}, replicas {}, threads {}, gradients of order {}{}\n"
      "const auto trace = [&](Graph& graph, const Slice& slice) {{\n",
      program.rows, program.replicas, program.threads, program.order,
      program.updates ? ", with updates" : "");
  for (std::size_t i = 0; i < program.sources.size(); ++i) {
    const Source& source = program.sources[i];
    const std::string name = source_name(i);
    if (source.kind == Source::Kind::constant) {
      out += fmt::format("  const Value {} = graph.constant({});  // {}, seed {}\n", name,
                         "numbers", source.type, source.seed);
    } else {
      out +=
          fmt::format("  const Value {} = graph.{}({}, \"{}\");  // seed {}{}\n", name,
                      source.kind == Source::Kind::input ? "input" : "variable", type_text(source),
                      name, source.seed, source.range == Range::positive ? ", positive" : "");
    }
  }
  std::vector<std::string> results;
  const auto at = [&](ValueId id) {
    return id < first_result ? source_name(id) : fmt::format("v{}", id - first_result);
  };
  for (const Call& call : program.calls) {
    std::vector<std::string> inputs;
    for (const ValueId id : call.inputs) inputs.push_back(at(id));
    for (const std::string& text : call.kind->text(inputs, call.numbers)) {
      out += fmt::format("  const Value v{} = {};\n", results.size(), text);
      results.push_back(text);
    }
  }
  std::string outputs;
  for (const ValueId id : program.outputs) outputs += (outputs.empty() ? "" : ", ") + at(id);
  return out + fmt::format("  return Traced{{{{{}}}, {{}}}};\n}};\n", outputs);
}

}  // namespace weft::random_test
