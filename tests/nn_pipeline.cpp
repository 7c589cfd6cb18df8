// Data that are made as they are needed: generated, mapped, augmented, ahead of the steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>
#include <vector>

#include "nn/nn.hpp"
#include "nn/prefetch.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

using nn::Dataset;
using nn::Random;
using Rows = std::span<const std::span<float>>;

Tensor counted(Shape shape) {
  Tensor tensor(Type{DType::f32, shape});
  std::iota(tensor.data<float>().begin(), tensor.data<float>().end(), 0.0f);
  return tensor;
}

std::vector<float> taken(const nn::Column& column, std::vector<std::int64_t> rows,
                         std::uint64_t pass = 0) {
  Tensor batch(
      Type{DType::f32, {static_cast<std::int64_t>(rows.size()), column.row_shape().elements()}});
  column.take(rows, batch, 0, pass);
  const auto numbers = std::as_const(batch).data<float>();
  return {numbers.begin(), numbers.end()};
}

/// x: noise; y: its sum's sign, as a class.
Dataset noise(std::int64_t size = 200, int width = 6) {
  return Dataset::generate(size, {{width}}, {{1}}, [](std::int64_t, Random& random, Rows rows) {
    float sum = 0;
    for (float& number : rows[0]) sum += number = static_cast<float>(random.normal());
    rows[1][0] = sum > 0 ? 1.0f : 0.0f;
  });
}

