// NaN: it propagates through every op, fused or not, as the reference says (docs/architecture.md).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "autodiff/gradients.hpp"
#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "samples.hpp"

namespace weft {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// A sample as a graph, with the gradients of its outputs.
struct Subject {
  Graph graph;
  std::vector<Value> inputs, outputs, all;

  explicit Subject(const Sample& sample) {
    std::vector<Value> wrt;
    for (const Tensor& tensor : sample.inputs) {
      inputs.push_back(graph.input(tensor.type(), fmt::format("x{}", inputs.size())));
      if (tensor.dtype() == DType::f32) wrt.push_back(inputs.back());
    }
    outputs = all = sample.build(inputs);
    std::vector<Value> floating, seeds;
    for (const Value& y : outputs) {
      if (!is_floating(y.dtype())) continue;
      floating.push_back(y);
      seeds.push_back(
          graph.constant(to_tensor(to_array(Tensor::full(y.shape(), 0.5f)), y.dtype())));
    }
    if (wrt.empty() || floating.empty()) return;
    for (const Value& slope : gradients(floating, wrt, seeds)) all.push_back(slope);
  }
};

/// Compiled, and what it reads.
struct Running {
  std::vector<Value> wanted;
  Executable executable;
  std::vector<std::string> names;

  Running(const Subject& traced, std::vector<Value> values, const CompileOptions& options)
      : wanted(std::move(values)), executable(compile(wanted, {}, options)) {
    for (const Value& input : traced.inputs) {
      try {
        executable.input(input.name());
        names.push_back(input.name());
      } catch (const ArgumentError&) {
        continue;  // nobody reads it
      }
    }
  }
  std::vector<Tensor> run(const Feeds& feeds) {
    Feeds needed;
    for (const std::string& name : names) needed.emplace(name, feeds.at(name));
    return executable.run(needed);
  }
};

/// Convolutions may multiply a NaN by the zeros of the padding, and Winograd's and others' sums of
/// neighbours may carry it further than the definition does. Nothing may lose one.
bool may_spread(const Subject& subject) {
  for (NodeId id = 0; id < subject.graph.size(); ++id) {
    if (subject.graph[id].op.name().starts_with("conv2d")) return true;
  }
  return false;
}

/// The first place where one is NaN and the other is not; empty if there is none.
std::string other_places(const Tensor& got, const Array& want, bool may_spread) {
  const Array numbers = to_array(got);
  for (std::size_t i = 0; i < want.data.size(); ++i) {
    const bool is = std::isnan(numbers.data[i]), should = std::isnan(want.data[i]);
    if (is == should || (is && may_spread)) continue;
    return fmt::format("element {} of {} is {}, not {}", i, got.type(), numbers.data[i],
                       want.data[i]);
  }
  return "";
}

/// Some places of a tensor, all if they are few.
std::vector<std::size_t> places_of(const Tensor& tensor, std::mt19937& random) {
  const auto count = static_cast<std::size_t>(tensor.elements());
  std::vector<std::size_t> places;
  constexpr std::size_t most = 4;
  for (std::size_t i = 0; i < std::min(count, most); ++i) {
    places.push_back(count <= most ? i : random() % count);
  }
  return places;
}

}  // namespace

TEST_CASE("NaN: in any input of any op, it comes out where the reference says") {
  std::mt19937 random(3);
  for (const Sample& sample : samples()) {
    INFO(sample.name());
    const Subject traced(sample);
    std::vector<Running> ways;
    ways.emplace_back(traced, traced.outputs, CompileOptions{});
    ways.emplace_back(traced, traced.all, CompileOptions{});
    ways.emplace_back(traced, traced.all, CompileOptions{.fuse = false});
    for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
      if (sample.inputs[i].dtype() != DType::f32) continue;
      // Zeros around an image become the convolution's own padding, which no kernel multiplies.
      if (i > 0 && sample.name() == "conv2d: padded before") continue;
      for (const std::size_t place : places_of(sample.inputs[i], random)) {
        Feeds feeds;
        std::unordered_map<std::string, Array> numbers;
        for (std::size_t k = 0; k < sample.inputs.size(); ++k) {
          Tensor tensor = sample.inputs[k].clone();
          if (k == i) tensor.data<float>()[place] = nan;
          numbers.emplace(traced.inputs[k].name(), to_array(tensor));
          feeds.emplace(traced.inputs[k].name(), tensor);
        }
        INFO("element ", place, " of input ", i);
        const std::vector<Array> want = evaluate(traced.all, numbers);
        for (Running& way : ways) {
          const std::vector<Tensor> got = way.run(feeds);
          for (std::size_t o = 0; o < got.size(); ++o) {
            INFO("way ", &way - ways.data(), ", output ", o, ", ", way.wanted[o].op().name());
            CHECK(other_places(got[o], want[o], may_spread(traced)) == "");
          }
        }
      }
    }
  }
}

