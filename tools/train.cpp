// weft train: from data to a model in a file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"
#include "io/model_files.hpp"
#include "io/plot.hpp"
#include "nn/nn.hpp"
#include "nn/saving.hpp"
#include "runtime/threads.hpp"
#include "tools/commands.hpp"
#include "tools/data.hpp"
#include "tools/interrupt.hpp"
#include "tools/server/server.hpp"

namespace weft::tools {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Given {
  std::string model = "tutorial", weights;
  DataOptions data;
  int epochs = 10;
  std::int64_t batch_size = 64;
  std::string optimizer, loss;
  double learning_rate = 0;
  std::uint64_t seed = 1;
  int threads = 0;
  std::string save = "model.h5", checkpoint, resume, plot, log, tensorboard;
  std::optional<std::int64_t> resume_freq;
  int early_stopping = 0;
  bool augment = false, json = false, quiet = false, serve = false;
  int port = 8000;
};

void add_options(CLI::App& command, Given& given) {
  command
      .add_option("--model", given.model,
                  "tutorial, a .json of layers, or an .h5 or .keras that is trained on")
      ->capture_default_str();
  command.add_option("--weights", given.weights, "Begin with weights of this .h5");
  given.data.add_to(command, true);
  command.add_option("--epochs", given.epochs, "How often to go through the data")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command.add_option("--batch-size", given.batch_size, "Samples per step")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command.add_option("--optimizer", given.optimizer,
                     "adam, sgd, rmsprop, ...; by default that of the model's file, or adam");
  command.add_option("--learning-rate", given.learning_rate, "By default the optimizer's")
      ->check([](const std::string& text) {
        double rate = 0;
        const bool right = CLI::detail::lexical_cast(text, rate) && std::isfinite(rate) && rate > 0;
        return right ? "" : "\"" + text + "\" is no number above 0, such as 0.001";
      });
  command.add_option("--loss", given.loss,
                     "categorical_crossentropy, mse, ...; by default that of the model's file, or "
                     "what fits its output");
  command.add_flag("--augment", given.augment,
                   "Turn, shift and zoom pictures a little, anew in each epoch");
  command
      .add_option("--early-stopping", given.early_stopping,
                  "Stop when the validation loss has not fallen for so many epochs, and go back to "
                  "the best")
      ->check(CLI::Range(1, 1000000));
  command.add_option("--save", given.save, "The model's file: .h5 or .keras")
      ->capture_default_str();
  command.add_option("--checkpoint", given.checkpoint,
                     "Also save the best model so far, after each epoch, here");
  CLI::Option* resume = command.add_option(
      "--resume", given.resume,
      "A folder for the state of training: started again, it goes on where it was");
  command
      .add_option("--resume-freq", given.resume_freq,
                  "Batches after which that is written again; by default, after each epoch")
      ->check(CLI::PositiveNumber)
      ->needs(resume);
  command.add_option("--plot", given.plot, "Draw loss and accuracy: .png or .svg");
  command.add_option("--log", given.log, "Write a line of numbers for each epoch: .csv");
  command.add_option("--tensorboard", given.tensorboard, "A folder of events for TensorBoard");
  CLI::Option* serve = command.add_flag(
      "--serve", given.serve, "Show a page of the curves, as they grow, in a browser here");
  command.add_option("--port", given.port, "Of that page; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->needs(serve)
      ->capture_default_str();
  command.add_option("--seed", given.seed, "Of weights, shuffling and augmentation")
      ->capture_default_str();
  add_threads(command, given.threads);
  CLI::Option* quiet = command.add_flag("-q,--quiet", given.quiet, "No progress");
  command.add_flag("--json", given.json, "A line of JSON for each epoch, and one for the result")
      ->excludes(quiet);
}

/// Where Weft does not have what the file's model was trained with, `not_compiled` says why.
nn::Model model_of(const Given& given, std::string& not_compiled) {
  if (given.model == "tutorial") {
    nn::Model model = tutorial(given.seed);
    if (!given.weights.empty()) model.load_weights(given.weights);
    return model;
  }
  nn::Model model = nn::load_model(
      given.model, {.if_not_compiled = [&](const std::string& reason) { not_compiled = reason; }});
  model.config.seed = given.seed;
  if (!given.weights.empty()) model.load_weights(given.weights);
  return model;
}

/// What the command line says of training, else the model's file, else what fits.
void compile(nn::Model& model, const Given& given, const Data& data) {
  nn::TrainOptions options;
  if (model.is_compiled()) {
    if (given.optimizer.empty() && given.loss.empty()) {
      if (given.learning_rate > 0) model.set_learning_rate(given.learning_rate);
      return;
    }
    options = model.training();
  } else {
    options = fitting_options(model, data.train);
  }
  if (!given.optimizer.empty()) options.optimizer = nn::Optimizer(given.optimizer);
  if (!given.loss.empty()) options.loss = nn::Loss(given.loss);
  model.compile(std::move(options));
  if (given.learning_rate > 0) model.set_learning_rate(given.learning_rate);
}

Json json_of(const nn::Logs& logs) {
  Json json = Json::object();
  for (const auto& [name, value] : logs) json[name] = value;
  return json;
}

/// All options that change what training comes to, but for the number of epochs: more may follow.
std::string run_of(const Given& given) {
  const DataOptions& data = given.data;
  std::string run = fmt::format("--model {} --data {} --scale {} --validation-split {}",
                                given.model, data.data, data.scale, data.validation_split);
  const auto add = [&](const char* option, const auto& value, bool is_given) {
    if (is_given) run += fmt::format(" {} {}", option, value);
  };
  add("--weights", given.weights, !given.weights.empty());
  add("--batch-size", given.batch_size, true);
  add("--optimizer", given.optimizer, !given.optimizer.empty());
  add("--learning-rate", given.learning_rate, given.learning_rate > 0);
  add("--loss", given.loss, !given.loss.empty());
  add("--early-stopping", given.early_stopping, given.early_stopping > 0);
  add("--checkpoint", given.checkpoint, !given.checkpoint.empty());
  add("--log", given.log, !given.log.empty());
  if (given.augment) run += " --augment";
  add("--seed", given.seed, true);
  return run;
}

nn::BackupAndRestore backup_of(const Given& given) {
  return {.backup_dir = given.resume,
          .save_freq = given.resume_freq,
          .delete_checkpoint = false,  // until the model is saved
          .run = run_of(given),
          .save_now = InterruptGuard::stops};
}

std::vector<nn::Callback> callbacks(const Given& given, const nn::BackupAndRestore& backup,
                                    bool validated) {
  std::vector<nn::Callback> all;
  const std::string monitor = validated ? "val_loss" : "loss";
  if (!given.resume.empty()) all.push_back(backup);
  if (given.early_stopping > 0) {
    all.push_back(nn::EarlyStopping{
        .monitor = monitor, .patience = given.early_stopping, .restore_best_weights = true});
  }
  if (!given.checkpoint.empty()) {
    all.push_back(
        nn::ModelCheckpoint{given.checkpoint, {.monitor = monitor, .save_best_only = true}});
  }
  if (!given.log.empty()) {
    all.push_back(nn::CSVLogger{.filename = given.log});
  }
  if (!given.tensorboard.empty()) all.push_back(nn::TensorBoard{.log_dir = given.tensorboard});
  if (given.json) {
    all.push_back({.on_epoch_end = [](nn::Model& model, int epoch, nn::Logs& logs) {
      Json line{{"epoch", epoch + 1}};
      line.update(json_of(logs));
      constexpr bool is_whole = false;  // lines that are lost are not written later
      nn::try_to_write(
          model, "--json", "stdout", [&] { print(line.dump() + "\n"); }, is_whole);
    }});
  }
  return all;
}

void check_endings(const Given& given) {
  const auto check = [](const char* option, const std::string& file,
                        std::initializer_list<const char*> endings) {
    for (const char* ending : endings) {
      if (file.ends_with(ending) && !file.ends_with(".weights.h5")) return;
    }
    throw UsageError(
        fmt::format("{}: \"{}\" must end with {}", option, file, fmt::join(endings, " or ")));
  };
  check("--save", given.save, {".h5", ".hdf5", ".keras"});
  if (!given.checkpoint.empty()) {
    check("--checkpoint", given.checkpoint, {".h5", ".hdf5", ".keras"});
  }
  if (!given.plot.empty()) check("--plot", given.plot, {".png", ".svg"});
}

/// What is written after hours must not fail for a name that cannot be written.
void prepare_file(const fs::path& file) {
  std::error_code error;
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), error);
  if (error) {
    fail<IoError>("the folder of \"{}\" cannot be made: {}", file.string(), error.message());
  }
  expect_writable(file);
}

