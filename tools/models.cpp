// weft summary, draw, convert: models in files, as they are.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tools/commands.hpp"

namespace weft::tools {

void ModelFile::add_to(CLI::App& command) {
  command.add_option("MODEL", model, "An .h5, .keras or .json")->required();
  command.add_option("--weights", weights, "Take weights from this .h5 instead");
}

nn::Model ModelFile::load(const nn::LoadModelOptions& options) const {
  nn::Model loaded = nn::load_model(model, options);
  if (!weights.empty()) loaded.load_weights(weights);
  return loaded;
}

nn::Model ModelFile::load() const { return load({.compile = false}); }
nn::Model ModelFile::load_with_weights() const { return load_with_weights({.compile = false}); }
nn::Model ModelFile::load_compiled(std::string& not_compiled) const {
  return load_with_weights(
      {.if_not_compiled = [&](const std::string& reason) { not_compiled = reason; }});
}

nn::Model ModelFile::load_with_weights(const nn::LoadModelOptions& options) const {
  nn::Model loaded = load(options);
  for (const auto& weight : loaded.declared_weights()) {
    if (loaded.variables().contains(weight.name)) continue;
    throw UsageError(
        fmt::format("{}: there are no weights in it: give a file of them by --weights", model));
  }
  return loaded;
}

void add_threads(CLI::App& command, int& threads) {
  command.add_option("--threads", threads, "0: as many as there are cores")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

std::string text_of(const nn::TrainOptions& options) {
  std::string text =
      fmt::format("optimizer {}, loss {}", options.optimizer.name, options.loss.name);
  for (std::size_t i = 0; i < options.metrics.size(); ++i) {
    text += fmt::format("{} {}", i == 0 ? " and metrics" : ",", options.metrics[i].name);
  }
  return text;
}

void warn(const std::string& text) { fmt::print(stderr, "weft: warning: {}\n", text); }

nn::Model tutorial(std::uint64_t seed) {
  nn::Sequential model({.seed = seed});
  model.add(nn::Conv2D(32, {3, 3},
                       {.padding = "same", .activation = "relu", .input_shape = {28, 28, 1}}));
  model.add(nn::MaxPooling2D(2));
  model.add(nn::Flatten());
  model.add(nn::Dense(16, {.activation = "relu"}));
  model.add(nn::Dense(10, {.activation = "softmax"}));
  return model;
}

void print(const std::string& text) {
  fmt::print("{}", text);
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "stdout");
}

void add_summary(CLI::App& app) {
  CLI::App* command = app.add_subcommand("summary", "Print layers, shapes and parameters");
  const auto file = std::make_shared<ModelFile>();
  file->add_to(*command);
  command->callback([file] { print(file->load().summary()); });
}

void add_draw(CLI::App& app) {
  struct Given {
    ModelFile file;
    std::string out = "model.svg";
    bool horizontal = false;
  };
  CLI::App* command = app.add_subcommand("draw", "Draw layers and how they are connected");
  const auto given = std::make_shared<Given>();
  given->file.add_to(*command);
  command->add_option("-o,--output", given->out, "An .svg, .png, .pdf or .dot")
      ->capture_default_str();
  command->add_flag("--horizontal", given->horizontal, "From left to right");
  command->callback([given] {
    nn::Model model = given->file.load();
    try {
      model.draw(given->out, {.rankdir = given->horizontal ? "LR" : "TB"});
    } catch (const ArgumentError& error) {  // the ending
      throw UsageError(error.what());
    }
    print(fmt::format("Drew {}\n", given->out));
  });
}

void add_convert(CLI::App& app) {
  struct Given {
    ModelFile file;
    std::string out;
    bool only_weights = false, no_compile = false;
  };
  CLI::App* command = app.add_subcommand("convert", "Write a model in another format");
  const auto given = std::make_shared<Given>();
  command->add_option("IN", given->file.model, "An .h5, .keras or .json")->required();
  command
      ->add_option("OUT", given->out, "Its ending says the format: .h5, .keras, .weights.h5, .json")
      ->required();
  command->add_option("--weights", given->file.weights, "Take weights from this .h5 instead");
  command->add_flag("--weights-only", given->only_weights, "Leave out the layers' description");
  command->add_flag("--no-compile", given->no_compile,
                    "Leave out how it is trained: optimizer, loss and metrics");
  command->callback([given] {
    const bool json = given->out.ends_with(".json"), store = given->out.ends_with(".weights.h5");
    // A .weights.h5 has what the optimizer keeps.
    const bool compile = !given->no_compile && !given->only_weights && !json;
    std::string not_compiled;
    nn::Model model = json      ? given->file.load()
                      : compile ? given->file.load_compiled(not_compiled)
                                : given->file.load_with_weights();
    if (!not_compiled.empty()) {
      warn(fmt::format(
          "{}; {} has no optimizer, loss and metrics, as with --no-compile, which does not warn",
          not_compiled, given->out));
    }
    try {
      given->only_weights || store ? model.save_weights(given->out) : model.save(given->out);
    } catch (const ArgumentError& error) {  // the ending
      throw UsageError(error.what());
    }
  });
}

}  // namespace weft::tools