namespace {

struct Activation {
  std::string name;
  std::function<Value(Value)> apply;
};

const std::vector<Activation> activations{
    {"relu", [](Value x) { return relu(x); }},
    {"leaky_relu", [](Value x) { return leaky_relu(x); }},
    {"leaky_relu of slope 0", [](Value x) { return leaky_relu(x, 0); }},
    {"elu", [](Value x) { return elu(x); }},
    {"sigmoid", [](Value x) { return sigmoid(x); }},
    {"tanh", [](Value x) { return tanh(x); }},
    {"softplus", [](Value x) { return softplus(x); }},
    {"swish", [](Value x) { return swish(x); }},
    {"gelu", [](Value x) { return gelu(x); }},
    {"gelu_tanh", [](Value x) { return gelu_tanh(x); }},
    {"clip", [](Value x) { return clip(x, 0, 6); }},
    {"exp", [](Value x) { return exp(x); }},
    {"abs", [](Value x) { return abs(x); }},
    {"square", [](Value x) { return square(x); }},
    {"sign", [](Value x) { return sign(x); }},
    {"maximum", [](Value x) { return maximum(x, 0.0f); }},
    {"minimum", [](Value x) { return minimum(x, 6.0f); }},
    {"softmax", [](Value x) { return softmax(x); }},
    {"log_softmax", [](Value x) { return log_softmax(x); }},
    {"max-pool or max",
     [](Value x) { return x.shape().rank() == 4 ? max_pool2d(x) : max(x, {1}); }},
    {"relu, then max-pool",
     [](Value x) { return x.shape().rank() == 4 ? max_pool2d(relu(x)) : relu(x); }},
    {"a sum, then relu", [](Value x) { return relu(x + x * 0.5f); }},
};

struct Producer {
  std::string name;
  Shape x;
  std::function<Value(Graph&, Value)> apply;
};

Value filled(Graph& graph, const Shape& shape, float scale) {
  Tensor tensor(Type{DType::f32, shape});
  float k = 0;
  for (float& number : tensor.data<float>()) number = scale * std::sin(k++);
  return graph.constant(tensor);
}

const std::vector<Producer> producers{
    {"conv2d",
     {1, 6, 6, 8},
     [](Graph& g, Value x) {
       return conv2d(x, filled(g, {3, 3, 8, 16}, 0.5f)) + filled(g, {16}, 1);
     }},
    {"conv2d of one channel",
     {1, 6, 6, 1},
     [](Graph& g, Value x) {
       return conv2d(x, filled(g, {3, 3, 1, 16}, 1)) + filled(g, {16}, 1);
     }},
    {"conv2d 1x1 of odd channels",
     {2, 4, 4, 5},
     [](Graph& g, Value x) {
       return conv2d(x, filled(g, {1, 1, 5, 7}, 1)) + filled(g, {7}, 1);
     }},
    {"depthwise",
     {1, 6, 6, 16},
     [](Graph& g, Value x) {
       return conv2d(x, filled(g, {3, 3, 1, 16}, 1), {.groups = 16}) + filled(g, {16}, 1);
     }},
    {"dense",
     {4, 10},
     [](Graph& g, Value x) {
       return matmul(x, filled(g, {10, 17}, 1)) + filled(g, {17}, 1);
     }},
    {"dense of one row, without a bias",
     {1, 64},
     [](Graph& g, Value x) {
       return matmul(x, filled(g, {64, 32}, 1));
     }},
    {"matmul of batches",
     {2, 4, 8},
     [](Graph& g, Value x) {
       return matmul(x, filled(g, {2, 8, 5}, 1));
     }},
};

}  // namespace

