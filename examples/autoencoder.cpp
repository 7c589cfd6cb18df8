// A convolutional autoencoder: 784 pixels become 32 numbers and then an image again. Noise is added
// to what it sees, but not to what it should return, so it learns what an image is rather than to
// copy. Writes a picture: images, the same with noise, and what the network makes of those. See
// Vincent et al., "Extracting and composing robust features with denoising autoencoders", 2008.
#include <algorithm>
#include <vector>

#include "examples/common.hpp"
#include "io/image.hpp"

using weft::Tensor;
namespace nn = weft::nn;

namespace {

constexpr double noise = 0.3;

/// Images as numbers in 0..1.
Tensor as_floats(const Tensor& images) {
  Tensor floats({weft::DType::f32, images.shape()});
  std::ranges::transform(images.data<std::uint8_t>(), floats.data<float>().begin(),
                         [](std::uint8_t pixel) { return static_cast<float>(pixel) / 255; });
  return floats;
}

Tensor with_noise(const Tensor& images, std::uint64_t seed) {
  nn::Random random(seed, "noise");
  Tensor noisy({weft::DType::f32, images.shape()});
  std::ranges::transform(images.data<float>(), noisy.data<float>().begin(), [&](float pixel) {
    return std::clamp(pixel + static_cast<float>(random.normal(0, noise)), 0.0f, 1.0f);
  });
  return noisy;
}

void run(const Options& options) {
  const Images images = load_images(options);
  const Tensor train = as_floats(images.train_x), test = as_floats(images.test_x);

  nn::Sequential model({.seed = options.seed});
  model.add(nn::Input({28, 28, 1}));
  model.add(nn::GaussianNoise(noise));  // in training, and anew each time
  model.add(nn::Conv2D(16, 3, {.strides = 2, .padding = "same", .activation = "relu"}));
  model.add(nn::Conv2D(32, 3, {.strides = 2, .padding = "same", .activation = "relu"}));
  model.add(nn::Flatten());
  model.add(nn::Dense(32, {.name = "code"}));
  model.add(nn::Dense(7 * 7 * 32, {.activation = "relu"}));
  model.add(nn::Reshape({7, 7, 32}));
  model.add(nn::Conv2DTranspose(32, 3, {.strides = 2, .padding = "same", .activation = "relu"}));
  model.add(nn::Conv2DTranspose(16, 3, {.strides = 2, .padding = "same", .activation = "relu"}));
  model.add(nn::Conv2D(1, 3, {.padding = "same", .activation = "sigmoid"}));
  fmt::print("{}", model.summary());

  model.compile({.optimizer = "adam", .loss = "binary_crossentropy"});
  model.fit(train, train,
            {.epochs = options.epochs,
             .batch_size = options.batch_size,
             .validation_data = nn::Dataset(test, test),
             .seed = options.seed});

  // Three rows of ten: images, noisy images, and what is made of them.
  const std::int64_t shown = std::min<std::int64_t>(10, test.shape()[0]);
  const auto first = test.data<float>().first(static_cast<std::size_t>(shown * 28 * 28));
  const Tensor clean = Tensor::of<float>({shown, 28, 28, 1}, first);
  const Tensor noisy = with_noise(clean, options.seed);
  const Tensor made = model.predict(noisy, {.verbose = 0});
  std::vector<float> rows;
  for (const Tensor* row : {&clean, &noisy, &made}) {
    const auto pixels = std::as_const(*row).data<float>();
    rows.insert(rows.end(), pixels.begin(), pixels.end());
  }
  const Tensor picture = weft::sheet(Tensor::of<float>({3 * shown, 28, 28, 1}, rows), shown);
  weft::write_png(options.out, picture);
  fmt::print(
      "{} shows ten test images, the same with noise, and what the network makes of those.\n",
      options.out);
}

}  // namespace

int main(int argc, char** argv) {
  return run_example(argc, argv, "autoencoder", "Trains a network to take noise out of images.",
                     {.epochs = 5, .out = "autoencoder.png"}, run);
}
