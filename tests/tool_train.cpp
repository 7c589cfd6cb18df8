// weft train, evaluate, predict IMAGE, draw, bench and completion, run as their users run them.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "io/idx.hpp"
#include "io/image.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/program.hpp"

#ifdef WEFT_PROGRAM

namespace weft::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Images of 12x12 with a bright square in one of the four corners, which is the class.
Tensor squares(const std::vector<std::uint8_t>& labels, unsigned seed) {
  std::mt19937 random(seed);
  const auto count = static_cast<std::int64_t>(labels.size());
  Tensor images(Type{DType::u8, {count, 12, 12}});
  const auto out = images.data<std::uint8_t>();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    for (std::size_t y = 0; y < 12; ++y) {
      for (std::size_t x = 0; x < 12; ++x) {
        const std::size_t corner = (y >= 6 ? 2u : 0u) + (x >= 6 ? 1u : 0u);
        out[(i * 12 + y) * 12 + x] =
            static_cast<std::uint8_t>(random() % 64 + (corner == labels[i] ? 150 : 0));
      }
    }
  }
  return images;
}

std::vector<std::uint8_t> corners(std::size_t count) {
  std::vector<std::uint8_t> labels(count);
  for (std::size_t i = 0; i < count; ++i) labels[i] = static_cast<std::uint8_t>(i * 7 % 4);
  return labels;
}

/// A folder like MNIST's, and a small network for it.
struct Sample {
  TemporaryFolder folder{};
  std::string at(std::string_view name) const { return (folder / name).string(); }

