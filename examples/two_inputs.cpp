// Two images in, two answers out: are they of the same class, and what is the sum of their digits?
// One convolutional tower looks at both images: a layer (or, as here, a model) that is called twice
// has one set of weights. The drawing shows it.
#include <algorithm>
#include <numeric>
#include <vector>

#include "examples/common.hpp"

using weft::Tensor;
namespace nn = weft::nn;

namespace {

/// Pairs of images: every image with another one, of the same class in half of the cases.
struct Pairs {
  Tensor left, right, same, sum;
};

Pairs pairs_of(const Tensor& images, const Tensor& labels, std::uint64_t seed) {
  const auto count = static_cast<std::size_t>(images.shape()[0]);
  const auto classes = labels.data<std::uint8_t>();
  std::vector<std::vector<std::size_t>> of_class(10);
  for (std::size_t i = 0; i < count; ++i) of_class[classes[i]].push_back(i);
  nn::Random random(seed, "pairs");
  Pairs pairs{images, Tensor(images.type()), Tensor({weft::DType::f32, {images.shape()[0], 1}}),
              Tensor({weft::DType::u8, {images.shape()[0]}})};
  const std::size_t pixels = static_cast<std::size_t>(images.shape().elements()) / count;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& alike = of_class[classes[i]];
    const std::size_t other = i % 2 == 0 ? alike[random.below(alike.size())] : random.below(count);
    std::ranges::copy(
        images.data<std::uint8_t>().subspan(other * pixels, pixels),
        pairs.right.data<std::uint8_t>().begin() + static_cast<std::ptrdiff_t>(i * pixels));
    pairs.same.data<float>()[i] = classes[i] == classes[other] ? 1.0f : 0.0f;
    pairs.sum.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(classes[i] + classes[other]);
  }
  return pairs;
}

nn::Dataset dataset(const Pairs& pairs) {
  return nn::Dataset({pairs.left, pairs.right}, {pairs.same, pairs.sum}).scaled(1.0f / 255);
}

void run(const Options& options) {
  const Images images = load_images(options);
  const Pairs train = pairs_of(images.train_x, images.train_y, options.seed);
  const Pairs test = pairs_of(images.test_x, images.test_y, options.seed + 1);

  const nn::Sequential tower(
      {nn::Conv2D(16, 3, {.activation = "relu", .input_shape = {28, 28, 1}}), nn::MaxPooling2D(),
       nn::Conv2D(32, 3, {.activation = "relu"}), nn::MaxPooling2D(), nn::Flatten(),
       nn::Dense(64, {.activation = "relu"})},
      {.name = "tower"});
  const nn::Input left({28, 28, 1}, {.name = "left"}), right({28, 28, 1}, {.name = "right"});
  const nn::Symbol a = tower(left), b = tower(right);

  const nn::Symbol apart = nn::Subtract()({a, b});
  nn::Symbol same = nn::Multiply()({apart, apart});
  same = nn::Dense(1, {.activation = "sigmoid", .name = "same"})(same);
  nn::Symbol sum = nn::Dense(64, {.activation = "relu"})(nn::Concatenate()({a, b}));
  sum = nn::Dense(19, {.activation = "softmax", .name = "sum"})(sum);

  nn::Model model({left, right}, {same, sum}, {.name = "two_inputs", .seed = options.seed});
  fmt::print("{}", model.summary());
  model.draw(options.out);
  fmt::print("{} shows how it is connected.\n", options.out);

  model.compile(
      {.optimizer = "adam",
       .metrics = {"accuracy"},
       .outputs = {{"same", {.loss = "binary_crossentropy"}},
                   {"sum", {.loss = "sparse_categorical_crossentropy", .loss_weight = 0.5}}}});
  model.fit(dataset(train), {.epochs = options.epochs,
                             .batch_size = options.batch_size,
                             .validation_data = dataset(test),
                             .seed = options.seed});
  const nn::Logs score = model.evaluate(dataset(test), {.verbose = 0});
  fmt::print(
      "Of the test pairs, {:.1f} % are rightly called the same or not, and {:.1f} % are "
      "rightly added.\n",
      100 * score["same_accuracy"], 100 * score["sum_accuracy"]);
}

}  // namespace

int main(int argc, char** argv) {
  return run_example(argc, argv, "two_inputs", "Compares and adds the digits on pairs of images.",
                     {.epochs = 5, .out = "two_inputs.svg"}, run);
}
