// Keras' callbacks: when they act, and what they leave behind.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iostream>
#include <sstream>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "nn/not_finite.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

nn::Sequential small_model(std::uint64_t seed = 1) {
  nn::Sequential model(
      {nn::Dense(4, {.activation = "relu", .input_shape = {3}}), nn::Dropout(0.25), nn::Dense(1)},
      {.seed = seed});
  model.compile({.optimizer = nn::Adam{.learning_rate = 0.01}, .loss = "mse"});
  return model;
}

struct Data {
  Tensor x{{DType::f32, {20, 3}}}, y{{DType::f32, {20, 1}}};
  Data() {
    nn::Random random(3);
    for (float& number : x.data<float>()) number = static_cast<float>(random.normal());
    for (std::size_t i = 0; i < 20; ++i) {
      y.data<float>()[i] = x.data<float>()[3 * i] - 2 * x.data<float>()[3 * i + 1];
    }
  }
};

/// Replaces a number at the end of each epoch, so that callbacks behind it see a course of our
/// choice.
nn::Callback course(std::string name, std::vector<double> values) {
  nn::Callback callback;
  callback.on_epoch_end = [name, values](nn::Model&, int epoch, nn::Logs& logs) {
    logs.set(name, values.at(static_cast<std::size_t>(epoch)));
  };
  return callback;
}

nn::History fit(nn::Model& model, int epochs, std::vector<nn::Callback> callbacks) {
  const Data data;
  return model.fit(data.x, data.y,
                   {.epochs = epochs,
                    .batch_size = 8,
                    .verbose = 0,
                    .callbacks = std::move(callbacks),
                    .seed = 7});
}

std::vector<float> flat(nn::Model& model) {
  std::vector<float> numbers;
  for (const Tensor& weight : model.get_weights()) {
    numbers.insert(numbers.end(), weight.data<float>().begin(), weight.data<float>().end());
  }
  return numbers;
}

}  // namespace

TEST_CASE("callbacks: early stopping counts epochs without improvement") {
  const std::vector<double> values{5, 3, 3.5, 3.2, 2.9, 2.95, 3, 3, 3, 3};
  const auto epochs = [&](nn::EarlyStopping stopping) {
    nn::Model model = small_model();
    return fit(model, 10, {course("val_loss", values), stopping}).epoch.size();
  };
  CHECK(epochs({.patience = 2}) == 4);
  CHECK(epochs({.patience = 3}) == 8);
  CHECK(epochs({.patience = 0}) == 3);
  CHECK(epochs({.min_delta = 0.5, .patience = 3}) == 5);
  CHECK(epochs({.patience = 2, .mode = "max"}) == 3);
  CHECK(epochs({.patience = 2, .baseline = 1.0}) == 3);
  CHECK(epochs({.patience = 2, .start_from_epoch = 4}) == 7);
}

TEST_CASE("callbacks: early stopping brings back the best weights") {
  nn::Model model = small_model();
  std::vector<float> best;
  nn::Callback keep;
  keep.on_epoch_end = [&](nn::Model& m, int epoch, nn::Logs&) {
    if (epoch == 1) best = flat(m);
  };
  const auto history = fit(model, 10,
                           {course("val_loss", {5, 3, 4, 4, 4, 4, 4, 4, 4, 4}), keep,
                            nn::EarlyStopping{.patience = 3, .restore_best_weights = true}});
  CHECK(history.epoch.size() == 5);
  CHECK(flat(model) == best);
}

