#include "nn/progress.hpp"

#include <sstream>

#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

/// A progress line whose clock is a variable.
struct Fixture {
  std::ostringstream out;
  double time = 100;
  nn::Progress progress;

  explicit Fixture(int verbose, bool terminal = true)
      : progress(verbose, {.out = &out, .terminal = terminal, .clock = [this] { return time; }}) {}

  std::string written() {
    std::string text = out.str();
    out.str("");
    return text;
  }
};

/// What goes before a line that is drawn over another.
std::string over(const std::string& line) { return std::string(line.size(), '\b') + "\r"; }

nn::Logs logs_of(std::initializer_list<std::pair<const char*, double>> entries) {
  nn::Logs logs;
  for (const auto& [name, value] : entries) logs.set(name, value);
  return logs;
}

}  // namespace

TEST_CASE("progress: the bar as Keras draws it") {
  Fixture f(1);
  f.progress.begin(938, "Epoch 3/10");
  CHECK(f.written() == "Epoch 3/10\n");

  // The first step is slow, and left out of the estimate that follows.
  f.time += 2;
  f.progress.update(1, logs_of({{"loss", 2.3}}));
  const std::string first = "  1/938 [..............................] - ETA: 31:14 - loss: 2.3000";
  CHECK(f.written() == "\r" + first);

  const auto logs = logs_of({{"loss", 0.8949}, {"accuracy", 0.5026}});
  f.time += 6 * 0.0096;
  f.progress.update(7, logs);
  const std::string early =
      "  7/938 [..............................] - ETA: 8s - loss: 0.8949 - accuracy: 0.5026";
  CHECK(f.written() == over(first) + early);
  f.progress.update(8, logs);  // too soon
  CHECK(f.written().empty());

  f.time = 102 + 468 * 0.0096;
  f.progress.update(469, logs);
  CHECK(f.written() ==
        over(early) +
            "469/938 [==============>...............] - ETA: 4s - loss: 0.8949 - accuracy: 0.5026");
  f.time = 110.9;
  f.progress.update(938, logs);
  CHECK(f.written() ==
        over(early) +
            "938/938 [==============================] - ETA: 0s - loss: 0.8949 - accuracy: 0.5026");
  f.time = 111.1;
  f.progress.finish(logs_of(
      {{"loss", 0.0424}, {"accuracy", 0.9973}, {"val_loss", 0.1313}, {"val_accuracy", 0.9836}}));
  CHECK(f.written() == over(early) +
                           "938/938 [==============================] - 11s 10ms/step - loss: "
                           "0.0424 - accuracy: 0.9973 - val_loss: 0.1313 - val_accuracy: 0.9836\n");
}

TEST_CASE("progress: a shorter line covers a longer one") {
  Fixture f(1);
  f.progress.begin(2);
  f.time += 7200;
  f.progress.update(1, logs_of({{"loss", -1e-5}, {"mae", 1e-5}}));
  const std::string first =
      "1/2 [==============>...............] - ETA: 2:00:00 - loss: -1.0000e-05 - mae: 1.0000e-05";
  CHECK(f.written() == "\r" + first);
  f.time += 0.0005;
  f.progress.finish(logs_of({{"loss", 0.5}}));
  const std::string last = "2/2 [==============================] - 7200s 500us/step - loss: 0.5000";
  CHECK(f.written() == over(first) + last + std::string(first.size() - last.size(), ' ') + "\n");
}

TEST_CASE("progress: not on a terminal, each update is a new line") {
  Fixture f(1, false);
  f.progress.begin(1, "Epoch 1/2");
  f.time += 1.5;
  f.progress.update(1, logs_of({{"loss", 0.25}}));
  f.progress.finish(logs_of({{"loss", 0.25}}));
  CHECK(f.written() ==
        "Epoch 1/2\n"
        "\n1/1 [==============================] - ETA: 0s - loss: 0.2500"
        "\n1/1 [==============================] - 2s 2s/step - loss: 0.2500\n");
}

TEST_CASE("progress: one line an epoch, or none") {
  const auto logs = logs_of(
      {{"loss", 0.0424}, {"accuracy", 0.9973}, {"val_loss", 0.1313}, {"val_accuracy", 0.9836}});
  Fixture f(2);
  f.progress.begin(938, "Epoch 1/10");
  f.time += 8.9;
  f.progress.update(938, logs);
  f.progress.finish(logs);
  CHECK(f.written() ==
        "Epoch 1/10\n938/938 - 9s - loss: 0.0424 - accuracy: 0.9973 - val_loss: 0.1313 - "
        "val_accuracy: 0.9836 - 9s/epoch - 9ms/step\n");

  Fixture silent(0);
  silent.progress.begin(3, "Epoch 1/10");
  silent.progress.update(1, logs);
  silent.progress.finish(logs);
  CHECK(silent.written().empty());
  CHECK(message_of<ArgumentError>([] { nn::Progress{3}; }) ==
        "progress: verbose must be 0 (silent), 1 (bar) or 2 (one line), not 3");
}

TEST_CASE("progress: by itself, one line where it cannot draw") {
  std::ostringstream out;
  nn::Progress progress({}, {.out = &out});
  progress.begin(2);
  progress.update(1, {});
  CHECK(out.str().empty());
  progress.finish({});
  CHECK(out.str().starts_with("2/2 - 0s - "));
}

TEST_CASE("history: series by name") {
  nn::History history;
  history.append(0, logs_of({{"loss", 1}}));
  history.append(1, logs_of({{"loss", 0.5}, {"val_loss", 2}}));
  CHECK(history.epoch == std::vector<int>{0, 1});
  CHECK(history["loss"] == std::vector<double>{1, 0.5});
  CHECK(history["val_loss"] == std::vector<double>{2});
  CHECK(history.names() == std::vector<std::string>{"loss", "val_loss"});
  CHECK(message_of<ArgumentError>([&] { history["acc"]; }) ==
        "history: there is no \"acc\"; there are: loss, val_loss");
  CHECK(message_of<ArgumentError>([&] {
          logs_of({{"loss", 1}})["acc"];
        }) == "logs: there is no \"acc\"; there are: loss");
}

}  // namespace weft::test