  explicit Sample(std::size_t count = 512) {
    fs::create_directory(at("data"));
    const auto write = [&](const std::string& part, std::size_t samples, unsigned seed) {
      const std::vector<std::uint8_t> labels = corners(samples);
      write_idx(at("data/" + part + "-images-idx3-ubyte"), squares(labels, seed));
      write_idx(at("data/" + part + "-labels-idx1-ubyte"),
                Tensor::of<std::uint8_t>({static_cast<std::int64_t>(samples)}, labels));
    };
    write("train", count, 1);
    write("t10k", 64, 2);
    nn::Sequential model({nn::Conv2D(4, {3, 3}, {.activation = "relu", .input_shape = {12, 12, 1}}),
                          nn::MaxPooling2D(2), nn::Flatten(), nn::Dropout(0.1),
                          nn::Dense(4, {.activation = "softmax"})});
    model.save(at("m.json"));
  }
  /// weft train of that network on that data, quiet.
  std::vector<std::string> train(std::vector<std::string> more) const {
    std::vector<std::string> words{"train",    "--model", at("m.json"), "--data",
                                   at("data"), "--save",  at("m.h5")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST_CASE("program: train, evaluate and predict, from data to a picture's class") {
  const Sample s;
  const std::string text = check_done(s.train(
      {"--epochs", "12", "--batch-size", "16", "--plot", s.at("h.svg"), "--log", s.at("log.csv"),
       "--tensorboard", s.at("events"), "--checkpoint", s.at("best.keras")}));
  CHECK(text.find("Epoch 12/12") != std::string::npos);
  CHECK(text.find("Best epoch: ") != std::string::npos);
  CHECK(text.find("Saved " + s.at("m.h5")) != std::string::npos);
  CHECK(content(s.at("h.svg")).find("<svg") != std::string::npos);
  CHECK(content(s.at("log.csv")).starts_with("epoch,accuracy,loss,val_accuracy,val_loss\n0,"));
  CHECK(fs::exists(s.at("events/train")));
  CHECK(fs::exists(s.at("best.keras")));

  const json score =
      json::parse(check_done({"evaluate", s.at("m.h5"), "--data", s.at("data"), "--json",
                              "--confusion", s.at("c.png"), "--mistakes", s.at("x.svg")}));
  CHECK(score["samples"] == 64);
  CHECK(score["accuracy"] == 1);
  CHECK(score["loss"] < 0.5);
  CHECK(read_png(s.at("c.png")).elements() > 0);
  CHECK(fs::exists(s.at("x.svg")));
  CHECK(check_done({"evaluate", s.at("m.h5"), "--data", s.at("data")}).find("accuracy: 1.0000") !=
        std::string::npos);

  // A picture of another size.
  const Tensor images = squares({2}, 9);
  write_png(s.at("two.png"), images.reshaped({12, 12, 1}));
  Tensor large(Type{DType::u8, {48, 48, 3}});
  for (std::size_t i = 0; i < 48 * 48 * 3; ++i) {
    large.data<std::uint8_t>()[i] =
        images.data<std::uint8_t>()[i / (48 * 3) / 4 * 12 + i / 3 % 48 / 4];
  }
  write_png(s.at("large.png"), large);
  const auto predictions =
      lines_of(check_done({"predict", s.at("m.h5"), s.at("two.png"), s.at("large.png"), "--classes",
                           "nw,ne,sw,se", "--top", "2", "--json"}));
  REQUIRE(predictions.size() == 2);
  for (const json& each : predictions) {
    CHECK(each["predictions"].size() == 2);
    CHECK(each["predictions"][0]["class"] == "sw");
    CHECK(each["predictions"][0]["probability"] > 0.5);
  }
  CHECK(check_done({"predict", s.at("m.h5"), s.at("two.png")})
            .starts_with(s.at("two.png") + ":  2 "));
}

TEST_CASE("program: predict makes probabilities of scores, and two classes of one number") {
  const Sample s;
  write_png(s.at("p.png"), squares({1}, 4).reshaped({12, 12, 1}));
  const auto predicted = [&](std::int64_t units, const std::string& activation) {
    nn::Sequential model(
        {nn::Flatten({.input_shape = {12, 12, 1}}), nn::Dense(units, {.activation = activation})},
        {.seed = 3});
    model.save(s.at("p.h5"));
    return json::parse(
        check_done({"predict", s.at("p.h5"), s.at("p.png"), "--json"}))["predictions"];
  };
  for (const auto& [units, activation, count] :
       {std::tuple{3, "linear", 3u}, {3, "softmax", 3u}, {1, "sigmoid", 2u}}) {
    CAPTURE(activation);
    const json predictions = predicted(units, activation);
    REQUIRE(predictions.size() == count);
    double sum = 0;
    for (const json& each : predictions) sum += each["probability"].get<double>();
    CHECK(sum == doctest::Approx(1).epsilon(1e-5));
  }
  const json by_us = predicted(3, "linear"), by_the_model = predicted(3, "softmax");
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(by_us[i]["class"] == by_the_model[i]["class"]);
    CHECK(by_us[i]["probability"].get<double>() ==
          doctest::Approx(by_the_model[i]["probability"].get<double>()).epsilon(1e-5));
  }
  check_fails(2, {"predict", s.at("p.h5"), s.at("p.png"), "--classes", "a,b"},
              {"--classes: the model tells 3 classes apart, but 2 names were given: a, b"});
}

TEST_CASE("program: train speaks JSON, and trains on from a file") {
  const Sample s;
  const auto lines = lines_of(check_done(s.train({"--epochs", "2", "--json", "--seed", "4"})));
  REQUIRE(lines.size() == 3);
  CHECK(lines[0]["epoch"] == 1);
  CHECK(lines[1]["val_loss"] < lines[0]["val_loss"]);
  CHECK(lines[2]["saved"] == s.at("m.h5"));
  CHECK(lines[2]["test"]["loss"] == lines[1]["val_loss"]);
  const auto more =
      lines_of(check_done({"train", "--model", s.at("m.h5"), "--data", s.at("data"), "--epochs",
                           "1", "--json", "--save", s.at("n.keras"), "--learning-rate", "0.0005"}));
  CHECK(more[0]["loss"] < lines[1]["loss"]);
  CHECK(nn::load_model(s.at("n.keras")).learning_rate() == doctest::Approx(0.0005));
  CHECK(check_done(s.train({"--epochs", "1", "-q", "--optimizer", "sgd", "--loss", "mse"})) == "");
  CHECK(nn::load_model(s.at("m.h5")).training().loss.name == "mean_squared_error");
  const auto early = lines_of(check_done(
      s.train({"--epochs", "50", "--json", "--learning-rate", "0.5", "--early-stopping", "2"})));
  CHECK(early.size() < 51);
}

TEST_CASE("program: a model trained with what Weft does not have is evaluated and trained anew") {
  const Sample s;
  check_done(s.train({"--epochs", "1", "-q", "--optimizer", "sgd", "--loss", "mse"}));
  std::string bytes = content(s.at("m.h5"));
  const auto loss = bytes.find("mean_squared_error");
  REQUIRE(loss != std::string::npos);
  put(s.at("own.h5"), bytes.replace(loss, 18, "a_loss_of_somebody"));
  const auto warns = [](const Outcome& outcome, std::initializer_list<const char*> texts) {
    CHECK(outcome.code == 0);
    CAPTURE(outcome.err);
    CHECK(outcome.err.starts_with("weft: warning: "));
    for (const char* text : texts) CHECK(outcome.err.find(text) != std::string::npos);
  };
  warns(run({"evaluate", s.at("own.h5"), "--data", s.at("data")}),
        {"own.h5", "a_loss_of_somebody", "evaluated with optimizer adam, loss categorical",
         "metrics accuracy"});
  const std::vector<std::string> train{
      "train",    "--model", s.at("own.h5"), "--data", s.at("data"),
      "--epochs", "1",       "-q",           "--save", s.at("n.h5")};
  warns(run(train), {"a_loss_of_somebody", "anew with optimizer adam, loss categorical", "--loss"});
  std::vector<std::string> chosen = train;
  chosen.insert(chosen.end(), {"--loss", "mse", "--optimizer", "sgd"});
  warns(run(chosen), {"anew with optimizer sgd, loss mean_squared_error"});
  CHECK(nn::load_model(s.at("n.h5")).training().loss.name == "mean_squared_error");
}

TEST_CASE("program: a folder of pictures and a table are data, too") {
  const Sample s;
  std::mt19937 random(1);
  for (std::size_t i = 0; i < 80; ++i) {
    const auto label = static_cast<std::uint8_t>(i % 4);
    const std::string name(1, static_cast<char>('a' + label));
    fs::create_directories(s.at("pictures/" + name));
    write_png(s.at(fmt::format("pictures/{}/{}.png", name, i)),
              squares({label}, static_cast<unsigned>(i)).reshaped({12, 12, 1}));
  }
  const auto lines = lines_of(
      check_done({"train", "--model", s.at("m.json"), "--data", s.at("pictures"), "--save",
                  s.at("m.h5"), "--epochs", "20", "--batch-size", "8", "--augment", "--json"}));
  CHECK(lines.back()["test"]["accuracy"] > 0.7);
  CHECK(json::parse(check_done({"evaluate", s.at("m.h5"), "--data", s.at("pictures"), "--json",
                                "--confusion", s.at("c.svg"), "--mistakes",
                                s.at("w.png")}))["samples"] == 80);
  CHECK(content(s.at("c.svg")).find(">b<") != std::string::npos);  // named as the folders
  CHECK(read_png(s.at("w.png")).elements() > 0);

  std::string table = "a,b,kind\n";
  for (int i = 0; i < 200; ++i) {
    const int a = static_cast<int>(random() % 100), b = static_cast<int>(random() % 100);
    table += fmt::format("{},{},{}\n", a / 100.0, b / 100.0, a > b ? "more" : "less");
  }
  put(s.at("t.csv"), table);
  nn::Sequential model({nn::Dense(8, {.activation = "relu", .input_shape = {2}}),
                        nn::Dense(2, {.activation = "softmax"})});
  model.save(s.at("t.json"));
  const auto trained = lines_of(check_done(
      {"train", "--model", s.at("t.json"), "--data", s.at("t.csv"), "--save", s.at("t.h5"),
       "--epochs", "60", "--batch-size", "16", "--json", "--validation-split", "0.2"}));
  CHECK(trained.back()["test"]["accuracy"] > 0.85);
  check_done({"evaluate", s.at("t.h5"), "--data", s.at("t.csv"), "--confusion", s.at("t.svg")});
  CHECK(content(s.at("t.svg")).find(">less<") != std::string::npos);
  check_fails(2, {"evaluate", s.at("t.h5"), "--data", s.at("t.csv"), "--mistakes", s.at("t.png")},
              {"--mistakes: it shows pictures, but samples are [2]"});
  check_fails(
      2, {"train", "--model", s.at("t.json"), "--data", s.at("t.csv"), "--validation-split", "1"},
      {"nothing is left to train with"});
  put(s.at("few.csv"), "a,b,kind\n0.1,0.2,more\n0.4,0.4,more\n");
  check_fails(2, {"evaluate", s.at("t.h5"), "--data", s.at("few.csv")},
              {"few.csv", "1 classes, more", "2 apart"});
  put(s.at("many.csv"), "a,b,kind\n0.1,0.2,x\n0.4,0.4,y\n1,2,z\n");
  check_fails(2, {"evaluate", s.at("t.h5"), "--data", s.at("many.csv")}, {"3 classes, x, y, z"});
  nn::Sequential three({nn::Dense(3, {.activation = "softmax", .input_shape = {2}})});
  three.save(s.at("three.json"));
  put(s.at("whole.csv"), "0.1,0.2,0\n0.4,0.4,1\n1,2,2\n0.3,0.1,2\n");
  const auto whole = lines_of(
      check_done({"train", "--model", s.at("three.json"), "--data", s.at("whole.csv"), "--save",
                  s.at("three.h5"), "--epochs", "1", "--json", "--validation-split", "0"}));
  CHECK(whole[0].contains("accuracy"));  // they are numbers of classes, though a table has them
  put(s.at("n.csv"), "a,b,sum\n0.1,0.2,0.3\n0.4,0.4,0.8\n");
  check_fails(2,
              {"evaluate", s.at("t.h5"), "--data", s.at("n.csv"), "--confusion", s.at("n.svg"),
               "--scale", "1"},
              {"they need classes, but the targets are numbers"});
}

TEST_CASE("program: killed at any moment and started again, training ends as if it had not been") {
  constexpr int samples = 4096, epochs = 30, batches = samples / 16;
  const Sample s(samples);
  const auto arguments = [&](const std::string& model, const std::string& state) {
    std::vector<std::string> words{"train", "--augment", "-q"};
    const std::pair<std::string, std::string> options[]{{"--model", s.at("m.json")},
                                                        {"--data", s.at("data")},
                                                        {"--save", s.at(model)},
                                                        {"--resume", s.at(state)},
                                                        {"--resume-freq", "37"},
                                                        {"--early-stopping", "29"},
                                                        {"--batch-size", "16"},
                                                        {"--epochs", std::to_string(epochs)},
                                                        {"--seed", "3"},
                                                        {"--log", s.at(model + ".csv")}};
    for (const auto& [name, value] : options) words.insert(words.end(), {name, value});
    return words;
  };
  check_done(arguments("whole.h5", "whole"));
  // How many batches the newest state is behind. What is being renamed may escape this.
  const auto reached = [&] {
    int most = 0, epoch = 0, batch = 0;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(s.at("killed"), ignored)) {
      const std::string name = entry.path().filename().string();
      if (std::sscanf(name.c_str(), "%d-%d", &epoch, &batch) == 2) {
        most = std::max(most, epoch * batches + batch);
      }
    }
    return most;
  };
  std::mt19937 random(5);
  int kills = 0;
  bool done = false;
  // Ten kills, each somewhere in the next tenth of training; then it may end. Where the first one
  // comes too late, all begins again.
  while (kills == 0 || (!done && kills < 10)) {
    if (done) fs::remove(s.at("killed.h5.csv"));
    const int from = reached() + static_cast<int>(random() % (epochs * batches / 12));
    Program program(arguments("killed.h5", "killed"));
    while (!program.ended() && reached() < from) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
    program.kill(SIGKILL);
    done = WIFEXITED(program.wait());
    kills += !done;
  }
  CAPTURE(kills);
  if (!done) check_done(arguments("killed.h5", "killed"));
  CHECK(content(s.at("killed.h5.csv")) == content(s.at("whole.h5.csv")));
  CHECK_FALSE(fs::exists(s.at("killed")));  // the state of training that is over
  nn::Model a = nn::load_model(s.at("whole.h5")), b = nn::load_model(s.at("killed.h5"));
  const auto first = a.get_weights(), second = b.get_weights();
  REQUIRE(first.size() == second.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(std::ranges::equal(first[i].data<float>(), second[i].data<float>()));
  }
}

TEST_CASE("program: Ctrl-C ends training after the batch, with what was asked to be kept") {
  const Sample s(2048);
  for (const bool keep : {true, false}) {
    CAPTURE(keep);
    std::vector<std::string> arguments = s.train({"--epochs", "100000", "--json"});
    if (keep) arguments.insert(arguments.end(), {"--checkpoint", s.at("best.h5")});
    Program program(arguments);
    REQUIRE(program.says("\n"));
    program.kill(SIGINT);
    const int status = program.wait();
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 130);
    CHECK(program.err().find(keep ? s.at("best.h5") : "nothing was saved") != std::string::npos);
    CHECK_FALSE(fs::exists(s.at("m.h5")));
    CHECK(fs::exists(s.at("best.h5")));
  }
  CHECK_NOTHROW(nn::load_model(s.at("best.h5")));
}