TEST_CASE("callbacks: checkpoints by epoch, by the best, and by batches") {
  const TemporaryFolder folder;
  const std::string name = (folder / "deep" / "{epoch:02d}-{val_loss:.1f}.keras").string();
  nn::Model model = small_model();
  fit(model, 3, {course("val_loss", {5, 3, 4}), nn::ModelCheckpoint{name}});
  for (const char* file : {"01-5.0.keras", "02-3.0.keras", "03-4.0.keras"}) {
    CAPTURE(file);
    CHECK(std::filesystem::exists(folder / "deep" / file));
  }
  nn::Model last = nn::load_model(folder / "deep" / "03-4.0.keras");
  CHECK(flat(last) == flat(model));

  std::vector<float> best;
  nn::Callback keep;
  keep.on_epoch_end = [&](nn::Model& m, int epoch, nn::Logs&) {
    if (epoch == 1) best = flat(m);
  };
  const std::string one = (folder / "best.weights.h5").string();
  fit(model, 3,
      {course("val_loss", {5, 3, 4}), keep,
       nn::ModelCheckpoint{one, {.save_best_only = true, .save_weights_only = true}}});
  nn::Model other = small_model(9);
  other.load_weights(one);
  CHECK(flat(other) == best);

  // Three batches an epoch: after 2, 4 and 6.
  fit(model, 2, {nn::ModelCheckpoint{(folder / "b{epoch}-{batch}.h5").string(), {.save_freq = 2}}});
  for (const char* file : {"b1-2.h5", "b2-1.h5", "b2-3.h5"}) {
    CAPTURE(file);
    CHECK(std::filesystem::exists(folder / file));
  }
}

TEST_CASE("callbacks: what a checkpoint cannot do is said") {
  const auto made = [](nn::ModelCheckpoint checkpoint) {
    return message_of<ArgumentError>([&] { nn::Callback callback = checkpoint; });
  };
  CHECK(made({"m.onnx"}).find(".keras or .h5") != std::string::npos);
  CHECK(made({"m.keras", {.save_weights_only = true}}).find(".weights.h5") != std::string::npos);
  CHECK(made({"m.h5", {.save_freq = 0}}).find("save_freq") != std::string::npos);
  CHECK(made({"m.h5", {.save_best_only = true, .mode = "up"}}).find("\"up\"") != std::string::npos);
  const TemporaryFolder folder;
  nn::Model model = small_model();
  check_message<ArgumentError>(
      [&] { fit(model, 1, {nn::ModelCheckpoint{(folder / "{val_los}.h5").string()}}); },
      {"val_los", "epoch, loss"});
  check_message<ArgumentError>(
      [] { nn::Callback callback = nn::EarlyStopping{.monitor = "charm"}; }, {"charm", ".mode"});
}

