// Replicas: slices side by side give what the whole batch gives.
#include <doctest/doctest.h>

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "autodiff/gradients.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/config.hpp"
#include "runtime/team.hpp"
#include "runtime/threads.hpp"
#include "tests/held_team.hpp"
#include "tests/messages.hpp"

namespace weft {
namespace {

using test::message_of;

/// A small convolutional network. By the mean over the whole batch, which only all replicas
/// together know, it may be normalised.
struct Network {
  Variables variables;
  bool normalize = false;

  Traced operator()(Graph& graph, const Slice& slice) const {
    const std::int64_t rows = slice.rows;
    std::uint32_t seed = 1;
    const auto parameter = [&](const std::string& name, const Shape& shape) {
      Tensor first(Type{DType::f32, shape});
      for (float& v : first.data<float>()) {
        seed = seed * 1664525u + 1013904223u;
        v = static_cast<float>(seed >> 8) / 16777216.0f - 0.5f;
      }
      Variables all = variables;
      if (!all.contains(name)) all.set(name, first);
      return graph.variable(first.type(), name);
    };
    const Value x = graph.input({DType::f32, {rows, 8, 8, 3}}, "x");
    const Value y = graph.input({DType::f32, {rows, 5}}, "y");
    const std::vector<Value> parameters{parameter("kernel", {3, 3, 3, 8}), parameter("bias", {8}),
                                        parameter("dense", {72, 5}), parameter("offset", {5})};
    Value h = conv2d(x, parameters[0]);
    if (normalize) {
      h = h - all_reduce(sum(h, {0, 1, 2})) / static_cast<float>(slice.batch * 36);
    }
    h = flatten(max_pool2d(relu(h + parameters[1])));
    const Value logits = matmul(h, parameters[2]) + parameters[3];
    const Value loss = mean(softmax_cross_entropy(logits, y)) * slice.share();
    const std::vector<Value> slopes = gradients(loss, parameters);
    const Value count = parameter("count", {});
    std::vector<Update> updates;
    updates.push_back({count, count + 1.0f});
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::string name = parameters[i].name();
      const Value m = parameter(name + "/m", parameters[i].shape());
      const Value next = m * 0.5f + all_reduce(slopes[i]);
      updates.push_back({m, next});
      updates.push_back({parameters[i], parameters[i] - 0.05f * next / (1.0f + count * count)});
    }
    return {{all_reduce(loss), logits}, std::move(updates)};
  }

