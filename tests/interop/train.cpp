// For check.py: evaluates a compiled model and trains it on, batch after batch.
//   weft_interop MODEL X.npy Y.npy BATCH LOSSES.npy OUT
// Prints what evaluate() says before training, a name and a number a line; writes the loss of each
// batch, and the model to OUT.
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <vector>

#include "io/model_files.hpp"
#include "io/npy.hpp"
#include "nn/nn.hpp"

int main(int argc, char** argv) try {
  if (argc != 7) {
    fmt::print(stderr, "usage: weft_interop MODEL X.npy Y.npy BATCH LOSSES.npy OUT\n");
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
