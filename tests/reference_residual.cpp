// A residual network against Keras 3 and PyTorch, step by step, on the numbers that
// tests/reference/residual.py and residual_torch.py wrote.
#include "tests/reference_testing.hpp"

namespace weft::test {
namespace {

// Keras, PyTorch and PyTorch in double precision are 5e-7 apart over these 20 steps. A running
// variance over n - 1 numbers, as PyTorch keeps it, would be off by 1 / 1024 at least.
constexpr double steps_tolerance = 1e-5;

constexpr std::int64_t batch_size = 16, steps = 20;

nn::Symbol conv_norm(const nn::Symbol& x, std::int64_t filters, std::int64_t size,
                     std::int64_t strides = 1) {
  const nn::Conv2DConfig config{.strides = strides, .padding = "same", .use_bias = false};
  const nn::Symbol y = nn::Conv2D(filters, size, config)(x);
  return nn::BatchNormalization({.momentum = 0.9})(y);
}

nn::Symbol block(const nn::Symbol& x, std::int64_t filters, std::int64_t strides = 1) {
  nn::Symbol y = nn::ReLU()(conv_norm(x, filters, 3, strides));
  y = conv_norm(y, filters, 3);
  return nn::ReLU()(nn::Add()({y, strides == 1 ? x : conv_norm(x, filters, 1, strides)}));
}

nn::Model network(std::size_t replicas) {
  const nn::Input x({8, 8, 3});
  nn::Symbol y = nn::ReLU()(conv_norm(x, 6, 3));
  y = block(y, 6);
  y = block(y, 10, 2);
  y = block(y, 10);
  y = nn::GlobalAveragePooling2D()(y);
  return nn::Model(x, nn::Dense(4, {.activation = "softmax"})(y), {.replicas = replicas});
}

Tensor stored(const std::string& name) { return read("residual/" + name); }

/// The loss of each step, of batches gone through again and again.
Tensor losses_of(nn::Model& model, const nn::Dataset& data) {
  std::vector<float> losses;
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::int64_t first = step * batch_size % data.size();
    const nn::Logs logs = model.train_on_batch(data.rows(first, first + batch_size));
    losses.push_back(static_cast<float>(logs["loss"]));
  }
  return Tensor::of<float>({steps}, losses);
}

}  // namespace

TEST_CASE("reference: a residual network takes 20 steps as in Keras and PyTorch") {
  const nn::Dataset data(stored("x"), stored("y"));
  const std::pair<std::string, nn::Optimizer> optimizers[] = {
      {"sgd", nn::SGD{.learning_rate = 0.05, .momentum = 0.9}},
      {"adam", nn::Adam{.learning_rate = 0.01, .epsilon = 1e-3}}};
  for (const auto& [name, optimizer] : optimizers) {
    for (const std::size_t replicas : {1, 2}) {
      CAPTURE(name);
      CAPTURE(replicas);
      nn::Model model = network(replicas);
      set_flat(model, stored("initial"));
      model.compile({.optimizer = optimizer, .loss = "sparse_categorical_crossentropy"});
      const Tensor losses = losses_of(model, data);
      CHECK(difference(losses, stored(name + "_losses"), 0) < steps_tolerance);
      if (name == "sgd") CHECK(difference(losses, stored("torch_losses"), 0) < steps_tolerance);
      CHECK(difference(flat(model.get_weights()), stored(name + "_weights"), 1) < steps_tolerance);
      const Tensor predicted = model.predict(data.rows(0, batch_size), {.verbose = 0});
      CHECK(difference(predicted, stored(name + "_predicted"), 1) < steps_tolerance);
    }
  }
}

}  // namespace weft::test
