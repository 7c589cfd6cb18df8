// What must hold for every op, on every sample. An op is a file in ops/ and a few lines in
// samples.cpp; all the rest of its testing is here.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <map>
#include <random>
#include <set>
#include <string>
#include <unordered_map>

#include "autodiff/check_gradients.hpp"
#include "autodiff/gradients.hpp"
#include "graph/algorithms.hpp"
#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "graph/verify.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "samples.hpp"

namespace weft {
namespace {

// Numbers are compared relative to the largest of their tensor, or to 1 if that is less.
// f32 rounds to 6e-8; sums of some hundred terms and polynomials for exp, tanh and erf cost the
// rest.
constexpr double f32_tolerance = 2e-5;
// bf16 rounds to 4e-3, kernels do and the evaluator does not; a product of two such is twice as far
// off.
constexpr double bf16_tolerance = 1e-2;

/// Where two tensors differ by more than numbers of this precision may; empty if nowhere.
std::string difference(const Tensor& got, const Array& want, DType precision) {
  if (got.shape() != want.shape) return fmt::format("shape {}, not {}", got.shape(), want.shape);
  const double coarse = precision == DType::bf16 ? bf16_tolerance : f32_tolerance;
  const double tolerance = is_floating(got.dtype()) ? coarse : 0;
  double scale = 1;
  for (const double number : want.data) {
    if (std::isfinite(number)) scale = std::max(scale, std::abs(number));
  }
  const Array numbers = to_array(got);
  for (std::size_t i = 0; i < want.data.size(); ++i) {
    const double a = numbers.data[i], b = want.data[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    if (!(std::abs(a - b) <= tolerance * scale)) {
      return fmt::format("element {} of {} is {}, not {} (largest: {})", i, got.type(), a, b,
                         scale);
    }
  }
  return "";
}

/// A sample as a graph, with its gradients and the gradients of those.
struct Built {
  enum Sources { inputs, variables };

  Graph graph;
  std::vector<Value> outputs, slopes, curvatures;
  Feeds feeds;
  Variables store;
  std::unordered_map<std::string, Array> numbers;

  /// Inputs other than the first may be variables, whose layout the first reader chooses.
  explicit Built(const Sample& sample, Sources sources = inputs) {
    std::vector<Value> values, wrt;
    for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
      const Tensor& tensor = sample.inputs[i];
      const std::string name = fmt::format("x{}", i);
      if (sources == variables && i > 0) {
        values.push_back(graph.variable(tensor.type(), name));
        store.set(name, tensor);
      } else {
        values.push_back(graph.input(tensor.type(), name));
        feeds.emplace(name, tensor);
      }
      numbers.emplace(name, to_array(tensor));
      if (tensor.dtype() == DType::f32) wrt.push_back(values.back());
    }
    outputs = sample.build(values);
    if (wrt.empty()) return;
    slopes = derivatives(outputs, wrt);
    if (!slopes.empty()) curvatures = derivatives(slopes, wrt);
  }

  std::vector<Value> all() const {
    std::vector<Value> result = outputs;
    result.insert(result.end(), slopes.begin(), slopes.end());
    result.insert(result.end(), curvatures.begin(), curvatures.end());
    return result;
  }

  std::vector<Tensor> run(const std::vector<Value>& wanted, const CompileOptions& options = {}) {
    Executable executable = compile(wanted, store, options);
    Feeds needed;  // an input that no output needs is not one of the executable
    for (const auto& [name, tensor] : feeds) {
      if (reads(wanted, name)) needed.emplace(name, tensor);
    }
    return executable.run(needed);
  }

 private:
  /// Of the sum of the outputs, each element weighted by another number.
  std::vector<Value> derivatives(const std::vector<Value>& ys, const std::vector<Value>& wrt) {
    std::vector<Value> differentiable, seeds;
    for (const Value& y : ys) {
      if (!is_floating(y.dtype())) continue;
      Array seed(y.shape());
      for (double& number : seed.data) number = static_cast<double>(random_() % 2048) / 1024 - 1;
      differentiable.push_back(y);
      seeds.push_back(graph.constant(to_tensor(seed, y.dtype())));
    }
    if (seeds.empty()) return {};
    return gradients(differentiable, wrt, seeds);
  }

  static bool reads(const std::vector<Value>& wanted, const std::string& name) {
    const Graph& of = Graph::of(wanted[0]);
    const std::vector<bool> needed = reachable(of, wanted);
    for (NodeId id = 0; id < of.size(); ++id) {
      const auto* input = of[id].op.as<Input>();
      if (needed[id] && input != nullptr && input->label == name) return true;
    }
    return false;
  }

  std::mt19937 random_{7};
};

/// Calls f for each sample; what it throws is a failure of that sample.
template <class F>
void for_each_sample(F f) {
  for (const Sample& sample : samples()) {
    INFO(sample.name());
    try {
      f(sample);
    } catch (const std::exception& error) {
      FAIL_CHECK(std::string(error.what()));
    }
  }
}

void check_equal(const std::vector<Tensor>& got, const std::vector<Array>& want,
                 const std::vector<Value>& values, DType precision) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("output ", i, ", which is ", values[i].op().name());
    CHECK(got[i].type() == values[i].type());
    CHECK(difference(got[i], want[i], precision) == "");
  }
}

}  // namespace

