// Replicas: slices side by side give what the whole batch gives.
#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>

#include "autodiff/gradients.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/team.hpp"
#include "tests/messages.hpp"

namespace weft {
namespace {

using test::message_of;

TEST_CASE("team: everyone runs, and a barrier is passed by all or none") {
  for (const std::size_t size : {1, 2, 3, 5}) {
    Team team(size);
    CHECK(team.size() == size);
    std::atomic<std::size_t> before{0};
    std::atomic<bool> good{true};
    for (int round = 0; round < 200; ++round) {
      before = 0;
      team.run(1, [&](std::size_t) {
        ++before;
        team.barrier();
        if (before != size) good = false;
        team.barrier();
        --before;
        team.barrier();
        if (before != 0) good = false;
      });
    }
    CHECK(good);
  }
}

TEST_CASE("team: a failure lets the others go and reaches the caller") {
  Team team(3);
  for (const std::size_t bad : {0, 1, 2}) {
    CHECK_THROWS_WITH_AS(team.run(1,
                                  [&](std::size_t replica) {
                                    if (replica == bad) throw std::runtime_error("no");
                                    team.barrier();
                                    team.barrier();
                                  }),
                         "no", std::runtime_error);
  }
  std::atomic<int> ran{0};
  team.run(1, [&](std::size_t) {
    team.barrier();
    ++ran;
  });
  CHECK(ran == 3);
}

/// A small convolutional network, of which a slice of `rows` images is traced.
struct Network {
  Graph graph;
  Variables variables;
  std::vector<Value> outputs;
  std::vector<Update> updates;

  Network(std::int64_t rows, std::size_t replicas, bool normalize) {
    std::uint32_t seed = 1;
    const auto parameter = [&](const std::string& name, const Shape& shape) {
      Tensor first(Type{DType::f32, shape});
      for (float& v : first.data<float>()) {
        seed = seed * 1664525u + 1013904223u;
        v = static_cast<float>(seed >> 8) / 16777216.0f - 0.5f;
      }
      variables.set(name, first);
      return graph.variable(first.type(), name);
    };
    const Value x = graph.input({DType::f32, {rows, 8, 8, 3}}, "x");
    const Value y = graph.input({DType::f32, {rows, 5}}, "y");
    const std::vector<Value> parameters{parameter("kernel", {3, 3, 3, 8}), parameter("bias", {8}),
                                        parameter("dense", {72, 5}), parameter("offset", {5})};
    Value h = conv2d(x, parameters[0]);
    if (normalize) {  // by the mean over the whole batch, which only all replicas together know
      const float all = static_cast<float>(rows * 36 * static_cast<std::int64_t>(replicas));
      h = h - all_reduce(sum(h, {0, 1, 2})) / all;
    }
    h = flatten(max_pool2d(relu(h + parameters[1])));
    const Value logits = matmul(h, parameters[2]) + parameters[3];
    const Value loss =
        mean(softmax_cross_entropy(logits, y)) * (1.0f / static_cast<float>(replicas));
    const std::vector<Value> slopes = gradients(loss, parameters);
    const Value count = parameter("count", {});
    updates.push_back({count, count + 1.0f});
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::string name = parameters[i].name();
      const Value m = parameter(name + "/m", parameters[i].shape());
      const Value next = m * 0.5f + all_reduce(slopes[i]);
      updates.push_back({m, next});
      updates.push_back({parameters[i], parameters[i] - 0.05f * next / (1.0f + count * count)});
    }
    outputs = {all_reduce(loss), logits};
  }
};

Feeds batch_of(std::int64_t rows) {
  Tensor x(Type{DType::f32, {rows, 8, 8, 3}}), y(Type{DType::f32, {rows, 5}});
  std::uint32_t seed = 7;
  for (float& v : x.data<float>()) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<float>(seed >> 8) / 16777216.0f - 0.5f;
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    y.data<float>()[static_cast<std::size_t>(i * 5 + i % 5)] = 1;
  }
  return {{"x", x}, {"y", y}};
}

