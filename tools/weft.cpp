// weft: models in files, from the command line.
//
// Exit codes: 0 done; 1 an error; 2 used wrongly; 3 the model has something that Weft does not.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "io/model_files.hpp"
#include "io/npy.hpp"
#include "nn/nn.hpp"

namespace nn = weft::nn;

namespace {

constexpr int error_code = 1, usage_code = 2, unsupported_code = 3;

struct Given {
  std::string model, out;
  std::string weights;
  std::vector<std::string> inputs, outputs;
  std::int64_t batch_size = 32;
  bool only_weights = false;
};

/// A mistake of the user's on the command line, found after it was parsed.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

nn::Model load(const Given& given) {
  nn::Model model = nn::load_model(given.model, {.compile = false});
  if (!given.weights.empty()) model.load_weights(given.weights);
  return model;
}

void summary(const Given& given) { fmt::print("{}", load(given).summary()); }

void predict(const Given& given) {
  nn::Model model = load(given);
  const auto expect = [&](const char* what, std::size_t wanted, std::size_t files) {
    if (files == wanted) return;
    throw UsageError(fmt::format("{}: the model has {} {}{}, but {} --{} {} given", given.model,
                                 wanted, what, wanted == 1 ? "" : "s", files, what,
                                 files == 1 ? "was" : "were"));
  };
  expect("input", model.input_names().size(), given.inputs.size());
  expect("output", model.output_names().size(), given.outputs.size());
  std::vector<weft::Tensor> x;
  for (const std::string& file : given.inputs) x.push_back(weft::read_npy(file));
  const auto y =
      model.predict_all(nn::Dataset(x, {}), {.batch_size = given.batch_size, .verbose = 0});
  for (std::size_t i = 0; i < y.size(); ++i) weft::write_npy(given.outputs[i], y[i]);
}

void convert(const Given& given) {
  nn::Model model = nn::load_model(given.model);
  if (!given.weights.empty()) model.load_weights(given.weights);
  const bool store = given.out.ends_with(".weights.h5");
  if (given.only_weights || store) {
    model.save_weights(given.out);
  } else {
    model.save(given.out);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Given given;
  CLI::App app("Weft's models from the command line: those of Keras' files, .h5, .keras and .json.",
               "weft");
  app.set_version_flag("--version", "weft 0.1.0");
  app.require_subcommand(1);

  const auto with_model = [&](CLI::App* command) {
    command->add_option("MODEL", given.model, "An .h5, .keras or .json")->required();
    command->add_option("--weights", given.weights, "Take weights from this .h5 instead");
    return command;
  };
  CLI::App* summary_command =
      with_model(app.add_subcommand("summary", "Print layers, shapes and parameters"));
  summary_command->callback([&] { summary(given); });

  CLI::App* predict_command =
      with_model(app.add_subcommand("predict", "Compute a model's outputs for .npy files"));
  predict_command
      ->add_option("--input", given.inputs, "One .npy for each input, in the model's order")
      ->required();
  predict_command
      ->add_option("--output", given.outputs, "One .npy for each output, in the model's order")
      ->required();
  predict_command->add_option("--batch-size", given.batch_size, "Samples at a time")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  predict_command->callback([&] { predict(given); });

  CLI::App* convert_command = app.add_subcommand("convert", "Write a model in another format");
  convert_command->add_option("IN", given.model, "An .h5, .keras or .json")->required();
  convert_command
      ->add_option("OUT", given.out, "Its ending says the format: .h5, .keras, .weights.h5, .json")
      ->required();
  convert_command->add_option("--weights", given.weights, "Take weights from this .h5 instead");
  convert_command->add_flag("--weights-only", given.only_weights,
                            "Leave out the layers' description");
  convert_command->callback([&] { convert(given); });

  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage_code;
  } catch (const UsageError& error) {
    fmt::print(stderr, "weft: {}\n", error.what());
    return usage_code;
  } catch (const weft::UnsupportedError& error) {
    fmt::print(stderr, "weft: {}\n", error.what());
    return unsupported_code;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "weft: there is not enough memory\n");
    return error_code;
  } catch (const std::exception& error) {
    fmt::print(stderr, "weft: {}\n", error.what());
    return error_code;
  }
}