TEST_CASE("program: a checkpoint of before is not what was reached") {
  const Sample s(1 << 16);
  put(s.at("best.h5"), "of before");
  // An epoch of 65,536 batches. The log is there when the first begins, and Ctrl-C is heeded.
  Program program(s.train({"--epochs", "1000", "--batch-size", "1", "--checkpoint", s.at("best.h5"),
                           "--log", s.at("log.csv")}));
  while (!program.ended() && !fs::exists(s.at("log.csv"))) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  program.kill(SIGINT);
  CHECK(program.code() == 130);
  if (content(s.at("best.h5")) == "of before") {  // else an epoch was done
    CHECK(program.err().find("nothing was saved") != std::string::npos);
  }
}

TEST_CASE("program: broken off by Ctrl-C and started again, training ends as if it had not been") {
  const Sample s(4096);
  const auto arguments = [&](const std::string& model, const std::string& state) {
    return std::vector<std::string>{
        "train",    "--model",   s.at("m.json"), "--data", s.at("data"),   "--save", s.at(model),
        "--resume", s.at(state), "--epochs",     "100",    "--batch-size", "64",     "--json"};
  };
  check_done(arguments("whole.h5", "whole"));
  std::size_t done = 0;
  {
    // Held, so that it has not done all of its epochs before it is broken off.
    Program program(arguments("broken.h5", "broken"), Process::held);
    REQUIRE(program.says("\n"));
    program.kill(SIGINT);
    const int status = program.wait();
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 130);
    CHECK(program.err().find(s.at("broken")) != std::string::npos);
    done = lines_of(program.out()).size();
  }
  CHECK(fs::exists(s.at("broken")));
  std::vector<std::string> other = arguments("broken.h5", "broken");
  other.insert(other.end(), {"--seed", "7"});
  check_fails(1, other, {"cannot go on from", s.at("broken"), "--seed 1", "--seed 7", "remove it"});
  const auto rest = lines_of(check_done(arguments("broken.h5", "broken")));
  CHECK(done > 0);
  CHECK(rest[0]["epoch"] == done + 1);  // it went on, and did not begin anew
  nn::Model a = nn::load_model(s.at("whole.h5")), b = nn::load_model(s.at("broken.h5"));
  const auto first = a.get_weights(), second = b.get_weights();
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(std::ranges::equal(first[i].data<float>(), second[i].data<float>()));
  }
}

