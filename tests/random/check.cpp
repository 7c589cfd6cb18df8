// A program, compiled in several ways, against the reference evaluation in double precision.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>

#include "graph/algorithms.hpp"
#include "graph/evaluate.hpp"
#include "graph/print.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

using Feeds64 = std::unordered_map<std::string, Array>;

/// All numbers of these, in order.
std::vector<double> sorted_numbers(const std::vector<Array>& arrays) {
  std::vector<double> numbers;
  for (const Array& array : arrays) {
    numbers.insert(numbers.end(), array.data.begin(), array.data.end());
  }
  std::erase_if(numbers, [](double number) { return std::isnan(number); });
  std::ranges::sort(numbers);
  return numbers;
}

/// The reference evaluation, in which every intermediate value is off by up to `noise` times the
/// largest of its tensor: how far results then move bounds what rounding may do to them. A number
/// that an op only moves or chooses stays as it is, so that a maximum still equals one of its
/// arguments, as its gradient asks.
struct Evaluation {
  std::vector<Array> results;
  double largest = 0;  // of all intermediate values; infinite if one is not finite
};

Evaluation evaluate_with_noise(const std::vector<Value>& outputs, const Feeds64& feeds,
                               double noise, std::uint64_t seed) {
  const Graph& graph = Graph::of(outputs[0]);
  const std::vector<bool> needed = reachable(graph, outputs);
  std::vector<std::vector<Array>> arrays(graph.size());
  Random random(seed);
  Evaluation evaluation;
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (!needed[id]) continue;
    const Node& node = graph[id];
    if (node.inputs.empty()) {
      arrays[id] = evaluate({graph.value(id)}, feeds);
      continue;
    }
    std::vector<Array> inputs;
    std::vector<Type> types;
    for (const Value& input : node.inputs) {
      inputs.push_back(arrays[input.node()][input.port()]);
      types.push_back(input.type());
    }
    arrays[id] = evaluate(node.op, types, inputs);
    for (std::size_t port = 0; port < arrays[id].size(); ++port) {
      double scale = 0;
      for (const double number : arrays[id][port].data) {
        scale = std::isfinite(number) ? std::max(scale, std::abs(number))
                                      : std::numeric_limits<double>::infinity();
      }
      evaluation.largest = std::max(evaluation.largest, scale);
      if (noise == 0 || node.outputs[port].dtype != DType::f32 || !std::isfinite(scale)) continue;
      const std::vector<double> given = sorted_numbers(inputs);
      for (double& number : arrays[id][port].data) {
        if (std::ranges::binary_search(given, number)) continue;
        number += (2 * random.fraction() - 1) * noise * (scale + std::abs(number));
      }
    }
  }
  for (const Value& value : outputs) {
    evaluation.results.push_back(arrays[value.node()][value.port()]);
  }
  return evaluation;
}

/// What is wanted, and by how much each result may differ.
class Reference {
 public:
  Reference(const Program& program, const Feeds64& feeds) : feeds_(feeds) {
    const Built built = build(program, graph_, whole(program));
    wanted_ = built.outputs;
    output_count_ = built.outputs.size();
    for (const Update& update : built.updates) {
      wanted_.push_back(update.next);
      updated_.push_back(update.variable.op().as<Variable>()->label);
    }
    exact_ = evaluate_with_noise(wanted_, feeds_, 0, 0);
    loosen(4, 0x1p-20);
  }

  /// Numbers so large that f32 could not hold what follows from them prove nothing.
  bool is_usable() const {
    for (const Array& array : exact_.results) {
      for (const double number : array.data) {
        if (!(std::abs(number) <= 1e6)) return false;
      }
    }
    return exact_.largest < 1e15 || !std::isfinite(exact_.largest);
  }
  bool is_finite() const { return std::isfinite(exact_.largest); }
  std::size_t outputs() const { return output_count_; }
  const std::vector<std::string>& updated() const { return updated_; }

  /// Empty if the tensor is result i, as far as f32 can tell.
  std::string difference(std::size_t i, const Tensor& got) {
    if (std::string text = compare(i, got); text.empty()) return "";
    // Perhaps an argument was near a kink: look again, with more noise.
    loosen(24, 0x1p-17);
    return compare(i, got);
  }

 private:
  void loosen(int times, double noise) {
    tolerances_.resize(wanted_.size(), 0);
    for (int t = 0; t < times; ++t) {
      const auto moved = evaluate_with_noise(wanted_, feeds_, noise, seed_++).results;
      for (std::size_t i = 0; i < moved.size(); ++i) {
        for (std::size_t k = 0; k < moved[i].data.size(); ++k) {
          const double off = std::abs(moved[i].data[k] - exact_.results[i].data[k]);
          if (off > tolerances_[i]) tolerances_[i] = off;
        }
      }
    }
  }

  std::string compare(std::size_t i, const Tensor& got) const {
    const Array& want = exact_.results[i];
    if (got.type() != Type{wanted_[i].dtype(), want.shape}) {
      return fmt::format("is {}, not {}", got.type(), wanted_[i].type());
    }
    double scale = 1;
    for (const double number : want.data) scale = std::max(scale, std::abs(number));
    // Kernels' polynomials are off by some roundings of the largest number, whatever follows.
    const double tolerance = 16 * tolerances_[i] + 2e-5 * scale;
    const Array numbers = to_array(got);
    std::size_t wrong = 0;
    std::string first;
    for (std::size_t k = 0; k < want.data.size(); ++k) {
      if (std::abs(numbers.data[k] - want.data[k]) <= tolerance) continue;
      if (wrong++ == 0) {
        first = fmt::format("element {} is {}, not {} (tolerance {:.2g})", k, numbers.data[k],
                            want.data[k], tolerance);
      }
    }
    if (wrong == 0) return "";
    return fmt::format("({}, {}): {} of {} elements are wrong, {}", to_string(wanted_[i]),
                       wanted_[i].op().name(), wrong, want.data.size(), first);
  }

  Graph graph_;
  Feeds64 feeds_;
  std::vector<Value> wanted_;
  std::size_t output_count_ = 0;
  std::vector<std::string> updated_;
  Evaluation exact_;
  std::vector<double> tolerances_;  // by result: how far noise has moved it
  std::uint64_t seed_ = 1;
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
  if (!reference.is_usable()) return "";
  const bool check_numbers = reference.is_finite();
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
        if (auto text = reference.difference(i, results[i]); !text.empty()) {
          return fmt::format("{}: output {} {}\n{}", way.name, i, text, executable.to_string());
        }
      }
      for (std::size_t i = 0; part.updates && i < reference.updated().size(); ++i) {
        const std::string& name = reference.updated()[i];
        if (auto text = reference.difference(reference.outputs() + i, variables.get(name));
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