TEST_CASE("property: every registered op has a sample") {
  std::set<std::string, std::less<>> exercised;
  for_each_sample([&](const Sample& sample) {
    const Built built(sample);
    for (NodeId id = 0; id < built.graph.size(); ++id) {
      exercised.emplace(built.graph[id].op.name());
    }
  });
  for (const Op& op : registered_ops()) {
    CHECK_MESSAGE(exercised.contains(op.name()), "no sample in tests/samples.cpp reaches ",
                  op.name());
  }
}

TEST_CASE("property: registered ops have names of their own") {
  std::set<std::string, std::less<>> names;
  for (const Op& op : registered_ops()) {
    CHECK_MESSAGE(names.emplace(op.name()).second, op.name(), " is registered twice");
    CHECK((op.has_vjp() || op.has_decompose() || !op.traits().differentiable));
  }
}

TEST_CASE("property: building again gives equal ops, hashes and text") {
  std::map<std::string, Op> by_text;
  for_each_sample([&](const Sample& sample) {
    Built once(sample), again(sample);
    REQUIRE(once.graph.size() == again.graph.size());
    for (NodeId id = 0; id < once.graph.size(); ++id) {
      const Op &a = once.graph[id].op, &b = again.graph[id].op;
      CHECK(a == b);
      CHECK(a.hash() == b.hash());
      // Ops that differ read differently. The three sources show name or number, not their tensor.
      if (once.graph[id].inputs.empty()) continue;
      const auto [known, is_new] = by_text.emplace(std::string(a.name()) + a.attributes(), a);
      CHECK_MESSAGE(known->second == a, "two ops that differ read ", known->first);
    }
    const std::vector<Value> outputs = once.all(), outputs_again = again.all();
    const Program first{std::move(once.graph), outputs},
        second{std::move(again.graph), outputs_again};
    CHECK(to_string(first) == to_string(second));
    verify(first, "building");
  });
}

TEST_CASE("property: derivatives agree with differences, to second order") {
  double largest = 0;
  for_each_sample([&](const Sample& sample) {
    const Built built(sample);
    if (!sample.differences || built.slopes.empty()) return;
    largest = std::max(largest, check_gradients(sample.build, sample.inputs).largest_error);
  });
  MESSAGE("largest relative error: ", largest);
}

