#include <iostream>

#include "io/idx.hpp"
#include "nn/nn.hpp"

int main() {
  namespace nn = weft::nn;
  const weft::Mnist mnist = weft::load_mnist(".cache/mnist");
  const nn::Dataset train = nn::Dataset(mnist.train_images, mnist.train_labels).scaled(1.0f / 255);

  nn::Sequential model{nn::Flatten(), nn::Dense(64, {.activation = "relu"}), nn::Dropout(0.2),
                       nn::Dense(10, {.activation = "softmax"})};
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  model.fit(train, {.epochs = 3, .batch_size = 64, .validation_split = 0.1});
  std::cout << model.summary();
}
