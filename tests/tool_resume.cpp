// weft train: a folder of --resume that is in use or of other data, and a disk that is full.
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/program.hpp"

#ifdef WEFT_PROGRAM

namespace weft::test {
namespace {

namespace fs = std::filesystem;

/// A table of two classes and a small network for it.
struct Sample {
  TemporaryFolder folder{};
  std::string at(std::string_view name) const { return (folder / name).string(); }

  Sample() {
    write_table(1);
    nn::Sequential({nn::Dense(3, {.activation = "relu", .input_shape = {2}}),
                    nn::Dense(2, {.activation = "softmax"})})
        .save(at("m.json"));
  }
  /// The last row has this label.
  void write_table(int label) const {
    std::string table = "a,b,y\n";
    for (int i = 0; i < 63; ++i) table += fmt::format("0.{},0.{},{}\n", i, 99 - i, i % 2);
    put(folder / "t.csv", table + fmt::format("0.5,0.5,{}\n", label));
  }
  std::vector<std::string> train(const std::vector<std::string>& more) const {
    std::vector<std::string> words{"train",  "--model",  at("m.json"),   "--data", at("t.csv"),
                                   "--save", at("m.h5"), "--batch-size", "8"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  /// A file that can be opened, but not written.
  std::string full(std::string_view name) const {
    fs::create_symlink("/dev/full", folder / name);
    return at(name);
  }
};

void check_contains(const std::string& text, std::initializer_list<std::string_view> parts) {
  CAPTURE(text);
  for (const std::string_view part : parts) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
}

TEST_CASE("program: two trainings do not share a folder of --resume") {
  const Sample s;
  Program first(s.train({"--epochs", "1000000", "--json", "--resume", s.at("st")}), Process::held);
  REQUIRE(first.says("\n"));
  const std::string owner =
      fmt::format("\"{}\" is in use by the process {}:", s.at("st"), first.id());
  check_fails(1, s.train({"--resume", s.at("st"), "--epochs", "1", "-q"}), {owner});
  CHECK(!fs::exists(s.at("m.h5")));
  first.kill(SIGINT);
  CHECK(first.code() == 130);
  check_contains(first.err(), {"stopped; what was reached is in " + s.at("st")});
  CHECK(!fs::exists(s.at("st/lock")));
  // It is free, and the state is whole: it is of more epochs than that.
  check_done(s.train({"--resume", s.at("st"), "--epochs", "1", "-q"}));
  CHECK(!fs::exists(s.at("st")));

  Program killed(s.train({"--epochs", "1000000", "--json", "--resume", s.at("st")}), Process::held);
  REQUIRE(killed.says("\n"));
  killed.kill(SIGKILL);
  killed.wait();
  check_done(s.train({"--resume", s.at("st"), "--epochs", "1", "-q"}));
}

TEST_CASE("program: --resume refuses other data and another model") {
  const Sample s;
  const auto resume = [&](const char* epochs) {
    return s.train({"--epochs", epochs, "-q", "--resume", s.at("st")});
  };
  Program stopped(s.train({"--epochs", "1000000", "--json", "--resume", s.at("st")}),
                  Process::held);
  REQUIRE(stopped.says("\n"));
  stopped.kill(SIGINT);
  REQUIRE(stopped.code() == 130);

  s.write_table(0);
  check_fails(1, resume("1"),
              {s.at("st"), "training broke off with other data", " y: ", " then, ", " now"});
  s.write_table(1);
  const std::string model = content(s.at("m.json"));
  std::string other = model;
  other.replace(other.find("\"relu\""), 6, "\"tanh\"");
  put(s.at("m.json"), other);
  check_fails(1, resume("1"), {s.at("st"), "of another model: layers: ", "take another folder"});
  put(s.at("m.json"), model);
  check_done(resume("1"));
}

TEST_CASE("program: a full disk loses what it loses, and not the training") {
  const Sample s;
  const Outcome done = run(s.train({"--epochs", "5", "--log", s.full("log.csv"), "--checkpoint",
                                    s.full("best.keras"), "--plot", s.full("h.svg")}));
  CHECK(done.code == 1);
  check_contains(done.out, {"Epoch 5/5", "Saved " + s.at("m.h5")});
  CHECK(done.out.find("Drew") == std::string::npos);
  for (const std::string who : {"CSVLogger", "ModelCheckpoint", "--plot"}) {
    CAPTURE(done.err);
    const std::string warning = "\n" + who + ": training goes on, but \"";
    const auto found = done.err.find(warning);
    CHECK(found != std::string::npos);
    CHECK(done.err.find(warning, found + 1) == std::string::npos);  // once
  }
  check_contains(done.err, {"weft: the training is done and in " + s.at("m.h5") +
                                ", but not all was written: ",
                            "log.csv", "best.keras", "h.svg", "No space left on device"});
  CHECK(nn::load_model(s.at("m.h5")).layers().size() == 2);

  fs::remove(s.at("m.h5"));
  const Outcome silent = run(s.train({"--epochs", "5", "--json"}), "/dev/full");
  CHECK(silent.code == 1);
  check_contains(silent.err, {"--json: training goes on, but \"stdout\" was not written"});
  CHECK(fs::exists(s.at("m.h5")));
}

TEST_CASE("program: events that find no space are missing, and the model is saved") {
  const Sample s;
  // Of 512 bytes each; events take some 250 bytes an epoch, and the model less than the limit.
  std::vector<std::string> words{"sh", "-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"",
                                 WEFT_PROGRAM};
  const auto arguments = s.train({"--epochs", "600", "-q", "--tensorboard", s.at("logs")});
  words.insert(words.end(), arguments.begin(), arguments.end());
  Process program(words);
  CHECK(program.code() == 1);
  check_contains(program.err(), {"TensorBoard: training goes on", "weft: the training is done",
                                 s.at("logs"), "File too large"});
  CHECK(nn::load_model(s.at("m.h5")).layers().size() == 2);
}

}  // namespace
}  // namespace weft::test

#endif