TEST_CASE("property: what runs is what the ops mean, and of the inferred type") {
  for (const Built::Sources sources : {Built::inputs, Built::variables}) {
    for_each_sample([&](const Sample& sample) {
      Built built(sample, sources);
      const std::vector<Value> outputs = built.all();
      check_equal(built.run(built.outputs), evaluate(built.outputs, built.numbers), built.outputs,
                  sample.precision);
      check_equal(built.run(outputs), evaluate(outputs, built.numbers), outputs, sample.precision);
    });
  }
}

TEST_CASE("property: a kernel and its decomposition give the same") {
  for_each_sample([&](const Sample& sample) {
    const Built built(sample);
    std::set<std::string> done;
    for (NodeId id = 0; id < built.graph.size(); ++id) {
      const Node& node = built.graph[id];
      if (!node.op.has_decompose() || !node.op.has_lower()) continue;
      if (!done.insert(fmt::format("{}{}{}", node.op.name(), node.op.attributes(), node.outputs[0]))
               .second) {
        continue;
      }
      INFO("node ", id, ", ", node.op.name());
      Graph graph;
      Feeds feeds;
      std::vector<Value> inputs;
      const std::vector<Array> numbers = evaluate(node.inputs, built.numbers);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const Type& type = node.inputs[i].type();
        inputs.push_back(graph.input(type, fmt::format("x{}", i)));
        feeds.emplace(inputs.back().name(), to_tensor(numbers[i], type.dtype));
      }
      const std::vector<Value> whole = graph.apply(node.op, inputs);
      std::vector<Value> both = whole;
      for (const Value& part : node.op.decompose(inputs)) both.push_back(part);
      REQUIRE(both.size() == 2 * whole.size());
      const std::vector<Tensor> results = compile(both).run(feeds);
      for (std::size_t i = 0; i < whole.size(); ++i) {
        CHECK(whole[i].type() == both[whole.size() + i].type());
        CHECK(difference(results[i], to_array(results[whole.size() + i]), sample.precision) == "");
      }
    }
  });
}

TEST_CASE("property: fusion changes nothing") {
  for_each_sample([&](const Sample& sample) {
    Built built(sample);
    // What often follows an op: a bias, an activation, a residual.
    std::vector<Value> outputs = built.all(), wanted;
    for (const Value& y : outputs) {
      wanted.push_back(y);
      if (y.dtype() != DType::f32) continue;
      std::vector<float> bias(y.shape().rank() > 0 ? static_cast<std::size_t>(y.shape()[-1]) : 1);
      for (std::size_t i = 0; i < bias.size(); ++i)
        bias[i] = 0.25f * static_cast<float>(i % 5) - 0.5f;
      const Value b =
          built.graph.constant(Tensor::of({static_cast<std::int64_t>(bias.size())}, bias));
      const Value h = relu(y * 0.5f + b);
      wanted.push_back(relu(y + b));
      wanted.push_back(tanh(h + y));
      wanted.push_back(h);
    }
    // With the op's own value wanted and without it, which is when it can vanish into a step.
    for (const bool only_ends : {false, true}) {
      std::vector<Value> ends;
      for (const Value& value : wanted) {
        const bool is_end = std::ranges::find(outputs, value) == outputs.end();
        if (!only_ends || is_end) ends.push_back(value);
      }
      if (ends.empty()) continue;
      const std::vector<Tensor> fused = built.run(ends), apart = built.run(ends, {.fuse = false});
      std::vector<Array> want;
      for (const Tensor& tensor : apart) want.push_back(to_array(tensor));
      check_equal(fused, want, ends, sample.precision);
    }
  });
}

TEST_CASE("property: nothing is read that was not written") {
  for_each_sample([&](const Sample& sample) {
    Built built(sample);
    const std::vector<Value> outputs = built.all();
    const std::vector<Tensor> clean = built.run(outputs);
    const std::vector<Tensor> poisoned = built.run(outputs, {.poison = true});
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      INFO("output ", i, ", which is ", outputs[i].op().name());
      CHECK(std::memcmp(clean[i].bytes(), poisoned[i].bytes(), clean[i].type().bytes()) == 0);
    }
  });
}

}  // namespace weft
