// A process that forks: its child predicts and trains as it did itself.
#include <doctest/doctest.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <iostream>

#include "nn/nn.hpp"
#include "runtime/threads.hpp"
#include "tests/threads.hpp"

namespace weft {
namespace {

using test::in_threads;

Tensor waves(const Shape& shape, int seed) {
  Tensor tensor(Type{DType::f32, shape});
  int i = 0;
  for (float& v : tensor.data<float>()) {
    v = std::sin(static_cast<float>(i++) * 0.7f + 1.3f * static_cast<float>(seed));
  }
  return tensor;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.type() == b.type() && std::equal(a.bytes(), a.bytes() + a.type().bytes(), b.bytes());
}

/// Two threads, for the length of a test.
struct TwoThreads {
  TwoThreads() { set_threads(2); }
  ~TwoThreads() { set_threads(0); }
};

/// What waitpid() says of a child that does `work`: 0 if it was good and the child ended as it
/// should. A child that hangs is ended by an alarm.
int status_of_child(const std::function<bool()>& work) {
  constexpr unsigned long_enough = 60;  // seconds; only reached if the child hangs
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    alarm(long_enough);
    int status = 1;
    try {
      status = work() ? 0 : 2;
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
    }
    _exit(status);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

nn::Sequential network() {
  return nn::Sequential({nn::Dense(32, {.activation = "relu"}), nn::Dense(4)}, {.seed = 1});
}

TEST_CASE("fork: the child predicts and trains with two threads, and so does the parent") {
  const TwoThreads two;
  nn::Sequential model = network();
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const nn::Dataset data(waves({64, 16}, 1), waves({64, 4}, 2)), one(waves({1, 16}, 3));
  // 64 rows run as two replicas, and one row as one with two threads within.
  model.fit(data, {.batch_size = 32, .verbose = 0});
  REQUIRE(model.training_step(data, 32).statistics().replicas == 2);
  const Tensor all = model.predict(data, {.batch_size = 64, .verbose = 0});
  const Tensor single = model.predict_on_batch(one);
  const auto goes_on = [&] {
    if (!same_bits(model.predict(data, {.batch_size = 64, .verbose = 0}), all)) return false;
    if (!same_bits(model.predict_on_batch(one), single)) return false;
    const nn::Dataset another(waves({24, 16}, 4));  // not met before
    model.predict_on_batch(another);
    const std::int64_t before = model.iterations();
    model.fit(data, {.batch_size = 32, .verbose = 0});
    model.train_on_batch(data);
    return model.iterations() == before + 3;
  };
  for (int i = 0; i < 3; ++i) CHECK(status_of_child(goes_on) == 0);
  // A child's child, and children that use several threads themselves.
  CHECK(status_of_child([&] { return status_of_child(goes_on) == 0 && goes_on(); }) == 0);
  CHECK(status_of_child([&] {
          std::atomic<int> wrong{0};
          in_threads(3, [&](int) {
            for (int k = 0; k < 20; ++k) {
              if (!same_bits(model.predict_on_batch(one), single)) ++wrong;
            }
          });
          return wrong == 0;
        }) == 0);
  CHECK(goes_on());
}

TEST_CASE("fork: OpenMP works in the child, and as before in the parent") {
  const auto region = [] {
    int sum = 0;
#pragma omp parallel num_threads(2) reduction(+ : sum)
    sum += omp_get_thread_num() + 1;
    return sum == 3;
  };
  network().predict_on_batch(nn::Dataset(waves({1, 16}, 3)));  // Weft has been used
  const int before = omp_get_max_threads();
  REQUIRE(region());
  CHECK(status_of_child(region) == 0);
  CHECK(region());
  CHECK(omp_get_max_threads() == before);
}

TEST_CASE("fork: it waits for what other threads are in the middle of") {
  const TwoThreads two;
  nn::Sequential model = network(), trained = network();
  trained.compile({.optimizer = "sgd", .loss = "mse"});
  const nn::Dataset data(waves({64, 16}, 1), waves({64, 4}, 2)), one(waves({1, 16}, 3));
  const Tensor single = model.predict_on_batch(one);
  model.predict(data, {.batch_size = 64, .verbose = 0});
  std::atomic<int> good{0};
  std::atomic<bool> done{false};
  constexpr int children = 8;
  in_threads(4, [&](int i) {
    if (i == 0) {
      for (int k = 0; k < children; ++k) {
        good += status_of_child([&] {
                  // The other threads' training is over here.
                  trained.fit(data, {.batch_size = 32, .verbose = 0});
                  return same_bits(model.predict_on_batch(one), single);
                }) == 0;
      }
      done = true;
    }
    for (int k = 0; !done; ++k) {
      if (i == 1) model.predict_on_batch(one);
      if (i == 2) trained.fit(data, {.batch_size = 32, .verbose = 0});
      if (i == 3)
        nn::Sequential(network()).predict_on_batch(nn::Dataset(waves({1 + k % 5, 16}, 3)));
    }
  });
  CHECK(good == children);
}

TEST_CASE("fork: training goes on in the child, also with rows that threads were making") {
  nn::Sequential model = network();
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const nn::Dataset data =
      nn::Dataset::generate(40, {{16}}, {{4}}, [](std::int64_t row, nn::Random&, auto rows) {
        std::ranges::fill(rows[0], static_cast<float>(row));
        std::ranges::fill(rows[1], 1.0f);
      });
  pid_t child = -1;
  nn::Callback callback;
  callback.on_train_batch_end = [&](nn::Model&, std::int64_t batch, nn::Logs&) {
    if (batch != 1) return;
    child = fork();
    if (child == 0) alarm(60);
  };
  const nn::History history =
      model.fit(data, {.batch_size = 4, .shuffle = false, .verbose = 0, .callbacks = {callback}});
  if (child == 0) {
    // As the parent's, to the bit; which cannot be told it but by comparing with a third.
    nn::Sequential again = network();
    again.compile({.optimizer = "sgd", .loss = "mse"});
    const auto alone = again.fit(data, {.batch_size = 4, .shuffle = false, .verbose = 0});
    _exit(alone["loss"] == history["loss"] ? 0 : 2);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("fork: a callback of fit may fork") {
  const TwoThreads two;
  nn::Sequential model = network();
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const nn::Dataset data(waves({64, 16}, 1), waves({64, 4}, 2));
  int status = -1;
  nn::Callback callback;
  callback.on_epoch_end = [&](nn::Model& trained, int, nn::Logs&) {
    status = status_of_child([&] {
      trained.predict(data, {.batch_size = 64, .verbose = 0});
      bool refused = false;
      std::thread([&] {
        try {
          trained.fit(data, {.verbose = 0});
        } catch (const BusyError&) {
          refused = true;  // the thread that forked is still within fit
        }
      }).join();
      trained.train_on_batch(data);
      return refused;
    });
  };
  model.fit(data, {.batch_size = 32, .verbose = 0, .callbacks = {callback}});
  CHECK(status == 0);
}

}  // namespace
}  // namespace weft
