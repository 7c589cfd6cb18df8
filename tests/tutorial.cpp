// The tutorial's network: what one training step of it must be, and that it learns.
#include <doctest/doctest.h>

#include <dlfcn.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <thread>

#include "nn/nn.hpp"
#include "runtime/onednn.hpp"
#include "runtime/team.hpp"
#include "tests/held_team.hpp"
#include "tests/sanitizers.hpp"

// Every allocation of this program comes by here; while `watching`, those whose caller is not
// oneDNN or OpenMP count. (oneDNN 2.6 allocates a few words in each call of a primitive; that is
// not ours.)
namespace {

std::atomic<bool> watching{false};
std::atomic<std::size_t> allocations{0};

void count(const void* caller) {
  if (!watching) return;
  watching = false;  // dladdr may allocate
  Dl_info info{};
  const bool known = dladdr(caller, &info) != 0 && info.dli_fname != nullptr;
  const std::string_view file = known ? info.dli_fname : "";
  if (file.find("dnnl") == std::string_view::npos && file.find("gomp") == std::string_view::npos) {
    ++allocations;
  }
  watching = true;
}

}  // namespace

#if !WEFT_ADDRESS_SANITIZER
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  count(__builtin_return_address(0));
  if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace weft {
namespace {

nn::Sequential tutorial() {
  nn::Sequential model;
  model.add(nn::Conv2D(32, {3, 3},
                       {.padding = "same", .activation = "relu", .input_shape = {28, 28, 1}}));
  model.add(nn::MaxPooling2D(2));
  model.add(nn::Flatten());
  model.add(nn::Dense(16, {.activation = "relu"}));
  model.add(nn::Dense(10, {.activation = "softmax"}));
  model.compile({.optimizer = "adam", .loss = "categorical_crossentropy", .metrics = {"accuracy"}});
  return model;
}

/// Images of ten kinds: a bar whose angle is the class, at a place and with noise of its own.
nn::Dataset bars(std::int64_t count, std::uint32_t seed) {
  Tensor images(Type{DType::u8, {count, 28, 28, 1}}), labels(Type{DType::u8, {count}});
  const auto random = [&seed] { return (seed = seed * 1664525u + 1013904223u) >> 8; };
  for (std::int64_t i = 0; i < count; ++i) {
    const int kind = static_cast<int>(random() % 10);
    labels.data<std::uint8_t>()[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(kind);
    const double angle = kind * 3.14159265 / 10, x0 = 11 + random() % 6, y0 = 11 + random() % 6;
    for (int h = 0; h < 28; ++h) {
      for (int w = 0; w < 28; ++w) {
        const double across = std::abs((w - x0) * std::sin(angle) - (h - y0) * std::cos(angle));
        const double along = std::abs((w - x0) * std::cos(angle) + (h - y0) * std::sin(angle));
        const int ink = across < 2 && along < 10 ? 200 : 0;
        images.data<std::uint8_t>()[static_cast<std::size_t>((i * 28 + h) * 28 + w)] =
            static_cast<std::uint8_t>(ink + static_cast<int>(random() % 50));
      }
    }
  }
  return nn::Dataset(images, nn::to_categorical(labels, 10)).scaled(1.0f / 255);
}

TEST_CASE("tutorial: a few hundred images are learned, and others of their kind recognised") {
  nn::Sequential model = tutorial();
  model.fit(bars(600, 1), {.epochs = 12, .batch_size = 32, .verbose = 0});
  const nn::Logs score = model.evaluate(bars(200, 2), {.verbose = 0});
  // Ten classes: chance is 0.1. The bound leaves room for what other machines round otherwise.
  CHECK(score["accuracy"] >= 0.9);
}

TEST_CASE("tutorial: a training step reorders no activation, and its buffers share an arena") {
  if (onednn::isa() == "SSE4.1") {
    // There the kernel's gradient is fast only in a layout that the forward pass cannot write.
    MESSAGE("left out: oneDNN has no AVX to work with here");
    return;
  }
  nn::Sequential model = tutorial();
  const nn::Dataset data = bars(64, 3);
  Executable& step = model.training_step(data, 64);
  const auto statistics = step.statistics();
  MESSAGE(step.report());
  CHECK(statistics.arena_bytes < statistics.buffer_bytes);
  // The image between convolution and pooling, and its gradient, are nowhere.
  const std::size_t replicas = statistics.replicas;
  CHECK(statistics.arena_bytes < 64 / replicas * 28 * 28 * 32 * sizeof(float));
  // Reorders of weights' gradients are small; one of an activation would move 64 images.
  for (const auto& reorder : step.reorders()) {
    CAPTURE(reorder.name);
    CHECK((reorder.bytes < 64 * 28 * 28 * 4 || reorder.name == "x"));
  }
  CHECK(statistics.reorders <= 3);
  const std::string steps = step.to_string();
  CHECK(steps.find("conv2d_max_pool2d+relu") != std::string::npos);
  CHECK(steps.find("conv2d_max_pool2d_kernel_grad") != std::string::npos);
  CHECK(steps.find("matmul+add+relu") != std::string::npos);
}

TEST_CASE("tutorial: the same losses on any number of replicas, and the same bits on as many") {
  // 64 images are cut into 64, 32 + 32, 22 + 21 + 21 and 4 x 16: sums in another order.
  const nn::Dataset data = bars(640, 5);
  const auto losses = [&](std::size_t replicas) {
    nn::Sequential model = tutorial();
    model.config.replicas = replicas;
    CHECK(model.training_step(data, 64).statistics().replicas == replicas);
    std::vector<double> sums;  // of the losses so far
    const nn::Callback watch{
        .on_train_batch_end = [&](nn::Model&, std::int64_t batch, nn::Logs& logs) {
          sums.push_back(logs["loss"] * static_cast<double>(batch + 1));
        }};
    model.fit(data, {.batch_size = 64, .shuffle = false, .verbose = 0, .callbacks = {watch}});
    REQUIRE(sums.size() == 10);
    for (std::size_t i = sums.size(); i-- > 1;) sums[i] -= sums[i - 1];
    return sums;
  };
  const auto one = losses(1);
  CHECK(one.back() < 0.97 * one.front());
  for (const std::size_t replicas : {1, 2, 3, 4}) {
    CAPTURE(replicas);
    const auto some = losses(replicas);
    CHECK(some == losses(replicas));
    for (std::size_t step = 0; step < 10; ++step) {
      CAPTURE(step);
      // A sum of 64 terms rounds by a few units of the last place, 6e-8 each; Adam's first steps,
      // which divide a gradient by its own size, carry the rounding of small gradients along.
      const double bound = step == 0 ? 1e-6 : 2e-5;
      CHECK(std::abs(some[step] - one[step]) <= bound * one[step]);
    }
  }
}

#if !WEFT_ADDRESS_SANITIZER
TEST_CASE("tutorial: batches on their way through fit and predict allocate nothing") {
  nn::Sequential model = tutorial();
  model.config.replicas = 2;
  nn::Callback watch;
  std::int64_t first = 0, last = 0;
  const auto begin = [&](nn::Model&, std::int64_t batch) {
    if (batch == first) watching = true;
  };
  watch.on_train_batch_begin = watch.on_predict_batch_begin = begin;
  watch.on_train_batch_end = [&](nn::Model&, std::int64_t batch, nn::Logs&) {
    if (batch == last) watching = false;
  };
  watch.on_predict_batch_end = [&](nn::Model&, std::int64_t batch) {
    if (batch == last) watching = false;
  };
  const nn::Dataset data = bars(650, 6);
  first = 2;
  last = 9;
  allocations = 0;
  model.fit(data, {.batch_size = 63, .verbose = 0, .callbacks = {watch}});
  CHECK(!watching);
  CHECK(allocations == 0);

  // One image is predicted without another thread, so nobody who holds the replicas is waited for.
  model.predict(data.rows(0, 1), {.verbose = 0});
  const test::HeldTeam held(2);
  first = 1;
  last = 4;
  model.predict(data.rows(0, 6), {.batch_size = 1, .verbose = 0, .callbacks = {watch}});
  CHECK(!watching);
  CHECK(allocations == 0);
}

TEST_CASE("tutorial: weights and metrics that keep sums allocate nothing either") {
  nn::Sequential model = tutorial();
  model.config.replicas = 2;
  model.compile({.optimizer = "adam",
                 .loss = "categorical_crossentropy",
                 .metrics = {"accuracy", "auc", "confusion_matrix", nn::F1Score{},
                             nn::Precision{.thresholds = {0.2, 0.8}}, nn::R2Score{},
                             nn::OneHotMeanIoU{.num_classes = 10}},
                 .weighted_metrics = {"accuracy", "auc"}});
  const nn::Dataset bytes = bars(650, 7);
  Tensor images(Type{DType::f32, {650, 28, 28, 1}}), labels(Type{DType::f32, {650, 10}});
  std::vector<std::int64_t> all(650);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  bytes.x().take(all, images);
  bytes.y().take(all, labels);
  const nn::Dataset data(images, labels, Tensor::full({650}, 0.5f));
  nn::Callback watch;
  watch.on_train_batch_begin = [](nn::Model&, std::int64_t batch) {
    watching = batch >= 2 && batch < 10;
  };
  watch.on_train_batch_end = [](nn::Model&, std::int64_t batch, nn::Logs&) {
    if (batch == 9) watching = false;
  };
  allocations = 0;
  model.fit(data, {.batch_size = 63, .verbose = 0, .callbacks = {watch}});
  watching = false;
  CHECK(allocations == 0);
}

template <class Action>
std::size_t allocations_of(Action action) {
  allocations = 0;
  watching = true;
  action();
  watching = false;
  return allocations.load();
}

TEST_CASE("tutorial: after the first, a training step allocates nothing") {
  CHECK(allocations_of([] { delete new std::string(100, 'x'); }) >= 1);  // the counter counts
  nn::Sequential normalized{nn::Conv2D(8, 3), nn::BatchNormalization(), nn::ReLU(), nn::Flatten(),
                            nn::Dense(10, {.activation = "softmax"})};
  normalized.compile({.loss = "categorical_crossentropy"});
  nn::Sequential plain = tutorial();
  for (nn::Model* model : {&plain, &normalized}) {
    Executable& step = model->training_step(bars(64, 4), 64);
    step.step();
    step.step();
    CHECK(allocations_of([&] {
            for (int i = 0; i < 5; ++i) step.step();
          }) == 0);
  }
}
#endif

}  // namespace
}  // namespace weft
