// Training that is resumed: by one program at a time, with the same data and the same model.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "io/image.hpp"
#include "io/image_folder.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

struct Killed {};

nn::Callback kill_after(int batches) {
  nn::Callback callback;
  callback.on_train_batch_end = [left = batches](nn::Model&, std::int64_t, nn::Logs&) mutable {
    if (left-- == 0) throw Killed();
  };
  return callback;
}

Tensor numbers(Shape shape, std::uint64_t seed) {
  Tensor result(Type{DType::f32, std::move(shape)});
  nn::Random random(seed);
  for (float& number : result.data<float>()) number = static_cast<float>(random.normal());
  return result;
}

nn::Sequential model_of(const std::string& activation = "relu",
                        const std::string& optimizer = "adam", const std::string& loss = "mse") {
  nn::Sequential model({nn::Dense(4, {.activation = activation, .input_shape = {3}}), nn::Dense(1)},
                       {.seed = 1});
  model.compile({.optimizer = nn::Optimizer(optimizer), .loss = nn::Loss(loss)});
  return model;
}

std::vector<float> flat(nn::Model& model) {
  std::vector<float> all;
  for (const Tensor& weight : model.get_weights()) {
    all.insert(all.end(), weight.data<float>().begin(), weight.data<float>().end());
  }
  return all;
}

/// Training that was broken off in its second epoch, of three batches each.
struct Broken {
  TemporaryFolder folder{};
  nn::BackupAndRestore backup{.backup_dir = (folder / "st").string(), .save_freq = 1};
  nn::Dataset data, validation;

  explicit Broken(nn::Dataset train = nn::Dataset(numbers({20, 3}, 1), numbers({20, 1}, 2)),
                  nn::Dataset tests = nn::Dataset(numbers({6, 3}, 3), numbers({6, 1}, 4)))
      : data(std::move(train)), validation(std::move(tests)) {
    nn::Sequential model = model_of();
    CHECK_THROWS_AS(fit(model, data, validation, {backup, kill_after(4)}), Killed);
    REQUIRE(backup.exists());
  }
  static nn::History fit(nn::Model& model, const nn::Dataset& train, const nn::Dataset& tests,
                         std::vector<nn::Callback> callbacks) {
    return model.fit(train, {.epochs = 3,
                             .batch_size = 8,
                             .validation_data = tests,
                             .verbose = 0,
                             .callbacks = std::move(callbacks)});
  }
  /// Others are refused, and the model is left as it was.
  void check_refused(const nn::Dataset& train, const nn::Dataset& tests,
                     std::initializer_list<std::string_view> texts) {
    nn::Sequential model = model_of();
    const std::vector<float> before = flat(model);
    check_message<ArgumentError>([&] { fit(model, train, tests, {backup}); }, texts);
    CHECK(flat(model) == before);
    CHECK(backup.exists());
  }
  void check_goes_on(const nn::Dataset& train) {
    nn::Sequential model = model_of();
    CHECK(fit(model, train, validation, {backup}).epoch.size() == 3);
    CHECK(!backup.exists());
  }
};

/// The same numbers but for one.
Tensor changed(const Tensor& tensor, std::size_t at) {
  Tensor copy = tensor.clone();
  copy.data<float>()[at] += 1e-3f;
  return copy;
}

