#include <algorithm>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

struct Made {
  Value value;
  bool has_rows;
};

/// A number that depends on every element, so that no gradient is the same everywhere. Values that
/// are equal in all replicas count once.
Value loss_of(const std::vector<Made>& values, const Slice& slice) {
  Value loss;
  for (const auto& [value, has_rows] : values) {
    if (value.dtype() != DType::f32) continue;
    Value term = sum(0.5f * square(value)) + 0.25f * sum(value);
    if (!has_rows && slice.replicas > 1) term = term * slice.share();
    loss = loss ? loss + term : term;
  }
  return loss;
}

}  // namespace

std::string source_name(std::size_t index) { return fmt::format("s{}", index); }

Slice whole(const Program& program) {
  const std::int64_t rows = std::max<std::int64_t>(program.rows, 1);
  return {rows, rows, 1};
}

Built build(const Program& program, Graph& graph, const Slice& slice) {
  std::vector<Made> sources, results;
  std::vector<Value> wrt;
  std::vector<bool> wrt_has_rows;
  for (std::size_t i = 0; i < program.sources.size(); ++i) {
    const Source& source = program.sources[i];
    Type type = source.type;
    if (source.has_rows) type.shape = type.shape.with(0, slice.rows);
    Value value;
    switch (source.kind) {
      case Source::Kind::input:
        value = graph.input(type, source_name(i));
        break;
      case Source::Kind::variable:
        value = graph.variable(type, source_name(i));
        break;
      case Source::Kind::constant:
        value = graph.constant(numbers_of(source));
        break;
    }
    sources.push_back({value, source.has_rows});
    if (type.dtype != DType::f32 || source.kind == Source::Kind::constant) continue;
    wrt.push_back(value);
    wrt_has_rows.push_back(source.has_rows);
  }
  const auto at = [&](ValueId id) {
    return id < first_result ? sources.at(id) : results.at(id - first_result);
  };
  for (const Call& call : program.calls) {
    std::vector<Value> inputs;
    bool has_rows = false;
    for (const ValueId id : call.inputs) {
      inputs.push_back(at(id).value);
      has_rows = has_rows || at(id).has_rows;
    }
    for (const Value& value : call.kind->build(inputs, call.numbers, slice)) {
      results.push_back({value, call.kind->output_has_rows(has_rows, program.rows > 0)});
    }
  }
  Built built;
  std::vector<Made> ends;
  for (const ValueId id : program.outputs) {
    ends.push_back(at(id));
    built.outputs.push_back(ends.back().value);
  }
  for (int order = 1; order <= program.order; ++order) {
    const Value loss = loss_of(ends, slice);
    if (!loss) break;
    ends.clear();
    const auto found = gradients(loss, wrt);
    for (std::size_t i = 0; i < wrt.size(); ++i) {
      const bool is_shared = program.rows > 0 && !wrt_has_rows[i];
      ends.push_back({is_shared ? all_reduce(found[i]) : found[i], wrt_has_rows[i]});
      built.outputs.push_back(ends.back().value);
      if (program.updates && order == 1 && wrt[i].op().as<Variable>() != nullptr) {
        built.updates.push_back({wrt[i], wrt[i] - 0.01f * ends.back().value});
      }
    }
  }
  return built;
}

}  // namespace weft::random_test