/// When a file was written; nothing if it is not there.
std::optional<fs::file_time_type> written(const fs::path& file) {
  std::error_code error;
  const auto time = fs::last_write_time(file, error);
  return error ? std::nullopt : std::optional(time);
}

/// "log.csv (CSVLogger: ...)" of all that is missing; "" if nothing is.
std::string missing_of(const nn::Model& model) {
  std::vector<std::string> all;
  for (const nn::Unwritten& one : model.unwritten) {
    if (!one.later) all.push_back(fmt::format("{} ({})", one.file, one.why));
  }
  return fmt::format("{}", fmt::join(all, ", "));
}

/// What Ctrl-C has left.
std::string left_of(const Given& given, const nn::Model& model, bool has_checkpoint) {
  const std::string missing = missing_of(model);
  const bool has_state = !given.resume.empty() && backup_of(given).exists();
  std::string text = "stopped; ";
  if (has_state || has_checkpoint) {
    text += fmt::format("what was reached is in {}", has_state ? given.resume : given.checkpoint);
  } else {
    text += "nothing was saved";
  }
  return missing.empty() ? text : fmt::format("{}; not written: {}", text, missing);
}

void train(const Given& given) {
  check_endings(given);
  nn::BackupAndRestore backup = backup_of(given);
  if (!given.resume.empty()) backup.lock();  // until the model is saved, and the state removed
  set_threads(given.threads);
  std::string not_compiled;
  nn::Model model = model_of(given, not_compiled);
  const Data data = given.data.load(model);
  if (data.train.size() == 0) throw UsageError("--validation-split: nothing is left to train with");
  compile(model, given, data);
  for (const std::string& file : {given.save, given.plot, given.checkpoint, given.log}) {
    if (!file.empty()) prepare_file(file);
  }
  nn::expect_savable(model, given.save);
  if (!not_compiled.empty()) {
    warn(fmt::format(
        "{}; it is trained anew with {}: --optimizer, --learning-rate and --loss choose "
        "others",
        not_compiled, text_of(model.training())));
  }
  nn::Dataset samples = fitting(data.train, model);
  const nn::Dataset test = fitting(data.test, model);
  if (given.augment) {
    samples = samples.augmented({.rotation = 0.03,
                                 .height_shift = 0.08,
                                 .width_shift = 0.08,
                                 .zoom = 0.08,
                                 .value_range = static_cast<float>(255 * given.data.scale)});
  }
  const bool silent = given.json || given.quiet;
  if (!silent) print(model.summary());
  if (!silent && !given.resume.empty() && backup.exists())
    print(fmt::format("Going on from {}\n", given.resume));
  std::optional<Server> server;
  std::vector<nn::Callback> all = callbacks(given, backup, test.size() > 0);
  if (given.serve) {
    server.emplace(ServerOptions{.port = given.port});
    server->start();
    print(given.json ? Json{{"page", server->url()}}.dump() + '\n'
                     : fmt::format("Curves at {}\n", server->url()));
    all.push_back(live(*server));
  }
  all.push_back(InterruptGuard::callback());
  nn::History history;
  const auto checkpoint = written(given.checkpoint);
  try {
    const InterruptGuard guard;
    history = model.fit(samples, {.epochs = given.epochs,
                                  .batch_size = given.batch_size,
                                  .validation_data = test,
                                  .verbose = silent ? std::optional(0) : std::nullopt,
                                  .callbacks = std::move(all),
                                  .seed = given.seed});
  } catch (const Interrupted&) {
    throw Interrupted(left_of(given, model, written(given.checkpoint) != checkpoint));
  }
  model.save(given.save);
  const bool plot =
      !given.plot.empty() && !history.epoch.empty() &&
      nn::try_to_write(model, "--plot", given.plot, [&] { history.plot(given.plot); });
  if (!given.resume.empty()) backup.remove();
  const nn::Diagnosis diagnosis = nn::diagnosis(history);
  const nn::Logs score = test.size() > 0
                             ? model.evaluate(test, {.batch_size = given.batch_size, .verbose = 0})
                             : nn::Logs();
  if (given.json) {
    Json result{{"saved", given.save}};
    if (plot) result["plot"] = given.plot;
    if (test.size() > 0) result["test"] = json_of(score);
    if (diagnosis.best_epoch) result["best_epoch"] = *diagnosis.best_epoch;
    result["diagnosis"] = diagnosis.text();
    print(result.dump() + "\n");
  } else if (!given.quiet) {
    std::string text = diagnosis.text() + "\n";
    for (const auto& [name, value] : score) text += fmt::format("Test {}: {:.4f}\n", name, value);
    text += fmt::format("Saved {}\n", given.save);
    if (plot) text += fmt::format("Drew {}\n", given.plot);
    print(text);
  }
  if (const std::string missing = missing_of(model); !missing.empty()) {
    fail<IoError>("the training is done and in {}, but not all was written: {}", given.save,
                  missing);
  }
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Train a model on data, and save it");
  const auto given = std::make_shared<Given>();
  add_options(*command, *given);
  command->callback([given] {
    given->data.seed = given->seed;
    train(*given);
  });
}

}  // namespace weft::tools