TEST_CASE("replicas: slices train as the whole batch does") {
  const Feeds feeds = batch_of(24);
  for (const bool normalize : {false, true}) {
    Network whole(24, 1, normalize);
    Executable one = compile(whole.outputs, whole.variables, {.updates = whole.updates});
    std::vector<std::vector<Tensor>> wanted;
    for (int step = 0; step < 6; ++step) wanted.push_back(one.run(feeds));
    CHECK(wanted.back()[0].item<float>() < 0.9f * wanted[0][0].item<float>());
    for (const std::size_t replicas : {2, 3, 4}) {
      CAPTURE(replicas);
      CAPTURE(normalize);
      Network slice(24 / static_cast<std::int64_t>(replicas), replicas, normalize);
      Executable many =
          compile(slice.outputs, slice.variables, {.updates = slice.updates, .replicas = replicas});
      CHECK(many.statistics().replicas == replicas);
      // Before sums, before the last copies; a normalisation meets once forward and once backward.
      CHECK(many.statistics().meetings == (normalize ? 4 : 2));
      for (const auto& want : wanted) {
        const auto got = many.run(feeds);
        for (std::size_t i = 0; i < 2; ++i) {
          REQUIRE(got[i].type() == want[i].type());
          for (std::size_t k = 0; k < got[i].data<float>().size(); ++k) {
            // Sums in another order differ in their last bits, and six steps carry that along.
            CHECK(std::abs(got[i].data<float>()[k] - want[i].data<float>()[k]) < 1e-4f);
          }
        }
      }
      for (const std::string& name : slice.variables.names()) {
        CAPTURE(name);
        const auto got = to_floats(slice.variables.get(name));
        const auto want = to_floats(whole.variables.get(name));
        for (std::size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - want[k]) < 1e-4f);
      }
    }
  }
}

TEST_CASE("replicas: the same numbers to the last bit, poisoned arena or not") {
  const Feeds feeds = batch_of(24);
  std::vector<std::vector<float>> seen;
  for (const bool poison : {false, true, false}) {
    Network slice(12, 2, true);
    Executable executable = compile(slice.outputs, slice.variables,
                                    {.updates = slice.updates, .replicas = 2, .poison = poison});
    for (int step = 0; step < 5; ++step) executable.run(feeds);
    std::vector<float> all;
    for (const std::string& name : slice.variables.names()) {
      for (const float v : to_floats(slice.variables.get(name))) all.push_back(v);
    }
    seen.push_back(std::move(all));
  }
  CHECK(seen[0] == seen[1]);
  CHECK(seen[0] == seen[2]);
}

TEST_CASE("replicas: what they cannot agree on is refused") {
  Graph graph;
  Variables variables;
  variables.set("w", Tensor::of<float>({2}, {1, 2}));
  const Value w = graph.variable({DType::f32, {2}}, "w");
  const Value x = graph.input({DType::f32, {4, 2}}, "x");
  CHECK(message_of<CompileError>([&] {
          compile({x}, variables, {.updates = {{w, w - sum(x, {0})}}, .replicas = 2});
        }).starts_with("compile: the update of variable \"w\" differs between replicas"));
  CHECK(message_of<CompileError>([&] {
          compile({sum(x)}, {.replicas = 2});
        }).starts_with("compile: output 0 is a scalar that differs between replicas"));
  CHECK(message_of<ShapeError>([&] {
          compile({x}, {.replicas = 2}).run({{"x", Tensor(x.type())}});
        }) == "run: input \"x\" is f32[4,2], but this executable was compiled for f32[8,2]");
}

TEST_CASE("replicas: an error in one of them reaches the caller, and the next run works") {
  Graph graph;
  const Value table = graph.constant(Tensor::full({3, 2}, 1));
  const Value index = graph.input({DType::s32, {2}}, "index");
  Executable executable = compile({all_reduce(sum(gather(table, index)))}, {.replicas = 2});
  CHECK_THROWS_AS(executable.run({{"index", Tensor::of<std::int32_t>({4}, {0, 1, 2, 3})}}),
                  ArgumentError);
  CHECK(executable.run({{"index", Tensor::of<std::int32_t>({4}, {0, 1, 2, 2})}})[0].item<float>() ==
        8);
}

TEST_CASE("all_reduce: alone it is nothing, and its derivative is itself") {
  Graph graph;
  const Value x = graph.input({DType::f32, {2}}, "x");
  const Value y = sum(square(all_reduce(x)));
  Executable executable = compile({y, gradients(y, {x})[0]});
  const auto out = executable.run({{"x", Tensor::of<float>({2}, {1, 2})}});
  CHECK(out[0].item<float>() == 5);
  CHECK(to_floats(out[1]) == std::vector<float>{2, 4});
}

}  // namespace
}  // namespace weft