TEST_CASE("resume: other data are refused, and what differs is named") {
  Broken broken;
  const Tensor x = numbers({20, 3}, 1), y = numbers({20, 1}, 2);
  const auto refused = [&](const nn::Dataset& train,
                           std::initializer_list<std::string_view> texts) {
    broken.check_refused(train, broken.validation, texts);
  };
  const std::string other =
      "st\": training broke off with other data, and cannot go on with these: ";
  refused(nn::Dataset(x, changed(y, 19)), {other + "rows of y: ", " then, "});
  refused(nn::Dataset(changed(x, 0), y), {other + "rows of x: "});
  refused(nn::Dataset(x, y).rows(0, 19), {"x: 20 rows of f32[3] then, 19 rows of f32[3] now"});
  refused(nn::Dataset(x, y).shuffled(5), {"rows of x", "rows of y"});  // others in a batch
  refused(nn::Dataset(x, y).scaled(2), {other + "rows of x"});
  refused(nn::Dataset(x, y, Tensor::full({20}, 1)), {"sample_weight: none then, 20 rows of f32[]"});
  broken.check_refused(broken.data, nn::Dataset(),
                       {"validation x: 6 rows of f32[3] then, none now"});
  broken.check_refused(broken.data, nn::Dataset(numbers({6, 3}, 3), changed(numbers({6, 1}, 4), 2)),
                       {other + "rows of validation y"});
  // Equal ones in other memory, and by another way, are the same.
  std::vector<std::int64_t> all(20);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  const nn::Column picked = nn::Column(x.clone()).picked(all);
  broken.check_goes_on(nn::Dataset({picked}, {nn::Column(y.clone())}));
}

TEST_CASE("resume: data that are made as they are needed are compared by what their source says") {
  const auto generated = [](float factor) {
    return nn::Dataset::generate(
        20, {{3}}, {{1}},
        [=](std::int64_t, nn::Random& random, std::span<const std::span<float>> rows) {
          for (float& number : rows[0]) number = factor * static_cast<float>(random.uniform());
          rows[1][0] = rows[0][0];
        });
  };
  {
    Broken broken(generated(1));
    broken.check_refused(generated(2), broken.validation, {"rows of x"});
    broken.check_goes_on(generated(1));
  }
  // What a function makes anew each time says nothing.
  const auto state = std::make_shared<float>(0.0f);
  const nn::Dataset impure = nn::Dataset::generate(
      20, {{3}}, {{1}}, [=](std::int64_t, nn::Random&, std::span<const std::span<float>> rows) {
        rows[0][0] = *state += 1;
      });
  CHECK(impure.x().fingerprint() == impure.x().fingerprint());
  // A function between changes nothing of where the rows come from.
  const nn::Dataset plain(numbers({20, 3}, 1), numbers({20, 1}, 2));
  const auto mapped = [&](const nn::Dataset& data) {
    return data.mapped([](std::span<const float> in, std::span<float> out, nn::Random&) {
      std::ranges::copy(in, out.begin());
    });
  };
  Broken broken(mapped(plain));
  broken.check_refused(mapped(nn::Dataset(changed(numbers({20, 3}, 1), 7), plain.y().to_tensor())),
                       broken.validation, {"rows of x"});
  broken.check_goes_on(mapped(plain));
}

TEST_CASE("resume: of pictures, names and sizes of files count, and what is in them") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, std::uint8_t grey) {
    Tensor image(Type{DType::u8, {2, 2, 1}});
    std::ranges::fill(image.data<std::uint8_t>(), grey);
    fs::create_directories((folder / name).parent_path());
    write_png(folder / name, image);
  };
  const auto fingerprint = [&](const std::string& name = "p", std::int64_t size = 2) {
    return load_image_folder(folder / name, {.height = size, .width = size, .channels = 1})
        .data.x()
        .fingerprint();
  };
  for (std::uint8_t i = 0; i < 6; ++i) write(fmt::format("p/{}/{}.png", i % 2, i), i);
  const auto first = fingerprint();
  CHECK(fingerprint() == first);
  CHECK(fingerprint("p", 3) != first);
  fs::copy(folder / "p", folder / "copy", fs::copy_options::recursive);
  CHECK(fingerprint("copy") == first);  // elsewhere, and newer
  write("p/0/2.png", 200);
  CHECK(fs::file_size(folder / "p/0/2.png") == fs::file_size(folder / "copy/0/2.png"));
  CHECK(fingerprint() != first);
  write("p/0/2.png", 2);
  CHECK(fingerprint() == first);
  fs::rename(folder / "p/0/2.png", folder / "p/0/3.png");
  CHECK(fingerprint() != first);
}

