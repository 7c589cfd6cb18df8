// A residual network for small images, on Fashion-MNIST: layers called on one another instead of
// put in a row, so that a block's input can go around it and be added to its output. See He et al.,
// "Deep residual learning for image recognition", 2016, section 4.2.
#include "examples/common.hpp"

namespace nn = weft::nn;

namespace {

/// Convolution without a bias, which the normalization behind it would take away again.
nn::Symbol conv_norm(const nn::Symbol& x, std::int64_t filters, std::int64_t size,
                     std::int64_t stride) {
  const nn::Symbol y = nn::Conv2D(
      filters, size,
      {.strides = stride, .padding = "same", .use_bias = false, .kernel_initializer = "he_normal"})(
      x);
  return nn::BatchNormalization({.momentum = 0.9})(y);
}

/// relu(x + f(x)), where f is two convolutions. Where f has another shape than x, x is brought to
/// it by a convolution of size 1.
nn::Symbol block(const nn::Symbol& x, std::int64_t filters, std::int64_t stride) {
  nn::Symbol y = nn::ReLU()(conv_norm(x, filters, 3, stride));
  y = conv_norm(y, filters, 3, 1);
  const bool same = y.shape() == x.shape();
  return nn::ReLU()(nn::Add()({y, same ? x : conv_norm(x, filters, 1, stride)}));
}

void run(const Options& options) {
  const Images images = load_images(options);
  const nn::Dataset train = nn::Dataset(images.train_x, images.train_y).scaled(1.0f / 255);
  const nn::Dataset test = nn::Dataset(images.test_x, images.test_y).scaled(1.0f / 255);

  // Three stages of one block each: ResNet-8. With three blocks each it would be ResNet-20.
  constexpr int blocks = 1;
  const nn::Input x({28, 28, 1});
  nn::Symbol y = nn::ReLU()(conv_norm(x, 16, 3, 1));
  for (const std::int64_t filters : {16, 32, 64}) {
    for (int i = 0; i < blocks; ++i) y = block(y, filters, filters > 16 && i == 0 ? 2 : 1);
  }
  y = nn::GlobalAveragePooling2D()(y);
  nn::Model model(x, nn::Dense(10, {.activation = "softmax"})(y), {.seed = options.seed});
  fmt::print("{}", model.summary());

  // Smaller steps towards the end: weights that are tested then are not in the midst of a jump.
  const std::int64_t steps = (train.size() + options.batch_size - 1) / options.batch_size;
  model.compile({.optimizer = nn::Adam{.learning_rate =
                                           nn::CosineDecay{.initial_learning_rate = 2e-3,
                                                           .decay_steps = options.epochs * steps}},
                 .loss = "sparse_categorical_crossentropy",
                 .metrics = {"accuracy"}});
  model.fit(train, {.epochs = options.epochs,
                    .batch_size = options.batch_size,
                    .validation_data = test,
                    .seed = options.seed});
  const nn::Logs score = model.evaluate(test, {.batch_size = options.batch_size, .verbose = 0});
  fmt::print("Test accuracy: {:.4f}\n", score["accuracy"]);
}

}  // namespace

int main(int argc, char** argv) {
  return run_example(argc, argv, "residual", "Trains a residual network on small images.",
                     {.epochs = 5}, run);
}