TEST_CASE("program: draw, bench, completion and version") {
  const Sample s;
  CHECK(check_done({"draw", s.at("m.json"), "-o", s.at("m.dot"), "--horizontal"})
            .find("Drew " + s.at("m.dot")) == 0);
  CHECK(content(s.at("m.dot")).find("rankdir=LR") != std::string::npos);
  const json bench =
      json::parse(check_done({"bench", "--model", s.at("m.json"), "--batch-size", "8", "--seconds",
                              "0.01", "--threads", "1", "--json"}));
  CHECK(bench["threads"] == 1);
  CHECK(bench["train_ms"] > 0);
  CHECK(check_done({"bench", "--model", s.at("m.json"), "--seconds", "0"}).find("training step") !=
        std::string::npos);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string text = check_done({"completion", shell});
    CHECK(text.find("evaluate") != std::string::npos);
    CHECK(text.find("early-stopping") != std::string::npos);
  }
  const std::string version = check_done({"--version"});
  CHECK(version.find("oneDNN ") != std::string::npos);
  CHECK(version.find("thread") != std::string::npos);
  for (const char* command : {"train", "evaluate", "predict", "summary", "draw", "convert", "serve",
                              "bench", "completion"}) {
    CHECK(check_done({command, "--help"}).find("Usage: weft") != std::string::npos);
  }
}

