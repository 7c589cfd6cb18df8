// What a format cannot hold is refused before training, not after it.
#include "nn/saving.hpp"

#include <doctest/doctest.h>

#include "graph/error.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

nn::Model model_with(const std::string& name) {
  nn::Model model = nn::Sequential({nn::Dense(2, {.input_shape = {3}, .name = name})});
  model.compile({.optimizer = "adam", .loss = "mse"});
  return model;
}

nn::Dataset data() { return {Tensor::full({8, 3}, 1), Tensor::full({8, 2}, 1)}; }

}  // namespace

TEST_CASE("saving: what can be saved is not refused before, and nothing is written") {
  const TemporaryFolder folder;
  for (const char* name : {"m.h5", "m.hdf5", "m.keras", "m.json"}) {
    CAPTURE(name);
    nn::Model model = model_with("d");
    nn::expect_savable(model, folder / name);
    CHECK(fs::is_empty(folder.path()));
    model.save(folder / name);
    fs::remove(folder / name);
  }
  for (const char* name : {"m.h5", "m.weights.h5"}) {
    nn::Model model = model_with("d");
    nn::expect_weights_savable(model, folder / name);
    CHECK(fs::is_empty(folder.path()));
  }
  nn::Model model = model_with("d");
  check_message<ArgumentError>([&] { nn::expect_savable(model, "m.txt"); }, {"m.txt", "must end"});
  check_message<ArgumentError>([&] { nn::expect_savable(model, "m.weights.h5"); }, {"weights"});
  check_message<ArgumentError>([&] { nn::expect_weights_savable(model, "m.keras"); },
                               {"m.keras", "must end"});
}

TEST_CASE("saving: asking changes nothing of the training that follows") {
  nn::Model asked = model_with("d"), other = model_with("d");
  nn::expect_savable(asked, "m.keras");
  nn::expect_savable(asked, "m.h5");
  for (nn::Model* model : {&asked, &other}) model->fit(data(), {.epochs = 2, .verbose = 0});
  const auto a = asked.get_weights(), b = other.get_weights();
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(std::ranges::equal(a[i].data<float>(), b[i].data<float>()));
  }
}

TEST_CASE("saving: names that a file cannot hold are refused before training") {
  const TemporaryFolder folder;
  const std::string large(1 << 20, 'n');
  for (const auto& [name, file, what] :
       {std::tuple(large, "m.h5", "too long"), std::tuple(large, "m.hdf5", "too long")}) {
    CAPTURE(file);
    const std::string path = folder / file;
    nn::Model model = model_with(name);
    const std::string asked = message_of<IoError>([&] { nn::expect_savable(model, path); });
    CHECK(asked.find(what) != std::string::npos);
    CHECK(asked.find(path) != std::string::npos);
    CHECK(asked.size() < path.size() + 300);
    CHECK_THROWS_AS(model.save(path), IoError);
    // A callback asks at the beginning: no epoch is trained.
    int epochs = 0;
    const nn::Callback count{.on_epoch_begin = [&](nn::Model&, int) { ++epochs; }};
    check_message<IoError>(
        [&] {
          model.fit(data(),
                    {.epochs = 1, .verbose = 0, .callbacks = {count, nn::ModelCheckpoint{path}}});
        },
        {path, what});
    CHECK(epochs == 0);
  }
  CHECK(fs::is_empty(folder.path()));
}

}  // namespace weft::test
