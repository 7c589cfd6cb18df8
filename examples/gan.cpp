// Two networks trained in turn: a generator makes digits of random numbers, a discriminator learns
// to tell them from real ones, and the generator learns what makes the discriminator err. While the
// generator learns, the discriminator is frozen; compile() remembers that, so each keeps to its
// own. See Goodfellow et al., "Generative adversarial nets", 2014, and Radford et al., 2016.
#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "examples/common.hpp"
#include "io/image.hpp"

using weft::Tensor;
namespace nn = weft::nn;

namespace {

constexpr std::int64_t latent = 64;  // random numbers that an image is made of

nn::Sequential generator(std::uint64_t seed) {
  return nn::Sequential(
      {nn::Dense(7 * 7 * 64, {.use_bias = false, .input_shape = {latent}}),
       nn::BatchNormalization({.momentum = 0.9}), nn::ReLU(), nn::Reshape({7, 7, 64}),
       nn::Conv2DTranspose(32, 4, {.strides = 2, .padding = "same", .use_bias = false}),
       nn::BatchNormalization({.momentum = 0.9}), nn::ReLU(),
       nn::Conv2DTranspose(1, 4, {.strides = 2, .padding = "same", .activation = "sigmoid"})},
      {.name = "generator", .seed = seed});
}

nn::Sequential discriminator(std::uint64_t seed) {
  return nn::Sequential(
      {nn::Conv2D(32, 4, {.strides = 2, .padding = "same", .input_shape = {28, 28, 1}}),
       nn::LeakyReLU({.negative_slope = 0.2}), nn::Dropout(0.3),
       nn::Conv2D(64, 4, {.strides = 2, .padding = "same"}), nn::LeakyReLU({.negative_slope = 0.2}),
       nn::Dropout(0.3), nn::Flatten(), nn::Dense(1)},
      {.name = "discriminator", .seed = seed});
}

Tensor noise(std::int64_t count, nn::Random& random) {
  Tensor numbers({weft::DType::f32, {count, latent}});
  std::ranges::generate(numbers.data<float>(), [&] { return static_cast<float>(random.normal()); });
  return numbers;
}

/// Real images, then made ones, in 0..1.
Tensor batch_of(const Tensor& real, std::span<const std::int64_t> rows, const Tensor& made) {
  const std::size_t size = 28 * 28;
  Tensor batch({weft::DType::f32, {2 * static_cast<std::int64_t>(rows.size()), 28, 28, 1}});
  auto to = batch.data<float>().begin();
  for (const std::int64_t row : rows) {
    const auto image =
        real.data<std::uint8_t>().subspan(static_cast<std::size_t>(row) * size, size);
    to = std::ranges::transform(image, to, [](std::uint8_t pixel) {
           return static_cast<float>(pixel) / 255;
         }).out;
  }
  std::ranges::copy(made.data<float>(), to);
  return batch;
}

/// `real` times 0.9, since no judge should be quite sure, and then `made` times 0.
Tensor labels_of(std::int64_t real, std::int64_t made) {
  std::vector<float> labels(static_cast<std::size_t>(real), 0.9f);
  labels.resize(static_cast<std::size_t>(real + made), 0.0f);
  return Tensor::of<float>({real + made, 1}, labels);
}

void run(const Options& options) {
  const Images images = load_images(options);
  nn::Sequential make = generator(options.seed), judge = discriminator(options.seed);
  const nn::Optimizer adam = nn::Adam{.learning_rate = 2e-4, .beta_1 = 0.5};
  const nn::Loss loss = nn::BinaryCrossentropy{.from_logits = true};

  fmt::print("{}{}", make.summary(), judge.summary());

  judge.compile({.optimizer = adam, .loss = loss});
  judge.set_trainable(false);
  const nn::Input numbers({latent});
  nn::Model both(numbers, judge(make(numbers)), {.name = "gan", .seed = options.seed});
  both.compile({.optimizer = adam, .loss = loss});

  nn::Random random(options.seed, "gan");
  const std::int64_t count = images.train_x.shape()[0], half = options.batch_size / 2;
  const Tensor shown = noise(100, random);  // always the same, to see how they change
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const Tensor all_real = Tensor::full({2 * half, 1}, 1.0f);
  for (int epoch = 0; epoch < options.epochs; ++epoch) {
    nn::shuffle(order, random);
    nn::Progress progress;
    progress.begin(count / half, fmt::format("Epoch {}/{}", epoch + 1, options.epochs));
    double judge_loss = 0, make_loss = 0;
    nn::Logs logs;
    for (std::int64_t step = 0; step < count / half; ++step) {
      const auto rows = std::span(order).subspan(static_cast<std::size_t>(step * half),
                                                 static_cast<std::size_t>(half));
      const Tensor made = make.predict_on_batch(noise(half, random));
      judge_loss +=
          judge.train_on_batch(batch_of(images.train_x, rows, made), labels_of(half, half))["loss"];
      make_loss += both.train_on_batch(noise(2 * half, random), all_real)["loss"];
      logs.set("discriminator", judge_loss / static_cast<double>(step + 1));
      logs.set("generator", make_loss / static_cast<double>(step + 1));
      progress.update(step + 1, logs);
    }
    progress.finish(logs);
    weft::write_png(options.out, weft::sheet(make.predict(shown, {.verbose = 0}), 10));
  }
  fmt::print("{} shows a hundred digits that nobody wrote.\n", options.out);
}

}  // namespace

int main(int argc, char** argv) {
  return run_example(argc, argv, "gan", "Trains a network to make digits, and one to judge them.",
                     {.epochs = 5, .out = "gan.png"}, run);
}
