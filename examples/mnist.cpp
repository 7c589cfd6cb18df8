// The Keras tutorial's network on MNIST, line for line: one convolution, one pooling, two dense
// layers. examples/mnist.sh gets the data and runs this.
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <filesystem>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "io/idx.hpp"
#include "io/image.hpp"
#include "io/model_files.hpp"
#include "io/plot.hpp"
#include "nn/nn.hpp"
#include "runtime/profile.hpp"
#include "runtime/threads.hpp"

using weft::Tensor;
namespace nn = weft::nn;

namespace {

struct Options {
  std::string data = ".cache/mnist";
  int epochs = 10;
  std::int64_t batch_size = 64;
  std::uint64_t seed = 1;
  int threads = 0;
  std::string save = ".", image;
  bool report = false;
};

/// Images and one-hot labels. Images stay bytes in memory; a batch that is taken is scaled to 0..1.
nn::Dataset dataset(const Tensor& images, const Tensor& labels) {
  const weft::Shape& size = images.shape();
  const Tensor with_channel = images.reshaped({size[0], size[1], size[2], 1});
  return nn::Dataset(with_channel, nn::to_categorical(labels, 10)).scaled(1.0f / 255);
}

nn::Sequential network(std::uint64_t seed) {
  nn::Sequential model({.seed = seed});
  model.add(nn::Conv2D(32, {3, 3},
                       {.padding = "same", .activation = "relu", .input_shape = {28, 28, 1}}));
  model.add(nn::MaxPooling2D(2));
  model.add(nn::Flatten());
  model.add(nn::Dense(16, {.activation = "relu"}));
  model.add(nn::Dense(10, {.activation = "softmax"}));
  return model;
}

/// Saves the model, loads it again, and loads its weights alone into a network that is built anew:
/// all predict the same. Keras reads both files.
void save_and_load(nn::Sequential& model, const nn::Dataset& test, const Options& options) {
  const std::filesystem::path folder = options.save;
  std::filesystem::create_directories(folder);
  const std::string whole = (folder / "model.h5").string(),
                    weights = (folder / "model_weights.h5").string();
  model.save(whole);
  model.save_weights(weights);

  nn::Model loaded = nn::load_model(whole);
  nn::Sequential rebuilt = network(options.seed + 1);
  rebuilt.load_weights(weights);

  const Tensor expected = model.predict(test, {.verbose = 0});
  const auto same = [&](nn::Model& other) {
    const Tensor got = other.predict(test, {.verbose = 0});
    return std::ranges::equal(expected.data<float>(), got.data<float>()) ? "the same" : "other";
  };
  fmt::print(
      "Saved {} and {}.\nThe loaded model makes {} predictions, and so does a new network with "
      "the saved weights: {}.\n",
      whole, weights, same(loaded), same(rebuilt));
}

/// The curves of training, the confusion matrix, the worst mistakes, and what the convolution looks
/// for.
void draw_pictures(nn::Sequential& model, const nn::History& history, const weft::Mnist& mnist,
                   const Tensor& probabilities, const Options& options) {
  const std::filesystem::path folder = options.save;
  history.plot(folder / "history.png", {.title = "MNIST: a small convolutional network"});
  weft::plot_confusion_matrix(folder / "confusion.png",
                              weft::confusion_matrix(mnist.test_labels, probabilities), {},
                              {.title = "Test images: true and predicted class"});
  weft::plot_mistakes(folder / "mistakes.png", mnist.test_images,
                      weft::mistakes(mnist.test_labels, probabilities), {},
                      {.title = "The most confident mistakes: label \xe2\x86\x92 prediction"});
  weft::plot_filters(folder / "filters.png", model.get_weights()[0],
                     {.title = "Filters of conv2d"});
  fmt::print("Drew history.png, confusion.png, mistakes.png and filters.png in the folder {}\n",
             folder.string());
}

/// An image as lines of characters: the brighter, the denser.
std::string drawn(const Tensor& images, std::int64_t index) {
  constexpr std::string_view shades = " .:-=+*#%@";
  const std::int64_t height = images.shape()[1], width = images.shape()[2];
  const auto pixels = images.data<std::uint8_t>().subspan(
      static_cast<std::size_t>(index * height * width), static_cast<std::size_t>(height * width));
  std::string out;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    out.append(2, shades[pixels[i] * shades.size() / 256]);
    if ((i + 1) % static_cast<std::size_t>(width) == 0) out += '\n';
  }
  return out;
}