TEST_CASE("program: what is wrong about training, said before it begins") {
  const Sample s;
  check_fails(2, {"train"}, {"--data is required"});
  check_fails(2, s.train({"--epochs", "0"}), {"--epochs"});
  check_fails(2, {"train", "--data", s.at("data"), "--save", "m.onnx"},
              {"--save", "m.onnx", ".h5"});
  const auto saving = [&](const std::string& file) {
    return std::vector<std::string>{"train",  "--model", s.at("m.json"), "--data", s.at("data"),
                                    "--save", file};
  };
  check_fails(2, saving("m.weights.h5"), {"--save", ".h5 or .hdf5 or .keras"});
  check_fails(2, saving(""), {"--save", ".h5"});
  fs::create_directory(s.at("folder.h5"));
  check_fails(1, saving(s.at("folder.h5")), {"folder.h5\" is a folder"});
  check_fails(1, saving(s.at("m.json/m.h5")), {"m.json/m.h5", "cannot be made"});
  std::string json = content(s.at("m.json"));
  const std::string name = R"("name":"flatten")";
  for (std::size_t at = 0; (at = json.find(name, at)) != std::string::npos;) {
    json.replace(at, name.size(), "\"name\":\"" + std::string(70'000, 'n') + '"');
  }
  put(s.at("long.json"), json);
  const Outcome refused = run(
      {"train", "--model", s.at("long.json"), "--data", s.at("data"), "--save", s.at("long.h5")});
  CHECK(refused.code == 1);
  CHECK(refused.err.find("too long") != std::string::npos);
  CHECK(refused.out.find("Epoch") == std::string::npos);
  check_fails(2, s.train({"--learning-rate", "nan"}), {"nan", "above 0"});
  check_fails(2, s.train({"--learning-rate", "-1"}), {"-1", "above 0"});
  check_fails(2, s.train({"--plot", "m.jpg"}), {"--plot", ".png or .svg"});
  check_fails(2, s.train({"--checkpoint", "best"}), {"--checkpoint", ".keras"});
  check_fails(2, s.train({"--json", "--quiet"}), {"--json"});
  check_fails(2, s.train({"--port", "1"}), {"--port requires --serve"});
  check_fails(1, s.train({"--optimizer", "adamm"}), {"adamm", "adam"});
  check_fails(1, s.train({"--loss", "mean"}), {"mean"});
  check_fails(1, {"train", "--model", s.at("m.json"), "--data", s.at("none")},
              {"none", "a folder that is there"});
  check_fails(1, {"train", "--model", s.at("none.json"), "--data", s.at("data")}, {"none.json"});
  check_fails(2, {"train", "--data", s.at("data")}, {"[12,12,1]", "[28,28,1]"});
  fs::create_directory(s.at("empty"));
  check_fails(1, {"train", "--model", s.at("m.json"), "--data", s.at("empty")},
              {"a folder of .png or .jpg"});
  check_fails(2, {"evaluate", s.at("m.json"), "--data", s.at("data")}, {"no weights"});
  check_done(s.train({"--epochs", "1", "-q"}));
  check_fails(2, {"predict", s.at("m.h5")}, {"either pictures", "--input"});
  check_fails(1, {"predict", s.at("m.h5"), s.at("none.png")}, {"none.png", "no such file"});
  check_fails(1, {"predict", s.at("m.h5"), s.at("m.json")}, {"neither PNG nor JPEG"});
  write_png(s.at("p.png"), squares({1}, 4).reshaped({12, 12, 1}));
  const Outcome some = run({"predict", s.at("m.h5"), s.at("none.png"), s.at("p.png")});
  CHECK(some.code == 1);
  CHECK(some.out.starts_with(s.at("p.png") + ":"));
  CHECK(some.err.find("none.png") != std::string::npos);
  CHECK(some.err.find("1 of 2 pictures could not be read") != std::string::npos);
  // Options with lists do not take what follows them.
  CHECK(check_done({"predict", "--classes", "a,b,c,d", s.at("m.h5"), s.at("p.png")})
            .starts_with(s.at("p.png") + ":"));
  check_fails(2, {"predict", s.at("m.h5"), "x.png", "--classes", "a,b"}, {"4 classes", "2 names"});
  check_fails(2, {"draw", s.at("m.h5"), "-o", s.at("m.txt")}, {"m.txt"});
  check_fails(2, {"completion", "tcsh"}, {"tcsh", "bash"});
  check_fails(1, {"bench", "--model", s.at("none.h5")}, {"none.h5"});
}

}  // namespace
}  // namespace weft::test

#endif
