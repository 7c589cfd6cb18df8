// Transfer: a network learns one half of the classes. Then its convolutions are frozen, and a new
// head on them learns the other half from few images, beside a network that has to learn all from
// those few.
#include <vector>

#include "examples/common.hpp"

using weft::Tensor;
namespace nn = weft::nn;

namespace {

constexpr int half = 5;                  // of the classes
constexpr std::int64_t few_images = 50;  // of the second half

/// The images of classes first .. first + 4, at most `most` of them (0: all), with classes from 0.
nn::Dataset of_classes(const Tensor& images, const Tensor& labels, int first,
                       std::int64_t most = 0) {
  const auto classes = labels.data<std::uint8_t>();
  const auto pixels = images.data<std::uint8_t>();
  const std::size_t size = pixels.size() / classes.size();
  std::vector<std::uint8_t> x, y;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i] < first || classes[i] >= first + half) continue;
    if (most > 0 && static_cast<std::int64_t>(y.size()) == most) break;
    y.push_back(static_cast<std::uint8_t>(classes[i] - first));
    const auto image = pixels.subspan(i * size, size);
    x.insert(x.end(), image.begin(), image.end());
  }
  const auto count = static_cast<std::int64_t>(y.size());
  return nn::Dataset(Tensor::of<std::uint8_t>(images.shape().with(0, count), x),
                     Tensor::of<std::uint8_t>({count}, y))
      .scaled(1.0f / 255);
}

nn::Sequential convolutions(std::uint64_t seed) {
  return nn::Sequential(
      {nn::Conv2D(32, 3, {.activation = "relu", .input_shape = {28, 28, 1}}), nn::MaxPooling2D(),
       nn::Conv2D(64, 3, {.activation = "relu"}), nn::MaxPooling2D(), nn::Flatten()},
      {.name = "convolutions", .seed = seed});
}

/// A classifier on top of what looks at the image. Models that are made on one base share it.
nn::Model with_head(const nn::Sequential& base, std::uint64_t seed) {
  const nn::Input x({28, 28, 1});
  const nn::Symbol y = nn::Dense(64, {.activation = "relu"})(base(x));
  return nn::Model(x, nn::Dense(half, {.activation = "softmax"})(y), {.seed = seed});
}

double train(nn::Model& model, const nn::Dataset& data, const nn::Dataset& test, int epochs,
             const Options& options) {
  model.compile(
      {.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  model.fit(data, {.epochs = epochs, .batch_size = options.batch_size, .seed = options.seed});
  return model.evaluate(test, {.verbose = 0})["accuracy"];
}

void run(const Options& options) {
  const Images images = load_images(options);
  const nn::Dataset first = of_classes(images.train_x, images.train_y, 0);
  const nn::Dataset few = of_classes(images.train_x, images.train_y, half, few_images);
  const nn::Dataset test_first = of_classes(images.test_x, images.test_y, 0);
  const nn::Dataset test = of_classes(images.test_x, images.test_y, half);

  nn::Sequential base = convolutions(options.seed);
  nn::Model model = with_head(base, options.seed);
  fmt::print("Classes 0 to 4, {} images:\n", first.size());
  fmt::print("Test accuracy: {:.4f}\n\n", train(model, first, test_first, options.epochs, options));

  // From here on, its convolutions stay as they are.
  base.set_trainable(false);
  nn::Model transferred = with_head(base, options.seed);
  fmt::print("{}\nClasses 5 to 9, {} images, a new head on frozen convolutions:\n",
             transferred.summary(), few.size());
  const double with = train(transferred, few, test, 10 * options.epochs, options);

  nn::Model fresh = with_head(convolutions(options.seed + 1), options.seed);
  fmt::print("\nThe same images, a network that has seen no others:\n");
  const double without = train(fresh, few, test, 10 * options.epochs, options);
  fmt::print("\nTest accuracy on classes 5 to 9: {:.4f} with transfer, {:.4f} without.\n", with,
             without);
}

}  // namespace

int main(int argc, char** argv) {
  return run_example(argc, argv, "transfer",
                     "Trains a network, freezes its base, and trains a new head on it.",
                     {.epochs = 2}, run);
}
