#include "tools/data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/csv.hpp"
#include "io/idx.hpp"
#include "io/image_folder.hpp"
#include "io/quoted.hpp"
#include "nn/nn.hpp"
#include "tools/commands.hpp"
#include "tools/mnist.hpp"

namespace weft::tools {
namespace {

namespace fs = std::filesystem;

bool has_idx(const fs::path& folder) {
  for (const char* name : {"train-images-idx3-ubyte", "train-images.idx3-ubyte"}) {
    for (const char* ending : {"", ".gz"}) {
      if (fs::exists(folder / (std::string(name) + ending))) return true;
    }
  }
  return false;
}

fs::path environment(const char* name, const char* below = "") {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? fs::path() : fs::path(value) / below;
}

/// The first of some folders that has the files of a set like MNIST; "" if none has.
fs::path find_set(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    if (!folder.empty() && has_idx(folder)) return folder;
  }
  return {};
}

/// In $MNIST_DIR alone if that is set; else where examples/run.sh puts it, or a folder of the
/// user's, into which it is got if need be.
fs::path find_mnist() {
  if (const fs::path given = environment("MNIST_DIR"); !given.empty()) {
    if (has_idx(given)) return given;
    fail<IoError>("there is no MNIST in MNIST_DIR, {}: its four files should be there",
                  given.string());
  }
  const fs::path caches = environment("XDG_CACHE_HOME");
  const fs::path own =
      caches.empty() ? environment("HOME", ".cache/weft/mnist") : caches / "weft" / "mnist";
  if (const fs::path found = find_set({".cache/mnist", own}); !found.empty()) return found;
  try {
    if (own.empty()) fail<IoError>("neither HOME nor XDG_CACHE_HOME says where to put it");
    const char* mirror = std::getenv("MNIST_MIRROR");
    fetch_mnist(own, mirror == nullptr ? "" : mirror, [&](const std::string& from) {
      fmt::print(stderr, "Getting MNIST from {} into {}\n", from, own.string());
    });
  } catch (const IoError& error) {
    fail<IoError>(
        "there is no MNIST here, and it could not be got: {}. Put its four files into a folder and "
        "set MNIST_DIR to that",
        error.what());
  }
  return own;
}

Data load_idx_folder(const fs::path& folder, double scale) {
  const Mnist set = load_mnist(folder);
  const auto dataset = [&](const Tensor& images, const Tensor& labels) {
    const Shape& size = images.shape();
    return nn::Dataset(images.reshaped({size[0], size[1], size[2], 1}), labels)
        .scaled(static_cast<float>(scale));
  };
  return {.train = dataset(set.train_images, set.train_labels),
          .test = dataset(set.test_images, set.test_labels)};
}

/// Are the targets numbers of a model's classes, though a table has them as any numbers?
bool are_classes(const nn::Dataset& data, std::int64_t count) {
  if (data.y().row_shape().elements() != 1 || count < 2) return false;
  const Tensor targets = data.y().to_tensor();
  return std::ranges::all_of(targets.data<float>(), [&](float target) {
    return target >= 0 && target < static_cast<float>(count) && target == std::floor(target);
  });
}

}  // namespace

nn::Dataset fitting(const nn::Dataset& data, nn::Model& model) {
  if (data.size() == 0) return data;
  const bool classes = data.y().dtype() != DType::f32;
  const Shape output = model.output_shape();
  const std::int64_t count = output.rank() > 0 ? output[-1] : 1;
  if (!classes || model.training().loss.integer_targets || count == 1) return data;
  return nn::Dataset({data.x()}, {nn::Column(nn::to_categorical(data.y().to_tensor(), count))});
}

nn::TrainOptions fitting_options(nn::Model& model, const nn::Dataset& data) {
  const Shape output = model.output_shape();
  const bool classes = data.y().dtype() != DType::f32;
  const bool one = output.rank() == 0 || output[-1] == 1;
  if (!classes && !one && data.size() > 0 && are_classes(data, output[-1])) {
    return {
        .optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}};
  }
  return {.optimizer = "adam",
          .loss = !classes ? "mse"
                  : one    ? "binary_crossentropy"
                           : "categorical_crossentropy",
          .metrics = {classes ? "accuracy" : "mae"}};
}