TEST_CASE("resume: of a large table every so many rows are compared, and the first and the last") {
  // One megabyte, 300 times: more than is read whole.
  Tensor few(Type{DType::u8, {3, 1 << 20}});
  const auto column = [&](std::int64_t first, std::int64_t last) {
    std::vector<std::int64_t> rows(300, 1);
    rows.front() = first;
    rows.back() = last;
    return nn::Column(few).picked(rows).fingerprint();
  };
  few.data<std::uint8_t>()[0] = 1;
  few.data<std::uint8_t>()[(2 << 20) + 5] = 1;
  CHECK(column(1, 1) == column(1, 1));
  CHECK(column(0, 1) != column(1, 1));
  CHECK(column(1, 2) != column(1, 1));
}

TEST_CASE("resume: another model of the same weights is refused") {
  Broken broken;
  const auto refused = [&](nn::Sequential model, std::string_view what) {
    check_message<ArgumentError>(
        [&] { Broken::fit(model, broken.data, broken.validation, {broken.backup}); },
        {"BackupAndRestore: training cannot go on from", "st\", which is of another model: ", what,
         "take another folder"});
  };
  refused(model_of("tanh"), "layers: ");
  refused(model_of("relu", "sgd"), "optimizer: adam then, sgd now");
  refused(model_of("relu", "adam", "mae"),
          "loss: mean_squared_error then, mean_absolute_error now");
  broken.check_goes_on(broken.data);
}

TEST_CASE("resume: a state that says nothing of its data goes on with any") {
  const Broken broken;
  nn::Sequential model = model_of();
  std::optional<nn::FitState> kept;
  nn::Callback keep;
  keep.on_state = [&](nn::Model&, const std::function<nn::FitState()>& state) { kept = state(); };
  Broken::fit(model, broken.data, broken.validation, {keep});
  REQUIRE(kept);
  CHECK(kept->data.size() == 8);
  kept->epoch = 1;
  nn::Callback resume;
  resume.on_train_begin = [&](nn::Model& resumed) { resumed.resume = kept; };
  const nn::Dataset other(numbers({20, 3}, 8), numbers({20, 1}, 9));
  CHECK_THROWS_AS(Broken::fit(model, other, broken.validation, {resume}), ArgumentError);
  kept->data.clear();
  CHECK(Broken::fit(model, other, broken.validation, {resume}).epoch.size() == 5);
}

TEST_CASE("resume: a folder is for one training at a time, also in one program") {
  const TemporaryFolder folder;
  const nn::BackupAndRestore backup{.backup_dir = (folder / "st").string()};
  const nn::Dataset data(numbers({20, 3}, 1), numbers({20, 1}, 2));
  int refusals = 0;
  nn::Callback second;
  second.on_epoch_end = [&](nn::Model&, int, nn::Logs&) {
    nn::Sequential other = model_of();
    check_message<IoError>([&] { Broken::fit(other, data, {}, {backup}); },
                           {"BackupAndRestore: the folder \"", "st\" is in use by this process"});
    check_message<IoError>([&] { backup.remove(); }, {"is in use"});
    ++refusals;
  };
  nn::Sequential model = model_of();
  Broken::fit(model, data, {}, {backup, second});
  CHECK(refusals == 3);
  CHECK(!fs::exists(folder / "st"));

  // Training that is broken off lets go, though its callbacks are still there.
  const std::vector<nn::Callback> some{backup, kill_after(1)};
  CHECK_THROWS_AS(Broken::fit(model, data, {}, some), Killed);
  Broken::fit(model, data, {}, {backup});

  // lock() holds it before and after.
  {
    nn::BackupAndRestore held = backup;
    held.lock();
    held.lock();
    check_message<IoError>([&] { Broken::fit(model, data, {}, {backup}); }, {"is in use"});
    Broken::fit(model, data, {}, {held});
    check_message<IoError>([&] { Broken::fit(model, data, {}, {backup}); }, {"is in use"});
    held.remove();
  }
  Broken::fit(model, data, {}, {backup});
  CHECK(!fs::exists(folder / "st"));
}

}  // namespace
}  // namespace weft::test
