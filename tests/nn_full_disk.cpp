// A disk that fills up while training goes on: what was written stays, the rest is named.
#include <doctest/doctest.h>

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <iterator>
#include <sstream>

#include "io/model_files.hpp"
#include "nn/appended_file.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

/// While it lives, no file of this process can grow beyond so many bytes.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit less{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &less);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  sighandler_t handler_;
  rlimit before_{};
};

/// What is said on std::cerr meanwhile.
class Warned {
 public:
  Warned() : before_(std::cerr.rdbuf(text_.rdbuf())) {}
  ~Warned() { std::cerr.rdbuf(before_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_{};
  std::streambuf* before_;
};

/// Trains for so many epochs. At the end of some of them the disk is full, until the next begins.
struct Training {
  TemporaryFolder folder{};
  nn::Sequential model{{nn::Dense(1, {.input_shape = {1}})}, {.seed = 1}};
  std::vector<float> kernels{};  // after each epoch
  std::vector<double> course{};  // of "a"
  std::string warned{};

  Training() { model.compile({.optimizer = "sgd", .loss = "mse"}); }
  std::string at(std::string_view name) const { return (folder / name).string(); }

  nn::History fit(int epochs, int full_from, int full_until, rlim_t bytes,
                  std::vector<nn::Callback> callbacks) {
    const Tensor x = Tensor::of<float>({2, 1}, {1, 2}), y = Tensor::of<float>({2, 1}, {3, 5});
    std::optional<FullDisk> full;
    nn::Callback first, last;
    first.on_epoch_end = [&](nn::Model& m, int epoch, nn::Logs& logs) {
      kernels.push_back(m.get_weights()[0].data<float>()[0]);
      if (!course.empty()) logs.set("a", course.at(static_cast<std::size_t>(epoch)));
      if (epoch >= full_from && epoch < full_until) full.emplace(bytes);
    };
    last.on_epoch_begin = [&](nn::Model&, int) { full.reset(); };
    callbacks.insert(callbacks.begin(), first);
    callbacks.push_back(last);
    const Warned said;
    const auto history =
        model.fit(x, y, {.epochs = epochs, .verbose = 0, .callbacks = std::move(callbacks)});
    warned = said.text();
    return history;
  }
  /// The epoch whose weights are in a file.
  std::ptrdiff_t epoch_in(const std::string& file) {
    nn::Model saved = nn::load_model(file);
    return std::ranges::find(kernels, saved.get_weights()[0].data<float>()[0]) - kernels.begin();
  }
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST_CASE("full disk: an appended file holds whole pieces alone") {
  const TemporaryFolder folder;
  nn::AppendedFile file("Log");
  file.open(folder / "deep" / "log");
  std::string refusal;
  {
    const FullDisk full(100);
    file.append(std::string(60, 'a'));
    refusal = message_of<IoError>([&] { file.append(std::string(60, 'b')); });
  }
  CHECK(refusal == "Log: \"" + file.path().string() + "\" cannot be written: File too large");
  CHECK(content(file.path()) == std::string(60, 'a'));
  CHECK(file.size() == 60);
  file.append("c");
  CHECK(content(file.path()) == std::string(60, 'a') + "c");
  file.open(file.path(), true);
  CHECK(file.size() == 61);
  check_message<IoError>([&] { file.open(folder.path()); }, {"Log: ", "Is a directory"});
  check_message<IoError>([&] { file.open(folder / "deep" / "log" / "x"); }, {"cannot be made"});
}

TEST_CASE("full disk: CSVLogger warns once, and writes its lines when there is space again") {
  Training t;
  const nn::History history = t.fit(6, 2, 4, 1, {nn::CSVLogger{t.at("log.csv")}});
  CHECK(history.epoch.size() == 6);
  const std::string text = content(t.at("log.csv"));
  CHECK(count(text, "\n") == 7);
  CHECK(text.starts_with("epoch,loss,val_loss\n0,"));
  CHECK(text.find(fmt::format("\n3,{},NA\n", history["loss"][3])) != std::string::npos);
  CHECK(count(t.warned, "\n") == 2);  // an empty line before it, since progress may stand there
  CHECK(t.warned.starts_with("\nCSVLogger: training goes on, but \"" + t.at("log.csv") +
                             "\" was not written: "));
  REQUIRE(t.model.unwritten.size() == 1);
  CHECK(t.model.unwritten[0].by == "CSVLogger");
  CHECK(t.model.unwritten[0].later);

  t.fit(3, 1, 9, 1, {nn::CSVLogger{t.at("log.csv")}});
  CHECK(count(content(t.at("log.csv")), "\n") == 2);  // names and the first epoch
  REQUIRE(t.model.unwritten.size() == 1);
  CHECK(!t.model.unwritten[0].later);
  t.fit(1, 9, 9, 1, {});
  CHECK(t.model.unwritten.empty());
}

TEST_CASE("full disk: ModelCheckpoint keeps the last good file, and names what is missing") {
  Training t;
  const auto best = [&](int full_from, int full_until, std::vector<double> course) {
    t.kernels.clear();
    t.course = std::move(course);
    const auto epochs = static_cast<int>(t.course.size());
    const std::string file = t.at("best.h5");
    fs::remove(file);
    CHECK(
        t.fit(epochs, full_from, full_until, 100,
              {nn::ModelCheckpoint{file, {.monitor = "a", .save_best_only = true, .mode = "min"}}})
            .epoch.size() == t.course.size());
    CHECK(count(t.warned, "ModelCheckpoint: training goes on") == 1);
    REQUIRE(t.model.unwritten.size() == 1);
    CHECK(t.model.unwritten[0].file == file);
    CHECK(std::distance(fs::directory_iterator(t.folder.path()), fs::directory_iterator()) == 1);
    return std::pair(t.epoch_in(file), t.model.unwritten[0].later);
  };
  CHECK(best(1, 2, {5, 4, 6, 7}) == std::pair(std::ptrdiff_t{0}, false));
  CHECK(best(1, 2, {5, 4, 3, 7}) == std::pair(std::ptrdiff_t{2}, true));
  // Better than what is there, though not than what could not be written.
  CHECK(best(1, 2, {5, 3, 4, 7}) == std::pair(std::ptrdiff_t{2}, false));
  CHECK(best(2, 4, {5, 4, 3, 2}) == std::pair(std::ptrdiff_t{1}, false));

  // Each epoch has a file of its own: one warning, and two files that are missing.
  t.fit(4, 1, 3, 100, {nn::ModelCheckpoint{t.at("{epoch}.keras")}});
  CHECK(count(t.warned, "training goes on") == 1);
  CHECK(t.model.unwritten.size() == 2);
  CHECK(t.model.unwritten[1].file == t.at("3.keras"));
  CHECK(fs::exists(t.at("4.keras")));
  CHECK(!fs::exists(t.at("2.keras")));
}

TEST_CASE("full disk: BackupAndRestore keeps the state before, and training goes on from it") {
  Training t;
  struct Killed {};
  nn::Callback kill;
  kill.on_epoch_begin = [](nn::Model&, int epoch) {
    if (epoch == 3) throw Killed();
  };
  const nn::BackupAndRestore backup{.backup_dir = t.at("st")};
  CHECK_THROWS_AS(t.fit(5, 1, 9, 100, {backup, kill}), Killed);
  REQUIRE(t.model.unwritten.size() == 1);
  CHECK(t.model.unwritten[0].by == "BackupAndRestore");
  CHECK(fs::exists(t.folder / "st" / "1-0" / "state.h5"));
  CHECK(std::distance(fs::directory_iterator(t.folder / "st"), fs::directory_iterator()) == 1);
  Training whole, again;
  const auto expected = whole.fit(5, 9, 9, 0, {});
  CHECK(again.fit(5, 9, 9, 0, {nn::BackupAndRestore{.backup_dir = t.at("st")}})["loss"] ==
        expected["loss"]);
  CHECK(again.kernels.back() == whole.kernels.back());
}

TEST_CASE("full disk: TensorBoard's files end with a whole record") {
  Training t;
  const auto bytes = [&](int epochs, int from, int until) {
    fs::remove_all(t.at("logs"));
    t.fit(epochs, from, until, 1, {nn::TensorBoard{t.at("logs")}});
    std::string all;
    for (const auto& entry : fs::recursive_directory_iterator(t.at("logs"))) {
      if (entry.is_regular_file()) all += content(entry.path());
    }
    return all.size();
  };
  const auto two = bytes(2, 9, 9), one = bytes(1, 9, 9);
  CHECK(bytes(3, 1, 3) == one);
  CHECK(count(t.warned, "TensorBoard: training goes on") == 1);
  CHECK(bytes(3, 1, 2) == two);  // the records of the first and the last epoch
  REQUIRE(t.model.unwritten.size() == 1);
  CHECK(!t.model.unwritten[0].later);  // what was lost is not written again
}

}  // namespace
}  // namespace weft::test
