// weft: models in files, from the command line.
//
// Exit codes: 0 done; 1 an error; 2 used wrongly; 3 the model has something that Weft does not.
// What goes wrong stands on stderr, and files are written whole or not at all.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>
#include <vector>

#include "io/model_files.hpp"
#include "io/npy.hpp"
#include "nn/nn.hpp"
#include "tools/serve.hpp"

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

nn::Model load(const Given& given, bool compile = false) {
  nn::Model model = nn::load_model(given.model, {.compile = compile});
  if (!given.weights.empty()) model.load_weights(given.weights);
  return model;
}

/// New ones would be of no use, and those of a hostile file without end.
void expect_weights(const Given& given, nn::Model& model) {
  for (const auto& weight : model.declared_weights()) {
    if (model.variables().contains(weight.name)) continue;
    throw UsageError(fmt::format("{}: there are no weights in it: give a file of them by --weights",
                                 given.model));
  }
}

void summary(const Given& given) {
  fmt::print("{}", load(given).summary());
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "stdout");
}

void predict(const Given& given) {
  nn::Model model = load(given);
  expect_weights(given, model);
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
  nn::Model model = load(given, true);
  const bool store = given.out.ends_with(".weights.h5");
  if (!given.out.ends_with(".json")) expect_weights(given, model);
  try {
    given.only_weights || store ? model.save_weights(given.out) : model.save(given.out);
  } catch (const weft::ArgumentError& error) {  // the ending
    throw UsageError(error.what());
  }
}

/// What CLI11 says of a mistake, and what would be right.
std::string complaint(const CLI::App* app, const CLI::Error& error) {
  const auto chosen = app->get_subcommands();
  std::string name = app->get_name();
  if (!chosen.empty()) {
    app = chosen[0];
    name += ' ' + app->get_name();
  }
  std::string what = error.what();
  if (const auto rest = app->remaining(); chosen.empty() && !rest.empty()) {
    what = fmt::format("there is no command \"{}\"", rest[0]);
  }
  std::vector<std::string> right;
  for (const CLI::App* command : app->get_subcommands({})) right.push_back(command->get_name());
  const char* kind = right.empty() ? "options" : "commands";
  if (right.empty()) {
    for (const CLI::Option* option : app->get_options()) right.push_back(option->get_name());
  }
  return fmt::format("weft: {}\n{} of {}: {}\nSee {} --help.\n", what, kind, name,
                     fmt::join(right, ", "), name);
}

}  // namespace

int main(int argc, char** argv) {
  Given given;
  CLI::App app("Weft's models from the command line: those of Keras' files, .h5, .keras and .json.",
               "weft");
  app.set_version_flag("--version", "weft 0.1.0");
  app.require_subcommand(1);
  app.failure_message(complaint);

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

  add_serve(app);

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
