// weft evaluate: how good a model is on data.
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "graph/print.hpp"
#include "io/plot.hpp"
#include "nn/nn.hpp"
#include "runtime/threads.hpp"
#include "tools/commands.hpp"
#include "tools/data.hpp"

namespace weft::tools {
namespace {

struct Given {
  ModelFile file;
  DataOptions data;
  std::int64_t batch_size = 64;
  int threads = 0;
  std::string confusion, mistakes;
  bool json = false;
};

void draw_mistakes(const Given& given, const Data& data, const Tensor& labels,
                   const Tensor& predictions) {
  const Shape row = data.test.x().row_shape();
  if (row.rank() != 2 && !(row.rank() == 3 && (row[2] == 1 || row[2] == 3))) {
    throw UsageError(fmt::format("--mistakes: it shows pictures, but samples are {}", row));
  }
  constexpr std::size_t most = 24;
  std::vector<Mistake> all = mistakes(labels, predictions);
  if (all.size() > most) all.resize(most);
  std::vector<std::int64_t> samples;
  for (Mistake& mistake : all) {
    samples.push_back(mistake.sample);
    mistake.sample = static_cast<std::int64_t>(samples.size()) - 1;
  }
  if (all.empty()) samples = {0};  // no matter which: the sheet says that there are none
  const auto white = static_cast<float>(255 * given.data.scale);
  const Tensor images = data.test.x().picked(samples).scaled(1 / white).to_tensor();
  plot_mistakes(given.mistakes, images, all, data.classes);
}

void draw(const Given& given, nn::Model& model, const Data& data) {
  if (given.confusion.empty() && given.mistakes.empty()) return;
  const Tensor labels = data.test.y().to_tensor();
  const Tensor predictions =
      model.predict(data.test, {.batch_size = given.batch_size, .verbose = 0});
  if (!given.confusion.empty()) {
    plot_confusion_matrix(given.confusion, confusion_matrix(labels, predictions), data.classes);
  }
  if (!given.mistakes.empty()) draw_mistakes(given, data, labels, predictions);
}

/// What was found out is printed before: a program that reads it learns from the exit code.
void expect_finite(nn::Model& model, const nn::Logs& score) {
  for (const auto& [name, value] : score) {
    if (std::isfinite(value)) continue;
    const auto weight = model.find_not_finite();
    fail("evaluate: {} is {}: {}", name, value,
         weight ? fmt::format("the weight \"{}\" holds NaN or an infinity", *weight)
                : "the weights are finite, so look for NaN in the data");
  }
}

void evaluate(const Given& given) {
  set_threads(given.threads);
  std::string not_compiled;
  nn::Model model = given.file.load_compiled(not_compiled);
  const Data data = given.data.load(model);
  if (!(given.confusion.empty() && given.mistakes.empty()) && is_floating(data.test.y().dtype())) {
    throw UsageError("--confusion, --mistakes: they need classes, but the targets are numbers");
  }
  if (!model.is_compiled()) model.compile(fitting_options(model, data.test));
  if (!not_compiled.empty()) {
    warn(fmt::format("{}; it is evaluated with {}", not_compiled, text_of(model.training())));
  }
  const nn::Logs score =
      model.evaluate(fitting(data.test, model), {.batch_size = given.batch_size, .verbose = 0});
  draw(given, model, data);
  if (given.json) {
    nlohmann::ordered_json json{{"samples", data.test.size()}};
    for (const auto& [name, value] : score) json[name] = value;
    print(json.dump() + "\n");
    return expect_finite(model, score);
  }
  std::string text = fmt::format("{} samples\n", data.test.size());
  for (const auto& [name, value] : score) text += fmt::format("{}: {:.4f}\n", name, value);
  print(text);
  expect_finite(model, score);
}

}  // namespace

void add_evaluate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("evaluate", "Compute loss and metrics on test data");
  const auto given = std::make_shared<Given>();
  given->file.add_to(*command);
  given->data.add_to(*command, false);
  command->add_option("--batch-size", given->batch_size, "Samples at a time")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command->add_option("--confusion", given->confusion, "Draw the confusion matrix: .png or .svg");
  command->add_option("--mistakes", given->mistakes,
                      "Draw the most confident mistakes: .png or .svg");
  add_threads(*command, given->threads);
  command->add_flag("--json", given->json, "Print JSON");
  command->callback([given] { evaluate(*given); });
}

}  // namespace weft::tools