TEST_CASE("callbacks: the learning rate falls on a plateau") {
  nn::Model model = small_model();
  const auto history =
      fit(model, 8,
          {course("val_loss", {5, 3, 3, 3, 3, 3, 3, 3}),
           nn::ReduceLROnPlateau{.factor = 0.5, .patience = 2, .cooldown = 1, .min_lr = 0.003}});
  const std::vector<double> rates = history["learning_rate"];
  // Written before it is changed, as in Keras.
  const std::vector<double> expected{0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.003, 0.003};
  REQUIRE(rates.size() == expected.size());
  for (std::size_t i = 0; i < rates.size(); ++i) {
    CAPTURE(i);
    CHECK(rates[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  }
  check_message<ArgumentError>([] { nn::Callback callback = nn::ReduceLROnPlateau{.factor = 1.5}; },
                               {"factor", "1.5"});
}

TEST_CASE("callbacks: a schedule by epochs") {
  nn::Model model = small_model();
  const auto halve = [](int epoch, double rate) { return epoch == 0 ? 0.08 : rate / 2; };
  const auto history = fit(model, 3, {nn::LearningRateScheduler{halve}});
  CHECK(history["learning_rate"][0] == doctest::Approx(0.08));
  CHECK(history["learning_rate"][2] == doctest::Approx(0.02));
}

TEST_CASE("callbacks: a log of numbers, begun and continued") {
  const TemporaryFolder folder;
  const std::string file = (folder / "logs" / "log.csv").string();
  nn::Model model = small_model();
  const auto history = fit(model, 2, {course("b", {1, 2}), nn::CSVLogger{file}});
  fit(model, 1, {course("b", {3}), nn::CSVLogger{.filename = file, .append = true}});
  std::istringstream lines(content(file));
  std::string line;
  std::vector<std::string> all;
  while (std::getline(lines, line)) all.push_back(line);
  REQUIRE(all.size() == 4);
  CHECK(all[0] == "epoch,b,loss,val_b,val_loss");
  CHECK(all[1] == fmt::format("0,1,{},NA,NA", history["loss"][0]));
  CHECK(all[2].starts_with("1,2,"));
  CHECK(all[3].starts_with("0,3,"));
}

TEST_CASE("callbacks: a loss that is no number ends training in its batch") {
  const Data data;
  Tensor y = data.y.clone();
  y.data<float>()[9] = NAN;  // in the second batch
  nn::Model model = small_model();
  std::int64_t batches = 0;
  nn::Callback count;
  count.on_train_batch_end = [&](nn::Model&, std::int64_t, nn::Logs&) { ++batches; };
  model.fit(data.x, y,
            {.epochs = 5,
             .batch_size = 8,
             .shuffle = false,
             .verbose = 0,
             .callbacks = {count, nn::TerminateOnNaN{}}});
  CHECK(batches == 2);
}

/// What is said on a stream meanwhile.
class Said {
 public:
  explicit Said(std::ostream& stream) : stream_(stream), before_(stream.rdbuf(text_.rdbuf())) {}
  ~Said() { stream_.rdbuf(before_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostream& stream_;
  std::ostringstream text_{};
  std::streambuf* before_;
};

TEST_CASE(
    "callbacks: a weight that is no number is said, and ends training, whatever the loss is") {
  // Training does not read a moving mean, so that the loss is finite without it.
  const auto lost = [](std::vector<nn::Callback> callbacks) {
    nn::Sequential model({nn::BatchNormalization({.name = "norm"}), nn::Dense(1)});
    model.build({3});
    model.compile({.optimizer = "sgd", .loss = "mse"});
    const Tensor mean = model.variables().get("norm/moving_mean");
    model.variables().set("norm/moving_mean", Tensor::full(mean.shape(), NAN));
    const nn::History history = fit(model, 3, std::move(callbacks));
    CHECK(std::isfinite(history["loss"].back()));
    CHECK(model.find_not_finite() == "norm/moving_mean");
    return history.epoch.size();
  };
  nn::Model sound = small_model();
  CHECK(sound.find_not_finite() == std::nullopt);
  const Said warned(std::cerr), said(std::cout);
  CHECK(lost({}) == 3);
  CHECK(
      warned.text() ==
      "\nfit: after epoch 1, \"norm/moving_mean\" holds numbers that are not finite: take a lower "
      "learning rate, or look for such numbers in the data\n");
  CHECK(lost({nn::TerminateOnNaN{}}) == 1);
  CHECK(said.text() == "Epoch 1: \"norm/moving_mean\" is not finite, terminating training\n");
}

TEST_CASE("predict and evaluate: what is not finite is said, and where it may come from") {
  const Data data;
  nn::Model model = small_model();
  Tensor x = data.x.clone();
  x.data<float>()[4] = NAN;
  const Said said(std::cerr), progress(std::cout);
  model.predict(data.x, {.verbose = 2});
  model.evaluate(data.x, data.y, {.verbose = 2});
  model.predict(x, {.verbose = 0});
  CHECK(said.text() == "");
  const auto finite = [](const Tensor& t) { return nn::rows_not_finite(t) == 0; };
  CHECK(finite(model.predict(data.x, {.verbose = 0})));
  CHECK(nn::rows_not_finite(model.predict(x, {.verbose = 2})) == 1);
  const std::string first = fmt::format(
      "\npredict: output \"{}\" is NaN or infinite for 1 of {} samples: the weights are finite, so "
      "look for such numbers in the data\n",
      model.output_names()[0], data.x.shape()[0]);
  CHECK(said.text() == first);
  model.evaluate(x, data.y, {.verbose = 2});
  const std::string second =
      "\nevaluate: loss is nan: the weights are finite, so look for such numbers in the data\n";
  CHECK(said.text() == first + second);
  std::vector<Tensor> weights = model.get_weights();
  weights[0].data<float>()[0] = INFINITY;
  model.set_weights(weights);
  model.predict(data.x, {.verbose = 2});
  CHECK(said.text().ends_with("samples: the weight \"dense/kernel\" holds such numbers\n"));
}

TEST_CASE("callbacks: which way a number is better is seen from whole words first") {
  for (const auto& [name, more] : {std::pair{"val_loss", false},
                                   {"val_accuracy", true},
                                   {"val_blossom_accuracy", true},
                                   {"val_glossy_acc", true},
                                   {"mean_squared_error", false},
                                   {"false_positives", false},
                                   {"myloss", false},
                                   {"auc_1", true},
                                   {"out_loss", false}}) {
    CAPTURE(name);
    nn::Model model = small_model();
    const auto epochs =
        fit(model, 4, {course(name, {1, 2, 3, 4}), nn::EarlyStopping{.monitor = name}})
            .epoch.size();
    CHECK(epochs == (more ? 4 : 2));
  }
}

TEST_CASE("callbacks: a learning rate at its least is not reduced again") {
  const Said said(std::cout);
  nn::Model model = small_model();
  fit(model, 8,
      {course("a", {1, 1, 1, 1, 1, 1, 1, 1}),
       nn::ReduceLROnPlateau{
           .monitor = "a", .patience = 1, .verbose = 1, .mode = "min", .min_lr = 0.001}});
  CHECK(said.text() == "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.001.\n");
}

struct Killed {};

/// Throws behind all other callbacks, when so many batches are done.
nn::Callback kill_after(int batches) {
  nn::Callback callback;
  callback.on_train_batch_end = [left = batches](nn::Model&, std::int64_t, nn::Logs&) mutable {
    if (left-- == 0) throw Killed();
  };
  return callback;
}

void check_equal(const nn::History& a, const nn::History& b) {
  CHECK(a.epoch == b.epoch);
  CHECK(a.names() == b.names());
  for (const std::string& name : a.names()) {
    CHECK(a[name] == b[name]);
    CHECK(a.epochs_of(name) == b.epochs_of(name));
  }
}

TEST_CASE("callbacks: training that breaks off in any batch goes on as if it had not") {
  const TemporaryFolder folder;
  const std::string place = (folder / "backup").string();
  nn::Model undisturbed = small_model();
  const nn::History whole = fit(undisturbed, 4, {});
  for (const std::optional<std::int64_t> save_freq :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(1),
        std::optional<std::int64_t>(2)}) {
    for (int killed_at = 0; killed_at < 12; ++killed_at) {
      CAPTURE(killed_at);
      const nn::BackupAndRestore backup{.backup_dir = place, .save_freq = save_freq};
      nn::Model first = small_model();
      CHECK_THROWS_AS(fit(first, 4, {backup, kill_after(killed_at)}), Killed);
      const int per_save = static_cast<int>(save_freq.value_or(3));
      CHECK(backup.exists() == (killed_at >= per_save));
      int batches = 0;
      nn::Callback count;
      count.on_train_batch_end = [&](nn::Model&, std::int64_t, nn::Logs&) { ++batches; };
      nn::Model second = small_model();
      const nn::History history = fit(second, 4, {backup, count});
      CHECK(batches == 12 - killed_at / per_save * per_save);
      check_equal(history, whole);
      CHECK(flat(second) == flat(undisturbed));
      CHECK_FALSE(std::filesystem::exists(place));
    }
  }
}

TEST_CASE("callbacks: training that breaks off goes on with what callbacks remember") {
  const TemporaryFolder folder;
  const std::string place = (folder / "backup").string();
  const auto callbacks = [&](const std::string& name, bool append = false) {
    return std::vector<nn::Callback>{
        course("a", {5, 3, 2, 4, 4, 4, 4, 4, 4, 4}),
        nn::EarlyStopping{
            .monitor = "a", .patience = 4, .mode = "min", .restore_best_weights = true},
        nn::ReduceLROnPlateau{.monitor = "a", .factor = 0.5, .patience = 2, .mode = "min"},
        nn::LearningRateScheduler{[](int, double rate) { return 0.9 * rate; }},
        nn::ModelCheckpoint{(folder / (name + ".h5")).string(),
                            {.monitor = "a", .save_best_only = true, .mode = "min"}},
        nn::CSVLogger{.filename = (folder / (name + ".csv")).string(), .append = append}};
  };
  const auto text = [&](const std::string& name) {
    std::ifstream in(folder / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  nn::Model undisturbed = small_model();
  const nn::History whole = fit(undisturbed, 10, callbacks("whole"));
  CHECK(whole.epoch.size() == 7);
  for (int killed_at = 1; killed_at < 21; killed_at += 2) {
    CAPTURE(killed_at);
    const nn::BackupAndRestore backup{.backup_dir = place, .save_freq = 2};
    std::filesystem::remove(folder / "broken.h5");
    std::filesystem::remove(folder / "broken.csv");
    const bool append = killed_at % 4 == 1;  // it goes on in the same file, either way
    std::vector<nn::Callback> some = callbacks("broken", append),
                              again = callbacks("broken", append);
    some.push_back(backup);
    some.push_back(kill_after(killed_at));
    again.push_back(backup);
    nn::Model first = small_model(), second = small_model();
    CHECK_THROWS_AS(fit(first, 10, some), Killed);
    check_equal(fit(second, 10, again), whole);
    CHECK(flat(second) == flat(undisturbed));
    CHECK(text("broken.csv") == text("whole.csv"));
    nn::Model best = nn::load_model(folder / "broken.h5"),
              other = nn::load_model(folder / "whole.h5");
    CHECK(flat(best) == flat(other));
  }
}

TEST_CASE("callbacks: a state that training cannot go on from is an error that says so") {
  const TemporaryFolder folder;
  const nn::BackupAndRestore backup{.backup_dir = (folder / "backup").string(), .save_freq = 1};
  const auto broken_off = [&] {
    nn::Model model = small_model();
    CHECK_THROWS_AS(fit(model, 4, {backup, kill_after(5)}), Killed);
    REQUIRE(backup.exists());
  };
  nn::Model model = small_model();
  const Data data;
  broken_off();
  CHECK_THROWS_WITH_AS(
      model.fit(data.x, data.y,
                {.epochs = 4, .batch_size = 4, .verbose = 0, .callbacks = {backup}}),
      "fit: training broke off in an epoch of 20 samples in batches of 8, and cannot go on with 20 "
      "in "
      "batches of 4",
      ArgumentError);
  CHECK_THROWS_WITH_AS(
      fit(model, 4, {backup, nn::EarlyStopping{.monitor = "loss"}}),
      "fit: 0 callbacks remembered something when training broke off, but 1 of those "
      "given now do; to go on, they must be the same",
      ArgumentError);
  CHECK_THROWS_WITH_AS(
      model.fit(data.x, data.y,
                {.epochs = 4, .batch_size = 8, .verbose = 0, .callbacks = {backup}, .seed = 8}),
      "fit: training broke off with the seed 7, and cannot go on with 8", ArgumentError);
  nn::BackupAndRestore other = backup;
  other.run = "digits";
  CHECK_THROWS_WITH_AS(
      fit(model, 4, {other}),
      fmt::format("BackupAndRestore: training cannot go on from \"{}\", which is of "
                  "\"\", with \"digits\": take another folder, or remove it to begin "
                  "anew",
                  backup.backup_dir)
          .c_str(),
      ArgumentError);
  nn::Model measured = small_model();
  measured.compile({.optimizer = nn::Adam{}, .loss = "mse", .metrics = {"mae"}});
  CHECK_THROWS_AS(fit(measured, 4, {backup}), ArgumentError);
  const auto state = folder / "backup" / "1-2" / "state.h5";
  REQUIRE(std::filesystem::exists(state));
  for (const std::string& content : {std::string(), std::string("no HDF5")}) {
    std::ofstream(state, std::ios::trunc) << content;
    CHECK_THROWS_AS(fit(model, 4, {backup}), IoError);
  }
  // What a program that was killed may leave is in nobody's way.
  std::filesystem::create_directories(folder / "backup" / "writing" / "rest");
  std::filesystem::create_directories(folder / "backup" / "removing" / "rest");
  backup.remove();
  CHECK_FALSE(std::filesystem::exists(folder / "backup"));
  CHECK_THROWS_AS(nn::Callback(nn::BackupAndRestore{.backup_dir = ""}), ArgumentError);
  CHECK_THROWS_AS(fit(model, 1, {{.state = [] { return nn::CallbackState(); }}}), ArgumentError);
  CHECK_THROWS_AS(nn::Callback(nn::BackupAndRestore{.backup_dir = "b", .save_freq = 0}),
                  ArgumentError);
}

}  // namespace weft::test