/// Recognises the digit in an image file: of any size, white on black as MNIST's are, or black on
/// white. (`weft predict` also crops and centres photographs.)
void recognise(nn::Sequential& model, const std::filesystem::path& file) {
  const Tensor image = weft::resized(weft::read_image(file, 1), 28, 28);
  const auto pixels = image.data<float>();
  const float mean = std::accumulate(pixels.begin(), pixels.end(), 0.0f) / (28 * 28);
  const bool dark_on_light = mean > 127;
  const nn::Dataset x = nn::Dataset(image.reshaped({1, 28, 28, 1}))
                            .scaled(dark_on_light ? -1.0f / 255 : 1.0f / 255, dark_on_light);
  const Tensor y = model.predict(x, {.verbose = 0});
  const auto numbers = y.data<float>();
  const auto best = std::ranges::max_element(numbers);
  fmt::print("The digit in {} is a {}, by {:.1f} %.\n", file.string(), best - numbers.begin(),
             100 * static_cast<double>(*best));
}

void run(const Options& options) {
  const weft::Mnist mnist = weft::load_mnist(options.data);
  const nn::Dataset train = dataset(mnist.train_images, mnist.train_labels);
  const nn::Dataset test = dataset(mnist.test_images, mnist.test_labels);

  nn::Sequential model = network(options.seed);
  fmt::print("{}", model.summary());

  model.compile({.optimizer = "adam", .loss = "categorical_crossentropy", .metrics = {"accuracy"}});

  const nn::History history = model.fit(train, {.epochs = options.epochs,
                                                .batch_size = options.batch_size,
                                                .validation_data = test,
                                                .seed = options.seed});
  fmt::print("{}\n", nn::diagnosis(history).text());

  const nn::Logs score = model.evaluate(test, {.batch_size = options.batch_size, .verbose = 0});
  fmt::print("Test loss: {:.4f}\nTest accuracy: {:.4f}\n", score["loss"], score["accuracy"]);

  save_and_load(model, test, options);

  const Tensor probabilities = model.predict(test, {.verbose = 0});
  draw_pictures(model, history, mnist, probabilities, options);

  const std::int64_t shown = std::min<std::int64_t>(10, test.size());
  const auto numbers = probabilities.data<float>().first(static_cast<std::size_t>(shown * 10));
  std::vector<std::ptrdiff_t> predicted;
  for (auto row = numbers.begin(); row != numbers.end(); row += 10) {
    predicted.push_back(std::max_element(row, row + 10) - row);
  }
  fmt::print("\n{}\nThis is the first test image; the network says {}.\n",
             drawn(mnist.test_images, 0), predicted[0]);
  for (const bool truth : {false, true}) {
    fmt::print("The first {}, {}:", shown, truth ? "labels" : "predictions");
    for (std::size_t i = 0; i < predicted.size(); ++i) {
      fmt::print(" {}", truth ? mnist.test_labels.data<std::uint8_t>()[i] : predicted[i]);
    }
    fmt::print("\n");
  }

  const std::filesystem::path digit = std::filesystem::path(options.save) / "digit.png";
  if (options.image.empty()) {
    const std::int64_t height = mnist.test_images.shape()[1], width = mnist.test_images.shape()[2];
    weft::write_png(digit, Tensor::of<std::uint8_t>({height, width},
                                                    mnist.test_images.data<std::uint8_t>().first(
                                                        static_cast<std::size_t>(height * width))));
  }
  recognise(model, options.image.empty() ? digit : std::filesystem::path(options.image));

  if (options.report) {
    weft::Executable& step = model.training_step(train, options.batch_size);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    fmt::print("\nOne training step:\n{}\n{}\nPeak memory: {} MB\n", step.report(),
               weft::profile(step, 100), usage.ru_maxrss / 1024);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a small convolutional network to read handwritten digits, and tests it.",
               "mnist");
  app.add_option("--data", options.data, "Folder of the four files of MNIST, plain or .gz")
      ->capture_default_str();
  app.add_option("--epochs", options.epochs, "How often to go through the training images")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "Images per step")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--seed", options.seed,
                 "Of initial weights and shuffling: with the same number of threads, the same seed "
                 "gives the same result")
      ->capture_default_str();
  app.add_option("--threads", options.threads,
                 "Threads to compute with; 0: as many as there are cores")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_option("--save", options.save, "Folder for model.h5, model_weights.h5 and the pictures")
      ->capture_default_str();
  app.add_option(
         "--image", options.image,
         "A PNG or JPEG file of a digit to recognise; by default the first test image, which is "
         "written to digit.png")
      ->check(CLI::ExistingFile);
  app.add_flag("--report", options.report, "Say at the end where time and memory went");
  try {
    app.parse(argc, argv);
    weft::set_threads(options.threads);
    run(options);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const std::exception& error) {
    fmt::print(stderr, "mnist: {}\n", error.what());
    return 1;
  }
}
