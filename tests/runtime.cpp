// Executables: inputs, variables, memory, profiles, errors.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <new>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/onednn.hpp"
#include "runtime/profile.hpp"
#include "tests/messages.hpp"

namespace weft {
namespace {

using test::message_of;

std::vector<float> numbers(const Tensor& tensor) { return to_floats(tensor); }

TEST_CASE("run: inputs by name, outputs in order, the same value twice") {
  Graph graph;
  const Value x = graph.input({DType::f32, {3}}, "x");
  const Value y = x * 2.0f;
  Executable executable = compile({y, x, y});
  const auto out = executable.run({{"x", Tensor::of<float>({3}, {1, 2, 3})}});
  CHECK(numbers(out[0]) == std::vector<float>{2, 4, 6});
  CHECK(numbers(out[1]) == std::vector<float>{1, 2, 3});
  CHECK(numbers(out[2]) == std::vector<float>{2, 4, 6});
  // Results are the caller's: another run leaves them alone.
  executable.run({{"x", Tensor::of<float>({3}, {7, 7, 7})}});
  CHECK(numbers(out[0]) == std::vector<float>{2, 4, 6});
}

TEST_CASE("run: in parts, over the executable's own tensors") {
  Graph graph;
  const Value x = graph.input({DType::f32, {2}}, "x");
  Executable executable = compile({square(x)});
  for (const float v : {1.0f, 2.0f, 3.0f}) {
    executable.input("x").data<float>()[0] = v;
    executable.step();
    CHECK(executable.output(0).data<float>()[0] == v * v);
    // A whole run in between changes nothing of this.
    executable.run({{"x", Tensor::of<float>({2}, {9, 9})}});
  }
}

TEST_CASE("run: feeds that do not fit") {
  Graph graph;
  const Value x = graph.input({DType::f32, {32, 28, 28, 1}}, "x");
  const Value unused = graph.input({DType::f32, {1}}, "unused");
  Executable executable = compile({sum(x)});
  const Tensor good(x.type());
  CHECK(
      message_of<ShapeError>([&] {
        executable.run({{"x", Tensor(Type{DType::f32, {16, 28, 28, 1}})}});
      }) ==
      "run: input \"x\" is f32[16,28,28,1], but this executable was compiled for f32[32,28,28,1]");
  CHECK(message_of<TypeError>([&] {
          executable.run({{"x", Tensor(Type{DType::u8, x.shape()})}});
        }) ==
        "run: input \"x\" is u8[32,28,28,1], but this executable was compiled for f32[32,28,28,1]");
  CHECK(message_of<ArgumentError>([&] { executable.run({}); }) ==
        "run: input \"x\" (f32[32,28,28,1]) was not given");
  CHECK(message_of<ArgumentError>([&] {
          executable.run({{"x", good}, {"z", good}});
        }) == "run: there is no input \"z\"; there are: x");
  CHECK(message_of<ArgumentError>([&] {
          executable.run({{"x", Tensor()}});
        }) == "run: input \"x\" was given an empty tensor");
  CHECK_NOTHROW(executable.run({{"x", good}, {"unused", Tensor(unused.type())}}));
  CHECK(message_of<ArgumentError>([&] {
          executable.output(0);
        }).starts_with("executable: output 0 of 1"));
}

TEST_CASE("compile: what cannot be") {
  Graph graph, other;
  const Value w = graph.variable({DType::f32, {2}}, "w");
  const Value x = graph.input({DType::f32, {2}}, "x");
  Variables variables;
  CHECK(message_of<CompileError>([&] { compile({w * 2.0f}, variables); }) ==
        "compile: variable \"w\" (f32[2]) has no value; set it in Variables first");
  variables.set("w", Tensor::of<float>({3}, {1, 2, 3}));
  CHECK(message_of<CompileError>([&] { compile({w * 2.0f}, variables); }) ==
        "compile: variable \"w\" is f32[2] in the graph, but f32[3] in Variables");
  CHECK(message_of<CompileError>([&] { compile({}); }) == "compile: there is nothing to compute");
  CHECK(message_of<CompileError>([&] { compile({Value{}}); }) ==
        "compile: an output is an empty Value");
  CHECK(message_of<CompileError>([&] {
          compile({x, other.input({DType::f32, {2}}, "y")});
        }) == "compile: the outputs belong to different graphs");
  CHECK(message_of<CompileError>([&] {
          compile({x}, {.updates = {{x, x}}});
        }).starts_with("compile: the target of an update must be a variable"));
  CHECK(message_of<CompileError>([&] {
          compile({x}, {.updates = {{w, sum(x)}}});
        }) == "compile: variable \"w\" is f32[2], but its update is f32[]");
  CHECK(message_of<CompileError>([&] {
          compile({x}, {.updates = {{w, x}, {w, x}}});
        }) == "compile: variable \"w\" is updated twice");
  const Value another = graph.input({DType::f32, {3}}, "x");
  CHECK(message_of<CompileError>([&] {
          compile({x, another});
        }) == "compile: two inputs are named \"x\"");
}

TEST_CASE("variables: named, shared by copies, typed") {
  Variables variables;
  const Variables same = variables;
  variables.set("b", Tensor::of<float>({2}, {1, 2}));
  variables.set("a", Tensor::scalar(3.0f));
  CHECK(same.names() == std::vector<std::string>{"b", "a"});
  CHECK(same.contains("a"));
  CHECK(same.get("b").data<float>()[1] == 2);
  CHECK(same.type("b") == Type{DType::f32, {2}});
  CHECK(message_of<ArgumentError>([&] { same.get("c"); }) ==
        "variables: there is no \"c\"; there are: b, a");
  CHECK(message_of<ShapeError>([&] { variables.set("b", Tensor::scalar(1.0f)); }) ==
        "variables: \"b\" is f32[2], but the value given is f32[]");
  CHECK(message_of<TypeError>([&] {
          variables.set("b", Tensor::of<std::int32_t>({2}, {1, 2}));
        }) == "variables: \"b\" is f32[2], but the value given is s32[2]");
  CHECK(message_of<ArgumentError>([&] { variables.set("b", Tensor()); }) ==
        "variables: \"b\" was given an empty tensor");
}

TEST_CASE("variables: updates happen after all reads") {
  Graph graph;
  Variables variables;
  const Type type{DType::f32, {2}};
  const Value a = graph.variable(type, "a"), b = graph.variable(type, "b");
  const Value count = graph.variable({DType::f32, {}}, "count");
  variables.set("a", Tensor::of<float>({2}, {1, 2}));
  variables.set("b", Tensor::of<float>({2}, {3, 4}));
  variables.set("count", Tensor::scalar(0.0f));
  // A swap, a counter, and an output that is the old value.
  Executable executable =
      compile({a, a + b}, variables, {.updates = {{a, b}, {b, a}, {count, count + 1.0f}}});
  const auto first = executable.run(), second = executable.run();
  CHECK(numbers(first[0]) == std::vector<float>{1, 2});
  CHECK(numbers(second[0]) == std::vector<float>{3, 4});
  CHECK(numbers(second[1]) == std::vector<float>{4, 6});
  CHECK(numbers(variables.get("a")) == std::vector<float>{1, 2});
  CHECK(variables.get("count").item<float>() == 2);
}

TEST_CASE("variables: set and get speak row-major, whatever the layout inside") {
  Graph graph;
  Variables variables;
  Tensor kernel(Type{DType::f32, {3, 3, 16, 32}});
  for (std::size_t i = 0; i < kernel.data<float>().size(); ++i) {
    kernel.data<float>()[i] = static_cast<float>(i);
  }
  variables.set("kernel", kernel);
  const Value x = graph.input({DType::f32, {2, 8, 8, 16}}, "x");
  Executable executable = compile({conv2d(x, graph.variable(kernel.type(), "kernel"))}, variables);
  CHECK(numbers(variables.get("kernel")) == numbers(kernel));
  const auto zero = executable.run({{"x", Tensor::full(x.shape(), 1)}});
  variables.set("kernel", Tensor(kernel.type()));
  CHECK(numbers(executable.run({{"x", Tensor::full(x.shape(), 1)}})[0]) ==
        std::vector<float>(zero[0].data<float>().size(), 0.0f));
}

TEST_CASE("layouts: between convolutions, pooling and dense nothing is reordered") {
  Graph graph;
  Variables variables;
  const auto weight = [&](const char* name, const Shape& shape) {
    variables.set(name, Tensor::full(shape, 0.01f));
    return graph.variable({DType::f32, shape}, name);
  };
  const Value x = graph.input({DType::f32, {4, 16, 16, 16}}, "x");
  Value h =
      relu(conv2d(x, weight("k1", {3, 3, 16, 32}), {.padding = {1, 1, 1, 1}}) + weight("b1", {32}));
  h = max_pool2d(h);
  h = relu(conv2d(h, weight("k2", {3, 3, 32, 32}), {.padding = {1, 1, 1, 1}}) + weight("b2", {32}));
  h = flatten(max_pool2d(h));
  const Value y = matmul(h, weight("dense", {512, 10}));
  // Inference: at most the input is brought into the first convolution's layout.
  CHECK(compile({y}, variables).statistics().reorders <= 1);
}

TEST_CASE("layouts: no step of a convolutional network's training falls back to reference code") {
  if (onednn::isa() != "AVX2" && onednn::isa() != "AVX-512") return;  // older ones have gaps
  for (const std::int64_t channels : {1, 3, 16}) {
    CAPTURE(channels);
    Graph graph;
    Variables variables;
    std::vector<Value> parameters;
    const auto weight = [&](const std::string& name, const Shape& shape) {
      variables.set(name, Tensor::full(shape, 0.01f));
      return parameters.emplace_back(graph.variable({DType::f32, shape}, name));
    };
    const Conv2dOptions same{.padding = {1, 1, 1, 1}};
    Value h = graph.input({DType::f32, {4, 16, 16, channels}}, "x");
    h = relu(conv2d(h, weight("k1", {3, 3, channels, 32}), same) + weight("b1", {32}));
    h = max_pool2d(relu(conv2d(h, weight("k2", {3, 3, 32, 64}), same) + weight("b2", {64})));
    h = max_pool2d(relu(conv2d(h, weight("k3", {3, 3, 64, 64}), same) + weight("b3", {64})));
    h = relu(matmul(flatten(h), weight("d1", {1024, 48})) + weight("b4", {48}));
    const Value y = matmul(h, weight("d2", {48, 10}));
    std::vector<Update> updates;
    const auto slopes = gradients(sum(square(y)), parameters);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      updates.push_back({parameters[i], parameters[i] - 0.1f * slopes[i]});
    }
    const std::string steps = compile({sum(y)}, variables, {.updates = updates}).to_string();
    CAPTURE(steps);
    CHECK(steps.find("ref:") == std::string::npos);
  }
}

TEST_CASE("numbers: the first op that makes a NaN is named") {
  Graph graph;
  const Value x = graph.input({DType::f32, {2}}, "x");
  const Value y = sigmoid(log(x).named("the log")) + 1.0f;
  Executable executable = compile({y}, {.check_numbers = true});
  CHECK_NOTHROW(executable.run({{"x", Tensor::of<float>({2}, {1, 2})}}));
  CHECK(message_of<Error>([&] {
          executable.run({{"x", Tensor::of<float>({2}, {1, -1})}});
        }) == "run: step 0 (log \"the log\") is the first to make a NaN, in its output 0 of 1");
}

TEST_CASE("variables: two sets can share a tensor, whose layout either may choose") {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  Variables first, second;
  first.set("w", x);
  {
    Variables gone;
    gone.set("old", x);
    second.share("v", first, "w");
    second.share("v", first, "w");  // which it is already
    second.share("old", gone, "old");
  }
  CHECK(second.names() == std::vector<std::string>{"v", "old"});
  CHECK(to_floats(second.get("old")) == std::vector<float>{1, 2, 3, 4});
  // Each set's executable steps the same numbers.
  const auto doubled = [&](const Variables& variables, const std::string& name) {
    Graph graph;
    const Value w = graph.variable(x.type(), name);
    return compile({}, variables, {.updates = {{w, w * 2.0f}}});
  };
  Executable a = doubled(first, "w"), b = doubled(second, "v");
  a.step();
  b.step();
  a.step();
  CHECK(to_floats(first.get("w")) == std::vector<float>{8, 16, 24, 32});
  CHECK(to_floats(second.get("v")) == std::vector<float>{8, 16, 24, 32});
  CHECK(message_of<ArgumentError>([&] { second.share("old", first, "w"); }) ==
        "variables: \"old\" is there already, so it cannot share \"w\" of others");
  CHECK(message_of<ArgumentError>([&] { second.share("u", first, "x"); }) ==
        "variables: there is no \"x\"; there are: w");
}

TEST_CASE("report, steps, profile and trace") {
  Graph graph;
  const Value x = graph.input({DType::f32, {64, 64}}, "x");
  Executable executable = compile({relu(matmul(x, x))});
  // With AVX-512, oneDNN may want the second operand in blocks, which takes a reorder.
  const std::size_t reorders = executable.reorders().size();
  CHECK(reorders <= 1);
  CHECK(executable.report().starts_with(fmt::format(
      "2 nodes, {} steps, 1 ops fused into others, {} reorders", 1 + reorders, reorders)));
  CHECK(executable.to_string().find("matmul+relu") != std::string::npos);
  executable.profile(true);
  for (int i = 0; i < 3; ++i) executable.run({{"x", Tensor(x.type())}});
  const auto steps = executable.profile_steps();
  REQUIRE(steps.size() == 1 + reorders);
  CHECK(steps.back().calls == 3);
  CHECK(steps.back().is_primitive);
  CHECK(executable.profile_table().find("matmul+relu") != std::string::npos);
  const std::string path =
      std::string(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/tmp") + "/weft_trace_test.json";
  executable.write_trace(path);
  std::string text;
  std::getline(std::ifstream(path), text, '\0');
  std::remove(path.c_str());
  CHECK(text.starts_with("[\n{\"name\":\""));
  CHECK(text.find("{\"name\":\"matmul+relu\"") != std::string::npos);
  CHECK(text.ends_with("}\n]\n"));
  CHECK(message_of<IoError>([&] { executable.write_trace("/nowhere/trace.json"); }) ==
        "trace: cannot write \"/nowhere/trace.json\"");
}

TEST_CASE("profile: steps beside the machine's limits") {
  Graph graph;
  const Value x = graph.input({DType::f32, {64, 64}}, "x");
  Executable executable = compile({sum(relu(matmul(x, x.named("x") * 2.0f)))});
  const std::string table = profile(executable, 2);
  CAPTURE(table);
  CHECK(table.find("mean us   least us   alone us   limit us  step, and what runs it") !=
        std::string::npos);
  CHECK(table.find("matmul+relu") != std::string::npos);
  CHECK(table.find("all of it") != std::string::npos);
  CHECK(table.find("of 1 replicas x ") != std::string::npos);
  double flops = 0;
  for (const auto& step : executable.profile_steps(true)) {
    flops += step.flops;
    CHECK(step.bytes > 0);
    CHECK(step.least <= step.seconds);
    CHECK((step.alone > 0) == step.is_primitive);
  }
  CHECK(flops == 2.0 * 64 * 64 * 64);
  CHECK(machine_limits(1).flops > 1e8);
  CHECK(machine_limits(1).bytes > 1e8);
  CHECK(message_of<ArgumentError>([&] { profile(executable, 0); }) ==
        "profile: runs must be at least 1, not 0");
  CHECK(message_of<ArgumentError>([] { machine_limits(0); }) ==
        "machine_limits: threads must be at least 1, not 0");
}

TEST_CASE("report: what dominates the arena") {
  Graph graph;
  const Value x = graph.input({DType::f32, {100}}, "x");
  const Value big = exp(broadcast_to(reshape(x, {100, 1}), {100, 50})).named("the big one");
  Executable executable = compile({sum(softmax(big))});
  CHECK(executable.report().find("most in use: ") != std::string::npos);
  CHECK(executable.report().find("20000") != std::string::npos);
}

TEST_CASE("memory: what does not live at the same time shares its place") {
  Graph graph;
  const Value x = graph.input({DType::f32, {256, 256}}, "x");
  Value h = x;
  for (int i = 0; i < 20; ++i) h = softmax(matmul(h, x));
  const auto s = compile({h}).statistics();
  CHECK(s.buffer_bytes >= 38 * 256 * 256 * 4);  // the last one is the result's own
  CHECK(s.arena_bytes <= 3 * 256 * 256 * 4 + 65536);
}

TEST_CASE("compile: 10000 nodes and no recursion") {
  Graph graph;
  const Value x = graph.input({DType::f32, {8}}, "x");
  Value h = x;
  for (int i = 0; i < 3334; ++i) h = sin(h * 0.5f) + x;
  const Value y = sum(h);
  Executable executable = compile({y, gradients(y, {x})[0]});
  const auto out = executable.run({{"x", Tensor::full({8}, 0.1f)}});
  CHECK(std::isfinite(out[0].item<float>()));
}

}  // namespace
}  // namespace weft
