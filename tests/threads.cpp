// Executables and variables that several threads use at the same time. weft_threads_tests has this
// file, for ThreadSanitizer (tests/CMakeLists.txt).
#include "tests/threads.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "graph/print.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/core_turn.hpp"
#include "tests/messages.hpp"

namespace weft {
namespace {

using test::in_threads;
using test::message_of;

Tensor waves(const Shape& shape, int seed) {
  Tensor tensor(Type{DType::f32, shape});
  int i = 0;
  for (float& v : tensor.data<float>())
    v = std::sin(static_cast<float>(i++) * 0.7f + 1.3f * static_cast<float>(seed));
  return tensor;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.type() == b.type() && std::equal(a.bytes(), a.bytes() + a.type().bytes(), b.bytes());
}

/// A small network: what it makes of [rows,12] is [rows,5].
Executable network(std::int64_t rows, Variables& variables, std::size_t replicas = 1) {
  const auto weight = [&](Graph& graph, const std::string& name, const Shape& shape, int seed) {
    if (!variables.contains(name)) variables.set(name, waves(shape, seed));
    return graph.variable({DType::f32, shape}, name);
  };
  return compile_batch(
      rows,
      [&](Graph& graph, const Slice& slice) {
        const Value x = graph.input({DType::f32, {slice.rows, 12}}, "x");
        const Value hidden = relu(matmul(x, weight(graph, "a", {12, 32}, 1)));
        return Traced{{softmax(matmul(hidden, exp(weight(graph, "b", {32, 5}, 2))))}, {}};
      },
      variables, {.replicas = replicas});
}

TEST_CASE("threads: each run of one executable has memory of its own") {
  constexpr int count = 4, runs = 200;
  for (const std::size_t replicas : {1, 2}) {
    Variables variables;
    Executable executable = network(6, variables, replicas);
    std::vector<Tensor> x, right;
    for (int i = 0; i < count; ++i) {
      x.push_back(waves({6, 12}, i));
      right.push_back(executable.run({{"x", x.back()}})[0]);
    }
    std::atomic<int> wrong{0};
    in_threads(count, [&](int i) {
      const auto at = static_cast<std::size_t>(i);
      for (int run = 0; run < runs; ++run) {
        if (!same_bits(executable.run({{"x", x[at]}})[0], right[at])) ++wrong;
      }
    });
    CHECK(wrong == 0);
    CHECK(executable.contexts() >= 1);
    CHECK(executable.contexts() <= count);
  }
}

TEST_CASE("threads: a session has inputs and outputs of its own") {
  Variables variables;
  Executable executable = network(3, variables);
  CHECK(executable.input_names() == std::vector<std::string>{"x"});
  Executable::Session first = executable.session(), second = executable.session();
  const Tensor x = waves({3, 12}, 1), z = waves({3, 12}, 2);
  std::ranges::copy(x.data<float>(), first.input("x").data<float>().begin());
  std::ranges::copy(z.data<float>(), second.input(0).data<float>().begin());
  first.step();
  second.step();
  CHECK(same_bits(first.output(0), executable.run({{"x", x}})[0]));
  CHECK(same_bits(second.output(0), executable.run({{"x", z}})[0]));
  // The executable's own is another one again.
  std::ranges::fill(executable.input("x").data<float>(), 0.0f);
  executable.step();
  CHECK(same_bits(first.output(0), executable.run({{"x", x}})[0]));
  CHECK(message_of<ArgumentError>([&] { first.input("y"); }) ==
        "run: there is no input \"y\"; there are: x");
  CHECK(message_of<ArgumentError>([&] { first.input(1); }) == "executable: input 1 of 1");
  CHECK(
      message_of<ArgumentError>([&] { first.output(1); }).starts_with("executable: output 1 of 1"));

  // A session keeps what it needs, and moves.
  Executable::Session moved = std::move(first);
  executable = network(2, variables);
  moved.step();
  CHECK(moved.output(0).shape() == Shape{3, 5});
}

TEST_CASE("threads: contexts are taken again, and no more of them are kept than ran at once") {
  Variables variables;
  Executable executable = network(2, variables);
  for (int i = 0; i < 10; ++i) executable.run({{"x", waves({2, 12}, i)}});
  CHECK(executable.contexts() == 1);
  {
    const auto a = executable.session(), b = executable.session(), c = executable.session();
    CHECK(executable.contexts() == 3);
  }
  executable.run({{"x", waves({2, 12}, 1)}});
  CHECK(executable.contexts() == 3);
  std::vector<Executable::Session> many;
  for (int i = 0; i < 40; ++i) many.push_back(executable.session());
  CHECK(executable.contexts() == 40);
  many.clear();
  CHECK(executable.contexts() == 32);
}

TEST_CASE("threads: the executable's own step is refused while it is at work") {
  Variables variables;
  Executable executable = network(2, variables);
  std::string message;
  executable.step([&](std::size_t) {
    std::thread([&] { message = message_of<BusyError>([&] { executable.step(); }); }).join();
  });
  CHECK(message ==
        "executable: its step() is at work in another thread; each thread needs a session() of its "
        "own");
  executable.step();  // and goes on afterwards
}

TEST_CASE("threads: two executables that update one variable lose no update") {
  constexpr std::int64_t size = 10000;
  constexpr int steps = 500;
  for (const std::size_t replicas : {1, 2}) {
    Variables variables;
    variables.set("v", Tensor(Type{DType::f32, {size}}));
    const auto adder = [&](float number) {
      Graph graph;
      const Value v = graph.variable({DType::f32, {size}}, "v");
      return compile({}, variables, {.updates = {{v, v + number}}, .replicas = replicas});
    };
    std::vector<Executable> adders;
    for (const float number : {1.0f, 2.0f, 4.0f}) adders.push_back(adder(number));
    in_threads(3, [&](int i) {
      for (int step = 0; step < steps; ++step) adders[static_cast<std::size_t>(i)].step();
    });
    const Tensor sum = variables.get("v");
    CHECK(std::ranges::all_of(sum.data<float>(), [](float v) { return v == 7.0f * steps; }));
  }
}

TEST_CASE("threads: nobody sees half of an update") {
  constexpr std::int64_t size = 20000;
  Variables variables;
  for (const char* name : {"v", "w"}) variables.set(name, Tensor(Type{DType::f32, {size}}));
  Graph graph;
  const Value v = graph.variable({DType::f32, {size}}, "v");
  const Value w = graph.variable({DType::f32, {size}}, "w");
  Executable update = compile({}, variables, {.updates = {{v, v + 1.0f}, {w, w + 1.0f}}});
  Executable read = compile({v + 0.0f, w + 0.0f}, variables);
  std::atomic<int> torn{0};
  in_threads(4, [&](int i) {
    for (int step = 0; step < 200; ++step) {
      if (i == 0) {
        update.step();
      } else if (i == 1) {
        const float first = variables.get("v").data<float>()[0];
        variables.set_all({{"v", Tensor::full({size}, first)}, {"w", Tensor::full({size}, first)}});
      } else {
        const auto seen = read.run();
        const float first = seen[0].data<float>()[0];
        for (const Tensor& tensor : seen) {
          if (std::ranges::any_of(tensor.data<float>(), [&](float x) { return x != first; })) {
            ++torn;
          }
        }
      }
    }
  });
  CHECK(torn == 0);
}

TEST_CASE("threads: what is kept of weights follows them, and is not changed under a run") {
  Variables variables;
  Executable executable = network(4, variables);
  REQUIRE(executable.statistics().once > 0);
  const Tensor x = waves({4, 12}, 3);
  std::vector<Tensor> weights, right;
  for (int i = 0; i < 3; ++i) {
    weights.push_back(waves({32, 5}, 10 + i));
    variables.set("b", weights.back());
    right.push_back(executable.run({{"x", x}})[0]);
  }
  std::atomic<int> wrong{0};
  in_threads(4, [&](int i) {
    for (int run = 0; run < 200; ++run) {
      if (i == 0) {
        variables.set("b", weights[static_cast<std::size_t>(run % 3)]);
        continue;
      }
      const Tensor y = executable.run({{"x", x}})[0];
      if (std::ranges::none_of(right, [&](const Tensor& r) { return same_bits(y, r); })) ++wrong;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("threads: executables are compiled on the same variables at once") {
  for (int round = 0; round < 5; ++round) {
    Variables variables;  // whoever comes first chooses the weights' layouts
    variables.set("a", waves({12, 32}, 1));
    variables.set("b", waves({32, 5}, 2));
    std::atomic<int> wrong{0};
    in_threads(4, [&](int i) {
      const std::int64_t rows = 1 + 9 * i;
      Executable own = network(rows, variables);
      Variables apart;
      Executable alone = network(rows, apart);
      const Tensor x = waves({rows, 12}, i);
      const Tensor y = own.run({{"x", x}})[0], right = alone.run({{"x", x}})[0];
      for (std::size_t k = 0; k < y.data<float>().size(); ++k) {
        // Other layouts of weights add up in another order.
        if (std::abs(y.data<float>()[k] - right.data<float>()[k]) > 1e-5f) ++wrong;
      }
    });
    CHECK(wrong == 0);
  }
}

TEST_CASE("threads: a variable is made once, and measured runs take turns") {
  Variables variables;
  in_threads(4, [&](int i) {
    for (int k = 0; k < 50; ++k) {
      variables.set(std::to_string(k), Tensor::scalar(static_cast<float>(i)));
      variables.names();
    }
  });
  CHECK(variables.names().size() == 50);

  Executable executable = network(2, variables);
  executable.profile(true);
  in_threads(3, [&](int i) {
    for (int k = 0; k < 20; ++k) executable.run({{"x", waves({2, 12}, i)}});
  });
  std::size_t most = 0;
  for (const auto& step : executable.profile_steps()) most = std::max(most, step.calls);
  CHECK(most == 60);
}

TEST_CASE("threads: those who need all cores take turns") {
  std::atomic<int> inside{0}, most{0};
  in_threads(4, [&](int i) {
    for (int k = 0; k < 100; ++k) {
      const CoreTurn cores(1 << 20);  // more than there are
      const int now = ++inside;
      if (now > most) most = now;
      if (i == 0) std::this_thread::yield();
      --inside;
      const CoreTurn one(1);  // never waits
    }
  });
  CHECK(most == 1);
}

TEST_CASE("variables: several are set at once, or none") {
  Variables variables;
  variables.set("a", Tensor::scalar(1.0f));
  variables.set("b", Tensor::full({2}, 1));
  CHECK_THROWS_AS(variables.set_all({{"a", Tensor::scalar(2.0f)}, {"b", Tensor::scalar(2.0f)}}),
                  ShapeError);
  CHECK_THROWS_AS(variables.set_all({{"a", Tensor::scalar(2.0f)}, {"c", Tensor::scalar(2.0f)}}),
                  ArgumentError);
  CHECK(variables.get("a").item<float>() == 1);
  variables.set_all({{"a", Tensor::scalar(2.0f)}, {"b", Tensor::full({2}, 3)}});
  CHECK(variables.get("a").item<float>() == 2);
  CHECK(variables.get("b").data<float>()[1] == 3);
}

}  // namespace
}  // namespace weft