TEST_CASE("NaN: no activation behind a convolution or a product loses one") {
  for (const Producer& producer : producers) {
    for (const Activation& activation : activations) {
      INFO(producer.name, ", then ", activation.name);
      Graph graph;
      const Value x = graph.input({DType::f32, producer.x}, "x");
      const Value y = activation.apply(producer.apply(graph, x));
      Executable fused = compile({y}), apart = compile({y}, {}, {.fuse = false});
      for (const bool with_nan : {false, true}) {
        Tensor numbers(x.type());
        float k = 0;
        for (float& number : numbers.data<float>()) number = 2 * std::cos(k++);
        if (with_nan) numbers.data<float>()[static_cast<std::size_t>(numbers.elements()) / 2] = nan;
        const Array want = evaluate({y}, {{"x", to_array(numbers)}})[0];
        for (Executable* way : {&fused, &apart}) {
          const Array got = to_array(way->run({{"x", numbers}})[0]);
          REQUIRE(got.shape == want.shape);
          for (std::size_t i = 0; i < got.data.size(); ++i) {
            if (std::isnan(want.data[i])) {
              CHECK(std::isnan(got.data[i]));
            } else if (want.data[i] == 0) {
              CHECK(got.data[i] == 0);  // what relu cuts off is not nearly, but quite nothing
            } else {
              CHECK(got.data[i] == doctest::Approx(want.data[i]).epsilon(1e-4));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("NaN: comparisons with one do not hold, and argmax finds the first") {
  Graph graph;
  const Value x = graph.input({DType::f32, {5}}, "x");
  const Value two = graph.constant(Tensor::full({5}, 2));
  const std::vector<Value> values{
      less(x, two), less_equal(x, two), greater(x, two), greater_equal(x, two),
      equal(x, x),  not_equal(x, x),    argmax(x),       max(x),
      min(x)};
  const Tensor numbers = Tensor::of<float>({5}, {1, nan, 3, nan, 2});
  const std::vector<Tensor> got = compile(values).run({{"x", numbers}});
  const std::vector<Array> want = evaluate(values, {{"x", to_array(numbers)}});
  const std::vector<std::vector<float>> expected{{1, 0, 0, 0, 0},
                                                 {1, 0, 0, 0, 1},
                                                 {0, 0, 1, 0, 0},
                                                 {0, 0, 1, 0, 1},
                                                 {1, 0, 1, 0, 1},
                                                 {0, 1, 0, 1, 0},
                                                 {1}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO(values[i].op().name());
    CHECK(to_floats(got[i]) == expected[i]);
    CHECK(to_floats(to_tensor(want[i], DType::f32)) == expected[i]);
  }
  for (std::size_t i = 7; i < 9; ++i) {
    CHECK(std::isnan(to_array(got[i]).data[0]));
    CHECK(std::isnan(want[i].data[0]));
  }
}

TEST_CASE("exp: over its whole range, within two units in the last place") {
  std::vector<float> numbers{0, -0.0f, 88.72f, 88.73f, 1000, -87, -100, -104, -1000};
  for (float x = -87; x < 88.7f; x += 0.0137f) numbers.push_back(x);
  numbers.push_back(std::numeric_limits<float>::infinity());
  numbers.push_back(-std::numeric_limits<float>::infinity());
  Graph graph;
  const auto count = static_cast<std::int64_t>(numbers.size());
  const Value x = graph.input({DType::f32, {count}}, "x");
  const auto got =
      to_floats(compile({exp(x)}).run({{"x", Tensor::of<float>({count}, numbers)}})[0]);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    INFO(numbers[i]);
    const double want = std::exp(static_cast<double>(numbers[i]));
    if (want > static_cast<double>(std::numeric_limits<float>::max())) {
      CHECK(got[i] == std::numeric_limits<float>::infinity());
    } else {
      // Below the least normal number there are fewer digits, or none.
      const double least = static_cast<double>(std::numeric_limits<float>::min());
      CHECK(std::abs(static_cast<double>(got[i]) - want) <= std::max(want * 0x1p-22, least));
    }
  }
}

}  // namespace weft