nn::Sequential classifier(int width = 6) {
  nn::Sequential model({nn::Dense(8, {.activation = "relu", .input_shape = {width}}),
                        nn::Dense(2, {.activation = "softmax"})},
                       {.seed = 1});
  model.compile(
      {.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  return model;
}

std::vector<float> weights_of(nn::Model& model) {
  std::vector<float> all;
  for (const Tensor& weight : model.get_weights()) {
    const auto numbers = weight.data<float>();
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  return all;
}

TEST_CASE("pipeline: samples of a generator come with their targets, anew in each pass") {
  const Dataset data = noise();
  CHECK(data.size() == 200);
  CHECK(data.x().is_made());
  CHECK(data.x().row_shape() == Shape{6});
  CHECK(data.y().row_shape() == Shape{1});
  const std::vector<float> x = taken(data.x(), {3, 5}), y = taken(data.y(), {3, 5});
  for (std::size_t i = 0; i < 2; ++i) {
    const float sum = std::accumulate(x.begin() + static_cast<std::ptrdiff_t>(6 * i),
                                      x.begin() + static_cast<std::ptrdiff_t>(6 * i + 6), 0.0f);
    CHECK(y[i] == (sum > 0 ? 1.0f : 0.0f));
  }
  CHECK(taken(data.x(), {3, 5}) == x);
  CHECK(taken(data.x(), {5, 3}) != x);
  CHECK(taken(data.x(), {3, 5}, 1) != x);
}

TEST_CASE("pipeline: a sample is made once for all of its columns") {
  std::atomic<int> made = 0;
  const Dataset data =
      Dataset::generate(10, {{2}, {3}}, {{1}}, [&](std::int64_t sample, Random&, Rows rows) {
        ++made;
        for (const auto& row : rows) std::ranges::fill(row, static_cast<float>(sample));
      });
  std::vector<Tensor> batch;
  const std::vector<std::int64_t> rows{4, 2};
  nn::make_batch(std::vector{data.x(0), data.x(1), data.y().scaled(10)}, rows, 0, batch);
  CHECK(made == 2);
  CHECK(batch[0].data<float>()[3] == 2);
  CHECK(batch[1].data<float>()[0] == 4);
  CHECK(batch[2].data<float>()[1] == 20);
}

TEST_CASE("pipeline: rows that were picked, mapped, scaled, and ranges of them") {
  const Dataset data(counted({6, 2}), counted({6}));
  const std::vector<std::int64_t> order{5, 0, 3};
  const nn::Column picked = data.x().picked(order);
  CHECK(picked.size() == 3);
  CHECK(taken(picked, {0, 2}) == std::vector<float>{10, 11, 6, 7});
  CHECK(taken(picked.rows(1, 3), {0}) == std::vector<float>{0, 1});
  CHECK(taken(picked.rows(1, 3).picked(std::vector<std::int64_t>{1}), {0}) ==
        std::vector<float>{6, 7});
  const Dataset sums = data.scaled(2).mapped(
      [](std::span<const float> x, std::span<float> out, Random&) { out[0] = x[0] + x[1]; },
      Shape{1});
  CHECK(taken(sums.x(), {1, 5}) == std::vector<float>{10, 42});
  CHECK(taken(sums.scaled(0.5f, 1).rows(1, 3).x(), {0}) == std::vector<float>{6});
  CHECK(sums.y().row_shape() == Shape());

  const Dataset shuffled = data.shuffled(1);
  std::vector<float> targets = taken(shuffled.y(), {0, 1, 2, 3, 4, 5});
  CHECK(taken(shuffled.x(), {0})[0] == 2 * targets[0]);  // x and y stay together
  CHECK(targets == taken(data.shuffled(1).y(), {0, 1, 2, 3, 4, 5}));
  CHECK(targets != taken(data.shuffled(2).y(), {0, 1, 2, 3, 4, 5}));
  std::ranges::sort(targets);
  CHECK(targets == std::vector<float>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("pipeline: however data are prefetched, training is the same to the last bit") {
  std::vector<float> expected;
  for (const auto& [batches, threads] : {std::pair{0, 1}, {1, 1}, {2, 1}, {3, 4}, {50, 2}}) {
    CAPTURE(batches);
    CAPTURE(threads);
    nn::Sequential model = classifier();
    const Dataset data = noise().scaled(0.5f).prefetched(batches, threads);
    const nn::History history =
        model.fit(data, {.epochs = 3, .validation_split = 0.25, .verbose = 0, .seed = 5});
    CHECK(history["loss"].back() < history["loss"].front());
    std::vector<float> weights = weights_of(model);
    for (const double loss : history["val_loss"]) weights.push_back(static_cast<float>(loss));
    if (expected.empty()) expected = weights;
    CHECK(weights == expected);
    CHECK(model.evaluate(data, {.verbose = 0})["accuracy"] ==
          model.evaluate(data.prefetched(0), {.verbose = 0})["accuracy"]);
    CHECK(model.predict(data, {.verbose = 0}).shape() == Shape{200, 2});
  }
}

TEST_CASE("pipeline: made data and the same in memory train alike") {
  const Tensor x = counted({40, 6}), y = Tensor::full({40, 1}, 1);
  nn::Sequential in_memory = classifier(), made = classifier();
  const Dataset data = Dataset(x, y).scaled(0.01f);
  const auto copy = [](std::span<const float> from, std::span<float> to, Random&) {
    std::ranges::copy(from, to.begin());
  };
  in_memory.fit(data, {.epochs = 2, .verbose = 0});
  made.fit(data.mapped(copy), {.epochs = 2, .verbose = 0});
  CHECK(weights_of(in_memory) == weights_of(made));
}

TEST_CASE("pipeline: epochs differ, and training goes on as if it had not been stopped") {
  nn::Sequential whole = classifier(), stopped = classifier();
  whole.fit(noise(), {.epochs = 4, .verbose = 0, .seed = 3});
  stopped.fit(noise(), {.epochs = 2, .verbose = 0, .seed = 3});
  stopped.fit(noise(), {.epochs = 4, .initial_epoch = 2, .verbose = 0, .seed = 3});
  CHECK(weights_of(whole) == weights_of(stopped));
}

TEST_CASE("pipeline: what making a sample throws, fit throws, and labels are checked") {
  for (const int ahead : {0, 2}) {
    CAPTURE(ahead);
    nn::Sequential model = classifier();
    const Dataset failing =
        Dataset::generate(100, {{6}}, {{1}}, [](std::int64_t sample, Random&, Rows rows) {
          if (sample == 70) fail<IoError>("sample {} is damaged", sample);
          for (const auto& row : rows) std::ranges::fill(row, 1.0f);
        });
    check_message<IoError>([&] { model.fit(failing.prefetched(ahead), {.verbose = 0}); },
                           {"sample 70 is damaged"});
    const Dataset wrong =
        Dataset::generate(100, {{6}}, {{1}}, [](std::int64_t, Random&, Rows rows) {
          for (const auto& row : rows) std::ranges::fill(row, 7.0f);
        });
    check_message<ArgumentError>([&] { model.fit(wrong.prefetched(ahead), {.verbose = 0}); },
                                 {"label 7", "2 classes"});
    CHECK_NOTHROW(model.fit(noise(), {.verbose = 0}));  // and all is well afterwards
  }
}

TEST_CASE("pipeline: training that a callback ends leaves no thread behind") {
  nn::Sequential model = classifier();
  int batches = 0;
  const nn::Callback stop{.on_train_batch_end = [&](nn::Model& trained, std::int64_t, nn::Logs&) {
    trained.stop_training = ++batches == 2;
  }};
  model.fit(noise(10000), {.epochs = 5, .verbose = 0, .callbacks = {stop}});
  CHECK(batches == 2);
}

TEST_CASE("pipeline: batches are made while steps run") {
  // The maker counts how far ahead of the consumer it is: three slots, of which one is in use.
  std::atomic<int> made = 0;
  const Dataset data =
      Dataset::generate(100, {{1}}, {{1}}, [&](std::int64_t, Random&, Rows) { ++made; });
  std::vector<std::int64_t> order(100);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  nn::Prefetcher prefetcher({data.x()}, order, 10, 0, 2, 1);
  const auto reaches = [&](int count) {
    for (int i = 0; i < 2000 && made < count; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return made == count;
  };
  CHECK(reaches(30));
  prefetcher.next();
  CHECK(reaches(30));  // the first slot is in use
  prefetcher.next();
  CHECK(reaches(40));
}

TEST_CASE("pipeline: mistakes are said") {
  const Dataset data(counted({6, 2}), counted({6}));
  check_message<ArgumentError>([] { Dataset::generate(0, {{1}}, {}, [](auto, auto&, auto) {}); },
                               {"size must be at least 1, not 0"});
  check_message<ArgumentError>([] { Dataset::generate(1, {}, {}, [](auto, auto&, auto) {}); },
                               {"one shape of x"});
  check_message<ArgumentError>([] { Dataset::generate(1, {{1}}, {}, {}); }, {"a function"});
  check_message<ArgumentError>([&] { data.mapped({}); }, {"a function"});
  check_message<ArgumentError>([&] { data.mapped([](auto, auto, auto&) {}, Shape{1}, 1); },
                               {"no x 1"});
  check_message<ArgumentError>([&] { data.prefetched(-1); }, {"-1 and 1"});
  check_message<ArgumentError>([&] { data.prefetched(1, 0); }, {"1 and 0"});
  const std::vector<std::int64_t> beyond{6};
  check_message<ArgumentError>([&] { data.x().picked(beyond); }, {"no sample 6 among 6"});
  check_message<ShapeError>([&] { data.augmented({.rotation = 0.1}); }, {"[H,W,C]", "[2]"});
}

// ---- augmentation

Tensor image_of_one(std::int64_t y, std::int64_t x, std::int64_t size = 5) {
  Tensor image(Type{DType::f32, {1, size, size, 1}});
  image.data<float>()[static_cast<std::size_t>(y * size + x)] = 255;
  return image;
}

TEST_CASE("augmentation: flips move pixels to where they belong, in half of all passes") {
  const Dataset data(image_of_one(1, 0));
  const std::vector<float> plain = taken(data.x(), {0});
  std::vector<float> flipped(25);
  flipped[1 * 5 + 4] = 255;
  const Dataset flips = data.augmented({.horizontal_flip = true});
  int count = 0;
  for (std::uint64_t pass = 0; pass < 200; ++pass) {
    const std::vector<float> seen = taken(flips.x(), {0}, pass);
    CHECK((seen == plain || seen == flipped));
    count += seen == flipped;
  }
  CHECK(count > 70);
  CHECK(count < 130);
  std::vector<float> upside_down(25);
  upside_down[3 * 5 + 0] = 255;
  bool seen = false;
  for (std::uint64_t pass = 0; pass < 20; ++pass) {
    seen = seen || taken(data.augmented({.vertical_flip = true}).x(), {0}, pass) == upside_down;
  }
  CHECK(seen);
}

TEST_CASE("augmentation: shifts and turns keep what stays inside, and stay within their bounds") {
  const auto centre = [](const std::vector<float>& image, std::size_t size) {
    double sum = 0, y = 0, x = 0;
    for (std::size_t i = 0; i < image.size(); ++i) {
      sum += static_cast<double>(image[i]);
      y += static_cast<double>(image[i]) * static_cast<double>(i / size);
      x += static_cast<double>(image[i]) * static_cast<double>(i % size);
    }
    return std::array{sum, y / sum, x / sum};
  };
  const Dataset data(image_of_one(5, 5, 11));
  double most_y = 0, most_x = 0;
  for (std::uint64_t pass = 0; pass < 300; ++pass) {
    const auto shifted = data.augmented({.height_shift = 0.2, .width_shift = 0.1});
    const auto [sum, y, x] = centre(taken(shifted.x(), {0}, pass), 11);
    CHECK(sum == doctest::Approx(255).epsilon(1e-4));
    most_y = std::max(most_y, std::abs(y - 5));
    most_x = std::max(most_x, std::abs(x - 5));
  }
  CHECK(most_y <= 2.2 + 1e-4);
  CHECK(most_y > 2);
  CHECK(most_x <= 1.1 + 1e-4);
  CHECK(most_x > 1);
  // A pixel right of the centre goes round it, by a sixth of a circle at most.
  const Dataset right(image_of_one(5, 8, 11));
  double most_angle = 0;
  for (std::uint64_t pass = 0; pass < 300; ++pass) {
    const auto turned = right.augmented({.rotation = 1.0 / 6});
    const auto [sum, y, x] = centre(taken(turned.x(), {0}, pass), 11);
    CHECK(std::hypot(y - 5, x - 5) == doctest::Approx(3).epsilon(0.05));
    most_angle = std::max(most_angle, std::abs(std::atan2(y - 5, x - 5)));
  }
  CHECK(most_angle <= 3.14159 / 3 + 0.02);
  CHECK(most_angle > 3.14159 / 3 - 0.1);
}

TEST_CASE("augmentation: zoom, brightness and contrast") {
  Tensor square = Tensor::full({1, 10, 10, 1}, 0);
  for (std::size_t y = 3; y < 7; ++y) {
    for (std::size_t x = 3; x < 7; ++x) square.data<float>()[y * 10 + x] = 100;
  }
  const Dataset data(square);
  double least = 1e9, most = 0;
  for (std::uint64_t pass = 0; pass < 200; ++pass) {
    const std::vector<float> seen = taken(data.augmented({.zoom = 0.25}).x(), {0}, pass);
    const double area = std::accumulate(seen.begin(), seen.end(), 0.0) / 100;
    least = std::min(least, area);
    most = std::max(most, area);
  }
  CHECK(least == doctest::Approx(16 * 0.75 * 0.75).epsilon(0.1));
  CHECK(most == doctest::Approx(16 * 1.25 * 1.25).epsilon(0.1));

  for (std::uint64_t pass = 0; pass < 50; ++pass) {
    const std::vector<float> bright = taken(data.augmented({.brightness = 0.2}).x(), {0}, pass);
    const float added = bright[33] - 100;
    CHECK(std::abs(added) <= 51.01f);
    CHECK(bright[0] == doctest::Approx(std::max(added, 0.0f)).epsilon(1e-4));  // kept at 0 or more
    const std::vector<float> harder = taken(data.augmented({.contrast = 0.5}).x(), {0}, pass);
    CHECK(harder[33] >= 16 + 0.5 * 84 - 0.01);  // the mean is 16
    CHECK(harder[33] <= 16 + 1.5 * 84 + 0.01);
  }
}

TEST_CASE("augmentation: what is outside of its bounds") {
  const Shape image{8, 8, 3};
  check_message<ShapeError>([] { nn::augment({}, {8}); }, {"[H,W] or [H,W,C]"});
  check_message<ArgumentError>([&] { nn::augment({.rotation = -1}, image); }, {"rotation", "-1"});
  check_message<ArgumentError>([&] { nn::augment({.zoom = 1}, image); }, {"zoom", "below 1"});
  check_message<ArgumentError>([&] { nn::augment({.contrast = 2}, image); }, {"contrast"});
  check_message<ArgumentError>([&] { nn::augment({.value_range = 0}, image); }, {"value_range"});
  check_message<ArgumentError>([&] { nn::augment({.width_shift = std::nan("")}, image); },
                               {"width_shift"});
}

}  // namespace
}  // namespace weft::test
