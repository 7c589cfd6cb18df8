// Models that several threads use at the same time. weft_threads_tests has this file, for
// ThreadSanitizer (tests/CMakeLists.txt).
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "nn/nn.hpp"
#include "tests/messages.hpp"
#include "tests/threads.hpp"

namespace weft {
namespace {

using test::in_threads;
using test::message_of;

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

nn::Dataset labelled(std::int64_t rows, int seed) {
  Tensor y(Type{DType::u8, {rows}});
  for (std::int64_t i = 0; i < rows; ++i) {
    y.data<std::uint8_t>()[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>((i + seed) % 3);
  }
  return {waves({rows, 8, 8, 1}, seed), y};
}

nn::Sequential network(std::size_t replicas = 1) {
  return nn::Sequential(
      {nn::Conv2D(4, 3, {.activation = "relu"}), nn::MaxPooling2D(2), nn::Flatten(),
       nn::Dense(8, {.activation = "relu"}), nn::Dense(3, {.activation = "softmax"})},
      {.seed = 7, .replicas = replicas});
}

const nn::TrainOptions training{.optimizer = nn::SGD{.learning_rate = 0.05},
                                .loss = "sparse_categorical_crossentropy",
                                .metrics = {"accuracy"}};

TEST_CASE("threads: a model that many ask answers each as if it were alone") {
  constexpr int count = 8, times = 120;
  for (const std::size_t replicas : {1, 2}) {
    nn::Sequential alone = network(replicas);
    std::vector<nn::Dataset> x;
    std::vector<Tensor> right;
    for (int i = 0; i < count; ++i) {
      x.emplace_back(waves({2, 8, 8, 1}, i));
      right.push_back(alone.predict_on_batch(x.back()));
    }
    // Nobody has asked it before, so they also build it and compile its steps.
    nn::Sequential model = network(replicas);
    std::atomic<int> wrong{0};
    in_threads(count, [&](int i) {
      const auto at = static_cast<std::size_t>(i);
      for (int k = 0; k < times; ++k) {
        const Tensor y = k % 2 == 0 ? model.predict_on_batch(x[at])
                                    : model.predict(x[at], {.batch_size = 8, .verbose = 0});
        if (!same_bits(y, right[at])) ++wrong;
      }
    });
    CHECK(wrong == 0);
  }
}

TEST_CASE("threads: a model meets several batch sizes at once") {
  constexpr int count = 6;
  nn::Sequential alone = network(), model = network();
  std::atomic<int> wrong{0};
  std::vector<Tensor> right;
  for (int i = 0; i < count; ++i) {
    right.push_back(alone.predict_on_batch(nn::Dataset(waves({1 + i, 8, 8, 1}, i))));
  }
  in_threads(count, [&](int i) {
    const Tensor& expected = right[static_cast<std::size_t>(i)];
    for (int k = 0; k < 20; ++k) {
      const Tensor y = model.predict_on_batch(nn::Dataset(waves({1 + i, 8, 8, 1}, i)));
      for (std::size_t j = 0; j < y.data<float>().size(); ++j) {
        // Whoever comes first chooses how weights lie, and so in which order kernels add up.
        if (std::abs(y.data<float>()[j] - expected.data<float>()[j]) > 1e-5f) ++wrong;
      }
    }
  });
  CHECK(wrong == 0);
  CHECK(model.step_statistics().count == count);
}

TEST_CASE("threads: who predicts while another trains sees the weights between two steps") {
  constexpr int steps = 40;
  const nn::Dataset batch = labelled(6, 1), asked(waves({2, 8, 8, 1}, 5));
  // What is right after each step, from a model that does the same alone.
  nn::Sequential alone = network();
  alone.compile(training);
  std::vector<Tensor> right{alone.predict_on_batch(asked)};
  for (int step = 0; step < steps; ++step) {
    alone.train_on_batch(batch);
    right.push_back(alone.predict_on_batch(asked));
  }
  REQUIRE(!same_bits(right.front(), right.back()));

  nn::Sequential model = network();
  model.compile(training);
  model.predict_on_batch(asked);
  std::atomic<int> wrong{0};
  std::atomic<bool> done{false};
  in_threads(3, [&](int i) {
    if (i == 0) {
      for (int step = 0; step < steps; ++step) model.train_on_batch(batch);
      done = true;
      return;
    }
    std::size_t at = 0;  // the state seen last: nobody goes back
    for (bool last = false; !last;) {
      last = done;
      const Tensor y = model.predict_on_batch(asked);
      while (at < right.size() && !same_bits(y, right[at])) ++at;
      if (at == right.size()) {
        ++wrong;
        return;
      }
    }
    if (!same_bits(right[at], right.back())) ++wrong;
  });
  CHECK(wrong == 0);
}

TEST_CASE("threads: several evaluate one model") {
  nn::Sequential model = network();
  model.compile(training);
  std::vector<nn::Dataset> data;
  std::vector<double> right;
  nn::Sequential alone = model;
  for (int i = 0; i < 4; ++i) {
    data.push_back(labelled(9, i));
    right.push_back(alone.evaluate(data.back(), {.batch_size = 4, .verbose = 0})["loss"]);
  }
  std::atomic<int> wrong{0};
  in_threads(4, [&](int i) {
    const auto at = static_cast<std::size_t>(i);
    for (int k = 0; k < 20; ++k) {
      const nn::Logs logs = model.evaluate(data[at], {.batch_size = 4, .verbose = 0});
      if (logs["loss"] != right[at]) ++wrong;
    }
  });
  CHECK(wrong == 0);
  const double shown = model.metric_result("loss").item<float>();
  CHECK(std::ranges::any_of(right, [&](double r) { return static_cast<float>(r) == shown; }));
}

TEST_CASE("threads: train_on_batch waits for that of another thread") {
  nn::Sequential model = network();
  model.compile(training);
  in_threads(3, [&](int i) {
    for (int k = 0; k < 15; ++k) model.train_on_batch(labelled(4, i));
  });
  CHECK(model.iterations() == 45);
  CHECK(!model.find_not_finite());
}

TEST_CASE("threads: one trains a model at a time") {
  nn::Sequential model = network();
  model.compile(training);
  const nn::Dataset data = labelled(8, 0);
  const std::string busy =
      "another thread is training this model; one does so at a time, and others train a copy";
  std::vector<std::string> messages;
  Tensor answer;
  nn::Callback callback;
  callback.on_epoch_end = [&](nn::Model& trained, int, nn::Logs&) {
    std::thread([&] {
      messages = {
          message_of<BusyError>([&] { trained.fit(data, {.verbose = 0}); }),
          message_of<BusyError>([&] { trained.train_on_batch(data); }),
          message_of<BusyError>([&] { trained.compile(training); }),
          message_of<BusyError>([&] { model.add(nn::Dense(2)); }),
      };
      answer = trained.predict_on_batch(nn::Dataset(waves({2, 8, 8, 1}, 1)));
    }).join();
    trained.train_on_batch(data);  // in the thread that trains anyway
  };
  model.fit(data, {.batch_size = 8, .verbose = 0, .callbacks = {callback}});
  CHECK(messages == std::vector<std::string>{"fit: " + busy, "train_on_batch: " + busy,
                                             "compile: another thread is training this model",
                                             "add: another thread is training this model"});
  CHECK(answer.shape() == Shape{2, 3});
  CHECK(model.iterations() == 2);
  // And when it is over, another thread may.
  std::thread([&] { model.fit(data, {.batch_size = 8, .verbose = 0}); }).join();
  CHECK(model.iterations() == 3);
}

TEST_CASE("threads: models that share layers may be built and asked at once") {
  const nn::Layer shared = nn::Dense(6, {.activation = "relu"});
  const auto model_on = [&](std::int64_t outputs) {
    nn::Symbol x = nn::Input({5});
    return nn::Model({x}, nn::Dense(outputs)(shared(x)), {.seed = 3});
  };
  for (int round = 0; round < 10; ++round) {
    std::vector<nn::Model> models;
    models.reserve(3);  // a copy would have layers of its own
    for (const std::int64_t outputs : {2, 3, 4}) models.push_back(model_on(outputs));
    std::vector<Tensor> weights(3);
    in_threads(3, [&](int i) {
      nn::Model& model = models[static_cast<std::size_t>(i)];
      model.predict_on_batch(nn::Dataset(waves({2, 5}, i)));
      weights[static_cast<std::size_t>(i)] = model.get_weights()[0];
    });
    CHECK(same_bits(weights[0], weights[1]));
    CHECK(same_bits(weights[0], weights[2]));
  }
}

}  // namespace
}  // namespace weft
