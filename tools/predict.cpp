// weft predict: what a model says of arrays, or of pictures.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/image.hpp"
#include "io/npy.hpp"
#include "io/quoted.hpp"
#include "nn/nn.hpp"
#include "nn/not_finite.hpp"
#include "runtime/threads.hpp"
#include "tools/classes.hpp"
#include "tools/commands.hpp"
#include "tools/digit.hpp"

namespace weft::tools {
namespace {

struct Given {
  ModelFile file;
  std::vector<std::string> images, inputs, outputs, classes;
  std::int64_t batch_size = 32, top = 3;
  double scale = 1.0 / 255;
  bool plain = false, json = false;
  int threads = 0;
};

/// Not an error by itself: a model may never look at the numbers in question.
void warn_of_samples(const std::string& file, std::int64_t rows, std::int64_t all) {
  if (rows == 0) return;
  fmt::print(stderr, "weft: {}: {} of {} samples hold NaN or an infinity\n", file, rows, all);
}

void expect_finite(const Tensor& output) {
  const std::int64_t rows = nn::rows_not_finite(output);
  if (rows == 0) return;
  fail(
      "predict: the outputs of {} of {} samples are NaN or infinite; they were written all the "
      "same",
      rows, output.shape()[0]);
}

void predict_arrays(const Given& given, nn::Model& model) {
  const auto expect = [&](const char* what, std::size_t wanted, std::size_t files) {
    if (files == wanted) return;
    throw UsageError(fmt::format("{}: the model has {} {}{}, but {} --{} {} given",
                                 given.file.model, wanted, what, wanted == 1 ? "" : "s", files,
                                 what, files == 1 ? "was" : "were"));
  };
  expect("input", model.input_names().size(), given.inputs.size());
  expect("output", model.output_names().size(), given.outputs.size());
  std::vector<Tensor> x;
  for (const std::string& file : given.inputs) {
    x.push_back(read_npy(file));
    warn_of_samples(file, nn::rows_not_finite(x.back()), x.back().shape()[0]);
  }
  const auto y =
      model.predict_all(nn::Dataset(x, {}), {.batch_size = given.batch_size, .verbose = 0});
  for (std::size_t i = 0; i < y.size(); ++i) write_npy(given.outputs[i], y[i]);
  for (const Tensor& output : y) expect_finite(output);
}

/// A picture as the model's input, from 0 to 255. A digit for a model of MNIST's size is brought
/// into MNIST's form, unless it has that size or is to be taken as it is.
Tensor picture(const Given& given, const std::string& file, const Shape& input) {
  const bool flat = input.rank() == 2;
  const Tensor image = read_image(file, flat ? 1 : static_cast<int>(input[2]));
  const bool digit = input[0] == 28 && input[1] == 28 && image.shape()[2] == 1;
  if (digit && !given.plain && image.shape() != Shape{28, 28, 1}) {
    return resized(as_mnist_digit(image), 28, 28);
  }
  return resized(image, input[0], input[1]);
}

void predict_pictures(const Given& given, nn::Model& model) {
  const auto& inputs = model.network().inputs;
  const Shape input = inputs[0].shape;
  const bool has_images =
      inputs.size() == 1 &&
      (input.rank() == 2 || (input.rank() == 3 && (input[2] == 1 || input[2] == 3)));
  if (!has_images) {
    throw UsageError(fmt::format(
        "{}: its input is no picture, [H,W], [H,W,1] or [H,W,3]: give arrays by --input",
        given.file.model));
  }
  const Shape output = model.output_shape();
  if (output.rank() != 1) {
    throw UsageError(
        fmt::format("{}: its output is {}, not a number for each class: write it by "
                    "--output",
                    given.file.model, output));
  }
  const Classes classes = [&] {
    try {
      return Classes(model, given.classes, "--classes");
    } catch (const ArgumentError& error) {
      throw UsageError(error.what());
    }
  }();
  std::vector<std::int64_t> sizes{1};
  sizes.insert(sizes.end(), input.begin(), input.end());
  std::size_t unread = 0, not_finite = 0;
  for (const std::string& file : given.images) {
    Tensor x;
    try {
      x = picture(given, file, input).reshaped(Shape(sizes));
    } catch (const IoError& error) {
      if (given.images.size() == 1) throw;
      // The others are answered all the same.
      constexpr std::size_t most = 2000;
      fmt::print(stderr, "weft: {}\n", printable(error.what(), most));
      ++unread;
      continue;
    }
    const Tensor y =
        model.predict(nn::Dataset(x).scaled(static_cast<float>(given.scale)), {.verbose = 0});
    if (nn::rows_not_finite(y) > 0) {
      fmt::print(stderr, "weft: {}: the output is NaN or infinite\n", file);
      ++not_finite;
      continue;
    }
    const std::vector<float> numbers = classes.probabilities(y.data<float>());
    std::vector<std::int64_t> order(numbers.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    // NaN comes last: no number is less than it.
    std::ranges::stable_sort(order, std::greater(), [&](std::int64_t i) {
      const float number = numbers[static_cast<std::size_t>(i)];
      return std::isnan(number) ? -HUGE_VALF : number;
    });
    order.resize(std::min<std::size_t>(order.size(), static_cast<std::size_t>(given.top)));
    if (given.json) {
      nlohmann::ordered_json json{{"file", file}, {"predictions", nlohmann::json::array()}};
      for (const std::int64_t i : order) {
        json["predictions"].push_back({{"class", classes.names()[static_cast<std::size_t>(i)]},
                                       {"probability", numbers[static_cast<std::size_t>(i)]}});
      }
      print(json.dump() + "\n");
      continue;
    }
    std::string line = fmt::format("{}:", file);
    for (const std::int64_t i : order) {
      line += fmt::format("  {} {:.2f} %", classes.names()[static_cast<std::size_t>(i)],
                          100 * static_cast<double>(numbers[static_cast<std::size_t>(i)]));
    }
    print(line + "\n");
  }
  if (unread > 0) {
    fail<IoError>("{} of {} pictures could not be read", unread, given.images.size());
  }
  if (not_finite > 0) {
    fail("predict: the outputs for {} of {} pictures are NaN or infinite", not_finite,
         given.images.size());
  }
}

void predict(const Given& given) {
  if (given.images.empty() == given.inputs.empty()) {
    throw UsageError(
        "predict: give either pictures, weft predict MODEL IMAGE..., or arrays by --input and "
        "--output");
  }
  set_threads(given.threads);
  nn::Model model = given.file.load_with_weights();
  if (const auto weight = model.find_not_finite()) {
    fmt::print(stderr, "weft: {}: the weight \"{}\" holds NaN or an infinity\n", given.file.model,
               *weight);
  }
  given.images.empty() ? predict_arrays(given, model) : predict_pictures(given, model);
}

}  // namespace

void add_predict(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("predict", "Compute a model's outputs for pictures, or for .npy files");
  const auto given = std::make_shared<Given>();
  given->file.add_to(*command);
  command->add_option("IMAGE", given->images,
                      "PNG or JPEG files. For a model of MNIST's size, a digit is made bright on "
                      "dark, scaled and centred as MNIST's are");
  CLI::Option* input =
      command->add_option("--input", given->inputs, "One .npy for each input, in the model's order")
          ->allow_extra_args(false);
  CLI::Option* output =
      command
          ->add_option("--output", given->outputs, "One .npy for each output, in the model's order")
          ->allow_extra_args(false);
  input->needs(output);
  output->needs(input);
  command->add_option("--batch-size", given->batch_size, "Samples at a time")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command->add_option("--top", given->top, "How many classes to print")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--classes", given->classes, "Their names, a,b,c")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--scale", given->scale, "What pixels, 0 to 255, are multiplied by")
      ->capture_default_str();
  command->add_flag("--plain", given->plain, "Take pictures of digits as they are");
  command->add_flag("--json", given->json, "Print a line of JSON for each picture");
  add_threads(*command, given->threads);
  command->callback([given] { predict(*given); });
}

}  // namespace weft::tools