void DataOptions::add_to(CLI::App& command, bool training) {
  command
      .add_option("--data", data,
                  "mnist (got from a mirror if need be), fashion, a folder of files like MNIST's, "
                  "a folder with a folder of pictures for each class, or a .csv whose last column "
                  "is the target")
      ->required();
  command.add_option("--scale", scale, "What pixels, 0 to 255, are multiplied by")
      ->capture_default_str();
  if (!training) {
    validation_split = 1;
    return;
  }
  command
      .add_option("--validation-split", validation_split,
                  "The part that is kept for tests, of data without test samples")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

Data DataOptions::find(const Shape& input) const {
  if (data == "mnist") {
    return load_idx_folder(find_mnist(), scale);
  }
  if (data == "fashion") {
    const fs::path folder =
        find_set({environment("FASHION_MNIST_DIR"), "/usr/share/datasets/fashion-mnist"});
    if (folder.empty()) {
      fail<IoError>(
          "there is no Fashion-MNIST: Debian's package dataset-fashion-mnist has it, or set "
          "FASHION_MNIST_DIR to its folder");
    }
    Data fashion = load_idx_folder(folder, scale);
    fashion.classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                       "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    return fashion;
  }
  Data result;
  nn::Dataset all;
  if (fs::is_directory(data)) {
    if (has_idx(data)) return load_idx_folder(data, scale);
    if (input.rank() != 3 || (input[2] != 1 && input[2] != 3)) {
      throw UsageError(fmt::format(
          "--data: {} has pictures, but the model's input is {}, not [H,W,1] or [H,W,3]", data,
          input));
    }
    ImageFolder folder = load_image_folder(
        data, {.height = input[0], .width = input[1], .channels = static_cast<int>(input[2])});
    all = folder.data.scaled(static_cast<float>(scale));
    result.classes = std::move(folder.classes);
  } else if (data.ends_with(".csv")) {
    CsvTable table = load_csv(data);
    all = table.data;
    result.classes = std::move(table.classes);
  } else {
    fail<IoError>("--data: \"{}\" is not mnist, fashion, a folder that is there, or a .csv", data);
  }
  if (validation_split > 0 && validation_split < 1) {
    std::tie(result.train, result.test) = all.shuffled(seed).split(validation_split);
  } else {
    result.train = validation_split == 0 ? all : nn::Dataset();
    result.test = validation_split == 0 ? nn::Dataset() : all;
  }
  return result;
}

Data DataOptions::load(nn::Model& model) const {
  if (model.input_names().size() != 1 || model.output_names().size() != 1) {
    throw UsageError("--data: it is for models of one input and one output");
  }
  const Shape input = model.network().inputs[0].shape;
  Data found = find(input);
  const nn::Dataset& some = found.train.size() > 0 ? found.train : found.test;
  const Shape row = some.x().row_shape();
  if (input.rank() > 0 && row != input && row.elements() != input.elements()) {
    throw UsageError(fmt::format("--data: samples of \"{}\" are {}, but the model's input is {}",
                                 data, row, input));
  }
  const Shape output = model.output_shape();
  if (found.classes.empty() || output.rank() > 1) return found;
  // Classes are counted as the data have them: with some of them missing, they would be taken for
  // others by a model that is there already.
  const auto known =
      static_cast<std::size_t>(output.rank() == 0 || output[-1] == 1 ? 2 : output[-1]);
  const std::size_t given = found.classes.size();
  if (given > known || (given < known && found.train.size() == 0)) {
    throw UsageError(
        fmt::format("--data: \"{}\" has {} classes, {}, but the model tells {} apart{}", data,
                    given, printable(fmt::format("{}", fmt::join(found.classes, ", ")), 160), known,
                    fs::is_directory(data) && given < known
                        ? ": an empty folder stands for one without pictures"
                        : ""));
  }
  return found;
}

}  // namespace weft::tools
