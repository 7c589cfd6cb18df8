// What docs/training.md shows, and that it works. Sections between marks are shown there word for
// word (tests/readme.cpp compares them), so they are written as a user's program would be.
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <random>
#include <sstream>

#include "io/image.hpp"
#include "tests/io_files.hpp"
// [headers]
#include "io/image_folder.hpp"
#include "io/model_files.hpp"
#include "io/plot.hpp"
#include "nn/nn.hpp"

using namespace weft;
// [end]

namespace {

namespace fs = std::filesystem;

/// The folder of pictures: daisies are bright in the middle, roses at the edge.
void write_flowers() {
  std::mt19937 random(1);
  for (const std::string name : {"daisy", "rose"}) {
    fs::create_directories("flowers/" + name);
    for (int i = 0; i < 40; ++i) {
      Tensor picture(Type{DType::u8, {20, 24, 3}});
      const auto pixels = picture.data<std::uint8_t>();
      for (int y = 0; y < 20; ++y) {
        for (int x = 0; x < 24; ++x) {
          const bool middle = std::abs(y - 10) < 6 && std::abs(x - 12) < 6;
          for (int c = 0; c < 3; ++c) {
            pixels[static_cast<std::size_t>((y * 24 + x) * 3 + c)] = static_cast<std::uint8_t>(
                random() % 60 + (middle == (name == "daisy") ? 150u : 20u));
          }
        }
      }
      write_png(fmt::format("flowers/{}/{}.png", name, i), picture);
    }
  }
}

nn::Sequential flower_model() {
  // [model]
  nn::Sequential model{nn::Conv2D(16, 3, {.activation = "relu"}), nn::MaxPooling2D(2),
                       nn::Flatten(), nn::Dense(2, {.activation = "softmax"})};
  model.compile(
      {.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  // [end]
  return model;
}

TEST_CASE("docs/training.md: pictures in a folder, callbacks, curves") {
  const test::TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_flowers();

  // [data]
  auto [pictures, classes, files] = load_image_folder("flowers", {.height = 32, .width = 32});
  auto [train, test] = pictures.scaled(1.0f / 255).shuffled(1).split(0.2);
  train =
      train.augmented({.rotation = 0.05, .zoom = 0.1, .horizontal_flip = true, .value_range = 1});
  // [end]
  nn::Sequential model = flower_model();

  const auto fit = [&] {
    // [fit]
    const nn::History history = model.fit(
        train, {.epochs = 20,
                .validation_data = test,
                .callbacks = {nn::BackupAndRestore{"flowers.state"},
                              nn::EarlyStopping{.patience = 4, .restore_best_weights = true},
                              nn::ReduceLROnPlateau{.factor = 0.5, .patience = 2},
                              nn::ModelCheckpoint{"best.keras", {.save_best_only = true}},
                              nn::CSVLogger{"log.csv"}, nn::TensorBoard{"logs"}}});
    model.save("flowers.h5");
    // [end]
    return history;
  };
  std::ostringstream said;
  auto* const console = std::cout.rdbuf(said.rdbuf());
  const nn::History history = fit();

  // [look]
  history.plot("history.png");
  std::cout << nn::diagnosis(history).text() << '\n';
  const Tensor labels = test.y().to_tensor(), predictions = model.predict(test);
  plot_confusion_matrix("confusion.png", confusion_matrix(labels, predictions), classes);
  plot_mistakes("mistakes.png", test.x().to_tensor(), mistakes(labels, predictions), classes);
  // [end]

  // [own]
  nn::Callback patience_of_mine;
  patience_of_mine.on_epoch_end = [](nn::Model& model, int epoch, nn::Logs& logs) {
    if (logs["val_accuracy"] > 0.99 && epoch >= 2) model.stop_training = true;
  };
  model.fit(train, {.epochs = 50, .validation_data = test, .callbacks = {patience_of_mine}});
  // [end]

  // [generate]
  // x and whether it lies in the circle, made when a batch needs it.
  const nn::Dataset circle = nn::Dataset::generate(
      1000, {{2}}, {{1}},
      [](std::int64_t, nn::Random& random, std::span<const std::span<float>> rows) {
        for (float& number : rows[0]) number = static_cast<float>(random.uniform(-1, 1));
        rows[1][0] = std::hypot(rows[0][0], rows[0][1]) < 0.8f ? 1.0f : 0.0f;
      });
  // [end]
  nn::Sequential net(
      {nn::Dense(16, {.activation = "tanh"}), nn::Dense(1, {.activation = "sigmoid"})});
  net.compile({.optimizer = nn::Adam{.learning_rate = 0.03},
               .loss = "binary_crossentropy",
               .metrics = {"accuracy"}});
  const nn::History circles = net.fit(circle, {.epochs = 10});
  std::cout.rdbuf(console);

  CHECK(model.evaluate(test, {.verbose = 0})["accuracy"] > 0.9);
  CHECK(circles["accuracy"].back() > 0.85);
  for (const char* file : {"history.png", "confusion.png", "mistakes.png", "best.keras",
                           "flowers.h5", "log.csv", "logs/train"}) {
    CAPTURE(file);
    CHECK(fs::exists(file));
  }
  CHECK_FALSE(fs::exists("flowers.state"));
  CHECK(said.str().find("Best epoch: ") != std::string::npos);
  fs::current_path(before);
}

}  // namespace
