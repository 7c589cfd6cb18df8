// What the examples about images share: their command line, and the data set as floats and labels.
#pragma once

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>

#include "io/idx.hpp"
#include "nn/nn.hpp"
#include "runtime/threads.hpp"

struct Options {
  int epochs = 5;
  std::int64_t batch_size = 64;
  std::string data = ".cache/mnist";
  std::string out{};         // a file to write, where an example writes one
  std::int64_t samples = 0;  // of the training and of the test images; 0: all
  std::uint64_t seed = 1;
  int threads = 0;
};

/// Images as bytes u8[N,28,28,1] that are scaled to 0..1 as a batch is taken, and their classes.
struct Images {
  weft::Tensor train_x, train_y, test_x, test_y;
};

inline Images load_images(const Options& options) {
  const weft::Mnist mnist = weft::load_mnist(options.data);
  const auto first = [&](const weft::Tensor& tensor) {
    const std::int64_t count = tensor.shape()[0];
    const std::int64_t wanted = options.samples > 0 ? std::min(options.samples, count) : count;
    const auto bytes = tensor.data<std::uint8_t>().first(
        static_cast<std::size_t>(wanted * (tensor.shape().elements() / count)));
    return weft::Tensor::of<std::uint8_t>(tensor.shape().with(0, wanted), bytes);
  };
  const auto with_channel = [](const weft::Tensor& images) {
    const weft::Shape& size = images.shape();
    return images.reshaped({size[0], size[1], size[2], 1});
  };
  return {with_channel(first(mnist.train_images)), first(mnist.train_labels),
          with_channel(first(mnist.test_images)), first(mnist.test_labels)};
}

/// main() of an example: reads the command line, runs, and says what went wrong.
inline int run_example(int argc, char** argv, const char* name, const char* what, Options options,
                       void (*run)(const Options&)) {
  CLI::App app(what, name);
  app.add_option("--data", options.data, "Folder of the four files of a data set like MNIST")
      ->capture_default_str();
  app.add_option("--epochs", options.epochs, "How often to go through the training images")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "Images per step")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--samples", options.samples, "Take only so many images; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of initial weights and shuffling")->capture_default_str();
  app.add_option("--threads", options.threads, "0: as many as there are cores")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  if (!options.out.empty()) {
    app.add_option("--out", options.out, "The picture to write")->capture_default_str();
  }
  try {
    app.parse(argc, argv);
    weft::set_threads(options.threads);
    run(options);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return 1;
  }
}