  Executable compiled(std::int64_t rows, CompileOptions options) const {
    return compile_batch(rows, *this, variables, options);
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

std::vector<float> all_numbers(const Variables& variables) {
  std::vector<float> all;
  for (const std::string& name : variables.names()) {
    for (const float v : to_floats(variables.get(name))) all.push_back(v);
  }
  return all;
}

void check_near(const std::vector<float>& got, const std::vector<float>& want, float bound) {
  REQUIRE(got.size() == want.size());
  float worst = 0;
  for (std::size_t k = 0; k < got.size(); ++k) worst = std::max(worst, std::abs(got[k] - want[k]));
  CHECK(worst < bound);
}

TEST_CASE("replicas: slices train as the whole batch does, whether they are equal or not") {
  for (const std::int64_t rows : {24, 23, 26, 5}) {
    const Feeds feeds = batch_of(rows);
    for (const bool normalize : {false, true}) {
      const Network whole{.normalize = normalize};
      Executable one = whole.compiled(rows, {.replicas = 1});
      std::vector<std::vector<Tensor>> wanted;
      for (int step = 0; step < 6; ++step) wanted.push_back(one.run(feeds));
      CHECK(wanted.back()[0].item<float>() < 0.95f * wanted[0][0].item<float>());
      for (const std::size_t replicas : {2, 3, 4, 5}) {
        CAPTURE(rows);
        CAPTURE(replicas);
        CAPTURE(normalize);
        const Network slices{.normalize = normalize};
        Executable many = slices.compiled(rows, {.replicas = replicas});
        CHECK(many.statistics().replicas == replicas);
        // Before sums, before the last copies; a normalisation meets once forward and once
        // backward.
        CHECK(many.statistics().meetings == (normalize ? 4 : 2));
        for (const auto& want : wanted) {
          const auto got = many.run(feeds);
          for (std::size_t i = 0; i < 2; ++i) {
            REQUIRE(got[i].type() == want[i].type());
            // Sums in another order differ in their last bits, and six steps carry that along.
            check_near(to_floats(got[i]), to_floats(want[i]), 1e-4f);
          }
        }
        check_near(all_numbers(slices.variables), all_numbers(whole.variables), 1e-4f);
      }
    }
  }
}

TEST_CASE("replicas: the same numbers to the last bit, poisoned arena or not") {
  for (const std::int64_t rows : {24, 25}) {
    const Feeds feeds = batch_of(rows);
    std::vector<std::vector<float>> seen;
    for (const bool poison : {false, true, false}) {
      const Network network{.normalize = true};
      Executable executable = network.compiled(rows, {.replicas = 3, .poison = poison});
      for (int step = 0; step < 5; ++step) executable.run(feeds);
      seen.push_back(all_numbers(network.variables));
    }
    CHECK(seen[0] == seen[1]);
    CHECK(seen[0] == seen[2]);
  }
}

TEST_CASE("replicas: slices differ by at most a row, the larger first") {
  for (const std::int64_t rows : {1, 2, 7, 64, 100}) {
    for (std::size_t replicas = 1; replicas <= 5; ++replicas) {
      std::int64_t next = 0, most = 0, least = rows;
      for (std::size_t r = 0; r < replicas; ++r) {
        const auto [first, count] = slice_of(rows, replicas, r);
        CHECK(first == next);
        CHECK((r == 0 || count <= least));
        next += count;
        most = std::max(most, count);
        least = std::min(least, count);
      }
      CHECK(next == rows);
      CHECK(most - least <= 1);
    }
  }
}

TEST_CASE("replicas: each can write its own slice of the inputs before it begins") {
  const Feeds feeds = batch_of(11);
  const Network given, prepared;
  Executable a = given.compiled(11, {.replicas = 3}), b = prepared.compiled(11, {.replicas = 3});
  for (Tensor* input : {&b.input("x"), &b.input("y")}) {
    for (float& v : input->data<float>()) v = std::nanf("");
  }
  for (int step = 0; step < 3; ++step) {
    std::array<std::thread::id, 3> threads;
    b.step([&](std::size_t replica) {
      threads[replica] = std::this_thread::get_id();
      const auto [first, count] = slice_of(11, 3, replica);
      for (const std::string name : {"x", "y"}) {
        const auto from = feeds.at(name).data<float>();
        const auto row = from.size() / 11, begin = static_cast<std::size_t>(first) * row;
        std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(begin),
                    static_cast<std::size_t>(count) * row,
                    b.input(name).data<float>().begin() + static_cast<std::ptrdiff_t>(begin));
      }
    });
    CHECK(threads[0] == std::this_thread::get_id());
    CHECK(threads[1] != threads[0]);
    CHECK(threads[2] != threads[1]);
    const auto want = a.run(feeds);
    CHECK(to_floats(b.output(0)) == to_floats(want[0]));
    CHECK(to_floats(b.output(1)) == to_floats(want[1]));
  }
  CHECK_THROWS_WITH_AS(b.step([](std::size_t replica) {
    if (replica == 1) throw std::runtime_error("no such file");
  }),
                       "no such file", std::runtime_error);
}

TEST_CASE("replicas: a number that depends on the slice lets a batch run as one") {
  // 1 / 3 is one number, but slices of 3 and 2 rows have two of them.
  Variables variables;
  variables.set("w", Tensor::of<float>({2}, {1, 1}));
  const auto trace = [](Graph& graph, const Slice& slice) -> Traced {
    const Value w = graph.variable({DType::f32, {2}}, "w");
    const Value x = graph.input({DType::f32, {slice.rows, 2}}, "x");
    const Value total = all_reduce(sum(x, {0}));
    return {{total}, {{w, w + total * (1.0f / static_cast<float>(slice.rows))}}};
  };
  CHECK(compile_batch(6, trace, variables, {.replicas = 2}).statistics().replicas == 2);
  Executable executable = compile_batch(5, trace, variables, {.replicas = 2});
  CHECK(executable.statistics().replicas == 1);
  executable.run({{"x", Tensor::full({5, 2}, 1)}});
  CHECK(to_floats(variables.get("w")) == std::vector<float>{2, 2});
}

TEST_CASE("replicas: a sum may lie differently in slices of other sizes") {
  // A dense layer's gradient and a wide convolution's, whose layouts oneDNN picks by the batch.
  Variables variables;
  const auto trace = [&](Graph& graph, const Slice& slice) -> Traced {
    Variables all = variables;
    std::vector<Value> parameters;
    const auto weight = [&](const std::string& name, const Shape& shape) {
      if (!all.contains(name)) {
        Tensor first(Type{DType::f32, shape});
        std::uint32_t seed = 3;
        for (float& v : first.data<float>()) {
          seed = seed * 1664525u + 1013904223u;
          v = (static_cast<float>(seed >> 8) / 16777216.0f - 0.5f) * 0.1f;
        }
        all.set(name, first);
      }
      return parameters.emplace_back(graph.variable({DType::f32, shape}, name));
    };
    const Value x = graph.input({DType::f32, {slice.rows, 8, 8, 16}}, "x");
    Value h = relu(conv2d(x, weight("k", {3, 3, 16, 48})));
    h = relu(matmul(flatten(max_pool2d(h)), weight("d", {432, 40})));
    const Value loss = mean(square(matmul(h, weight("e", {40, 9})) - 1.0f)) * slice.share();
    std::vector<Update> updates;
    const auto slopes = gradients(loss, parameters);
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      updates.push_back({parameters[i], parameters[i] - 0.1f * all_reduce(slopes[i])});
    }
    return {{all_reduce(loss)}, updates};
  };
  Tensor x(Type{DType::f32, {33, 8, 8, 16}});
  for (std::size_t i = 0; i < x.data<float>().size(); ++i) {
    x.data<float>()[i] = static_cast<float>(i * 37 % 101) / 101.0f;
  }
  std::vector<std::vector<float>> seen;
  for (const std::size_t replicas : {1, 2, 32}) {
    variables = Variables();
    Executable executable = compile_batch(33, trace, variables, {.replicas = replicas});
    CHECK(executable.statistics().replicas == replicas);
    for (int step = 0; step < 3; ++step) executable.run({{"x", x}});
    seen.push_back(all_numbers(variables));
  }
  check_near(seen[1], seen[0], 1e-5f);
  check_near(seen[2], seen[0], 1e-5f);
}

TEST_CASE("splits: a full batch is cut for all threads, one row is not, and between is a choice") {
  using Splits = std::vector<Split>;
  CHECK(suitable_splits(64, 8) == Splits{{8, 1}});
  CHECK(suitable_splits(63, 8) == Splits{{8, 1}, {4, 2}, {2, 4}, {1, 8}});
  CHECK(suitable_splits(3, 4) == Splits{{2, 2}, {1, 4}});
  CHECK(suitable_splits(1, 4) == Splits{{1, 4}});
  CHECK(suitable_splits(100, 1) == Splits{{1, 1}});
}

TEST_CASE("splits: measuring leaves variables alone and is done once") {
  set_threads(4);
  const Network network;
  std::size_t traces = 0;
  const auto trace = [&](Graph& graph, const Slice& slice) {
    ++traces;
    return network(graph, slice);
  };
  Graph graph;
  network(graph, {6, 6, 1});
  const auto before = all_numbers(network.variables);
  Executable first = compile_batch(6, trace, network.variables);
  CHECK(all_numbers(network.variables) == before);
  const std::size_t measured = traces;
  CHECK(measured > 4);
  Executable second = compile_batch(6, trace, network.variables);
  CHECK(traces - measured <= 3);  // for the key, and for two sizes of slice
  CHECK(second.statistics().replicas == first.statistics().replicas);
  // Threads within a replica are fewer where the work is not worth them.
  CHECK(first.statistics().replicas * static_cast<std::size_t>(first.statistics().threads) <= 4);
  // By hand, nothing is measured.
  for (const Split split : {Split{3, 1}, Split{1, 3}, Split{2, 2}}) {
    const auto s = network.compiled(6, {.replicas = split.replicas, .threads = split.threads});
    CHECK(s.statistics().replicas == split.replicas);
    CHECK(s.statistics().threads == split.threads);
  }
  CHECK(network.compiled(6, {.replicas = 2}).statistics().threads == 1);
  set_threads(0);
}

TEST_CASE("splits: threads within replicas give what one thread gives") {
  const Feeds feeds = batch_of(9);
  const Network whole, cut;
  Executable one = whole.compiled(9, {.replicas = 1, .threads = 1});
  Executable many = cut.compiled(9, {.replicas = 2, .threads = 2});
  for (int step = 0; step < 4; ++step) {
    check_near(to_floats(many.run(feeds)[1]), to_floats(one.run(feeds)[1]), 1e-4f);
  }
}

TEST_CASE("splits: what cannot be") {
  const Network network;
  CHECK(message_of<CompileError>([&] { network.compiled(0, {}); }) ==
        "compile: a batch needs at least one row, not 0");
  CHECK(message_of<CompileError>([&] { network.compiled(2, {.replicas = 3}); }) ==
        "compile: a batch of 2 rows cannot be cut among 3 replicas");
  CHECK(message_of<CompileError>([&] { network.compiled(2, {.threads = -1}); }) ==
        "compile: there cannot be -1 threads in a replica");
}

TEST_CASE("threads: said by hand, by the environment, or by OpenMP") {
  const int before = thread_count();
  set_threads(3);
  CHECK(thread_count() == 3);
  int elsewhere = 0;
  std::thread([&] { elsewhere = thread_count(); }).join();
  CHECK(elsewhere == 3);
  int nested = 0;
#pragma omp parallel num_threads(2)
  if (omp_get_thread_num() == 0) nested = thread_count();
  CHECK(nested == 1);  // OpenMP would give no more there
  set_threads(0);
  CHECK(thread_count() == before);
  CHECK(message_of<ArgumentError>([] { set_threads(-2); }) ==
        "set_threads: the count must be at least 1, or 0 to unset it; not -2");

  const auto from = [](const char* name, const char* value) {
    return config_from(
        [=](const char* asked) { return std::string_view(asked) == name ? value : nullptr; });
  };
  CHECK(from("WEFT_THREADS", "12").threads == 12);
  CHECK(from("WEFT_THREADS", nullptr).threads == 0);
  for (const char* bad : {"0", "-1", "two", "3x", "4097"}) {
    CHECK(message_of<ArgumentError>([&] { from("WEFT_THREADS", bad); }) ==
          std::string("WEFT_THREADS: it must be a whole number from 1 to 4096, not \"") + bad +
              "\"");
  }
  CHECK(from("WEFT_PIN", "1").pin);
  CHECK(!from("WEFT_PIN", "0").pin);
  CHECK(message_of<ArgumentError>([&] { from("WEFT_PIN", "yes"); }) ==
        "WEFT_PIN: it must be 0 or 1, not \"yes\"");
  CHECK(from("WEFT_VERIFY", "1").verify);
  CHECK(message_of<ArgumentError>([&] { from("WEFT_VERIFY", "on"); }) ==
        "WEFT_VERIFY: it must be 0 or 1, not \"on\"");
}

TEST_CASE("replicas: one of them needs no other thread, whoever holds the team") {
  Graph graph;
  const Value x = graph.input({DType::f32, {1, 16}}, "x");
  Executable executable =
      compile({relu(matmul(x, graph.constant(Tensor::full({16, 4}, 1))))}, {.threads = 2});
  const test::HeldTeam held(2);
  executable.step();  // would never return if it waited for the team
  CHECK(executable.output(0).elements() == 4);
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
  CHECK(message_of<CompileError>([&] {
          compile({sum_of_squares(x)}, {.replicas = 2});
        }).starts_with("compile: sum_of_squares is shared by replicas, but what it reads differs"));
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

TEST_CASE("sum_of_squares: replicas share it, and what it reads is still cut among them") {
  // Fewer elements than replicas, a few, and more than a run of the loop.
  for (const std::int64_t size : {1, 3, 70, 9000}) {
    for (const std::size_t replicas : {1, 2, 3, 5}) {
      CAPTURE(size);
      CAPTURE(replicas);
      Graph graph;
      Variables variables;
      variables.set("w", Tensor::full({size}, 0.5f));
      const Value w = graph.variable({DType::f32, {size}}, "w");
      const Value x = graph.input({DType::f32, {1, size}}, "x");
      const Value g = all_reduce(sum(x, {0}));
      const Value of_g = sum_of_squares(g), of_w = sum_of_squares(w);
      Executable executable =
          compile({of_g, of_w}, variables,
                  {.updates = {{w, w - g / of_g}}, .replicas = replicas, .poison = true});
      const auto rows = static_cast<std::int64_t>(replicas);
      const std::vector<Tensor> got = executable.run({{"x", Tensor::full({rows, size}, 2)}});
      const double each = 2.0 * static_cast<double>(replicas);
      const double total = static_cast<double>(size) * each * each;
      CHECK(got[0].item<float>() == doctest::Approx(total).epsilon(1e-6));
      CHECK(got[1].item<float>() == doctest::Approx(static_cast<double>(size) / 4).epsilon(1e-6));
      for (const float number : to_floats(variables.get("w"))) {
        CHECK(number == doctest::Approx(0.5 - each / total).epsilon(1e-6));
      }
      if (replicas > 1) CHECK(executable.statistics().meetings <= 3);
    }
  }
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
