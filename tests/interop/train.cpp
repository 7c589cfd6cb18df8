// For check.py.
//   weft_interop MODEL X.npy Y.npy BATCH LOSSES.npy OUT
// evaluates a compiled model and trains it on, batch after batch. Prints what evaluate() says
// before training, a name and a number a line; writes the loss of each batch, and the model to OUT.
//   weft_interop events FOLDER
// trains a small model with TensorBoard. Prints its history, a name, an epoch and a number a line,
// and of each weight its name, "weight" and its numbers in the end; writes the layers to
// FOLDER/model.json.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/model_files.hpp"
#include "io/npy.hpp"
#include "nn/nn.hpp"

namespace {

void write_events(const std::filesystem::path& folder) {
  using namespace weft;
  nn::Sequential model({nn::Dense(4, {.activation = "relu", .input_shape = {3}}),
                        nn::BatchNormalization(), nn::Dense(1)},
                       {.seed = 1});
  model.compile({.optimizer = nn::Adam{.learning_rate = 0.01}, .loss = "mse", .metrics = {"mae"}});
  nn::Random random(3);
  Tensor x({DType::f32, {40, 3}}), y({DType::f32, {40, 1}});
  for (float& number : x.data<float>()) number = static_cast<float>(random.normal());
  for (float& number : y.data<float>()) number = static_cast<float>(random.normal());
  const nn::History history =
      model.fit(x, y,
                {.epochs = 3,
                 .batch_size = 4,
                 .validation_split = 0.2,
                 .verbose = 0,
                 .callbacks = {nn::TensorBoard{.log_dir = folder.string(),
                                               .histogram_freq = 1,
                                               .write_steps_per_second = true,
                                               .update_freq = 2}}});
  for (const std::string& name : history.names()) {
    for (std::size_t i = 0; i < history[name].size(); ++i) {
      fmt::print("{} {} {:.9g}\n", name, history.epochs_of(name)[i], history[name][i]);
    }
  }
  const std::vector<Tensor> values = model.get_weights();
  const auto weights = model.weights();
  for (std::size_t i = 0; i < values.size(); ++i) {
    fmt::print("{} weight {:.9g}\n", weights[i].name, fmt::join(values[i].data<float>(), " "));
  }
  std::ofstream(folder / "model.json") << model.to_json();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 3 && std::string(argv[1]) == "events") {
    write_events(argv[2]);
    return 0;
  }
  if (argc != 7) {
    fmt::print(stderr,
               "usage: weft_interop MODEL X.npy Y.npy BATCH LOSSES.npy OUT\n"
               "       weft_interop events FOLDER\n");
    return 2;
  }
  using weft::Tensor;
  weft::nn::Model model = weft::nn::load_model(argv[1]);
  const weft::nn::Dataset data(weft::read_npy(argv[2]), weft::read_npy(argv[3]));
  const std::int64_t batch = std::atoll(argv[4]);
  for (const auto& [name, value] : model.evaluate(data, {.batch_size = batch, .verbose = 0})) {
    fmt::print("{} {:.9g}\n", name, value);
  }
  std::vector<float> losses;
  for (std::int64_t first = 0; first < data.size(); first += batch) {
    losses.push_back(static_cast<float>(
        model.train_on_batch(data.rows(first, std::min(first + batch, data.size())))["loss"]));
  }
  Tensor all({weft::DType::f32, {static_cast<std::int64_t>(losses.size())}});
  std::copy(losses.begin(), losses.end(), all.data<float>().begin());
  weft::write_npy(argv[5], all);
  model.save(argv[6]);
} catch (const std::exception& error) {
  fmt::print(stderr, "weft_interop: {}\n", error.what());
  return 1;
}
