#include "nn/standard_callbacks.hpp"

#include <fmt/args.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <vector>

#include "graph/error.hpp"
#include "nn/model.hpp"
#include "nn/saving.hpp"

namespace weft::nn {
namespace {

namespace fs = std::filesystem;

/// Which way a metric is better, by the words in its name, and if they do not say it by parts of
/// them: "glossy_accuracy" is no loss. Losses and errors come first, since "false_positives" has no
/// good end.
bool more_is_better(std::string_view who, const std::string& monitor, const std::string& mode) {
  if (mode == "min") return false;
  if (mode == "max") return true;
  if (mode != "auto") {
    fail<ArgumentError>("{}: mode must be \"auto\", \"min\" or \"max\", not \"{}\"", who, mode);
  }
  constexpr std::array less{"loss",    "error",   "crossentropy", "cross_entropy", "false_",
                            "hinge",   "mse",     "mae",          "mape",          "msle",
                            "logcosh", "poisson", "divergence",   "learning_rate"};
  constexpr std::array more{"acc",       "accuracy", "auc",         "precision",   "recall",
                            "f1",        "fbeta",    "io_u",        "r2",          "true_",
                            "confusion", "cosine",   "correlation", "sensitivity", "specificity"};
  const std::string between = '_' + monitor + '_';
  const auto has = [&](const auto& words, bool whole) {
    return std::ranges::any_of(words, [&](const std::string& word) {
      return between.find(whole ? '_' + word + '_' : word) != std::string::npos;
    });
  };
  for (const bool whole : {true, false}) {
    if (has(less, whole)) return false;
    if (has(more, whole)) return true;
  }
  fail<ArgumentError>(
      "{}: whether more or less of \"{}\" is better cannot be told from its name: say .mode = "
      "\"min\" or \"max\"",
      who, monitor);
}

/// Follows a number in the logs.
class Monitor {
 public:
  Monitor(std::string who, std::string name, const std::string& mode, double min_delta,
          std::optional<double> first)
      : who_(std::move(who)),
        name_(std::move(name)),
        more_(more_is_better(who_, name_, mode)),
        min_delta_(std::abs(min_delta)),
        first_(first),
        best_(first) {
    if (std::isnan(min_delta)) fail<ArgumentError>("{}: min_delta must be a number, not NaN", who_);
  }

  void reset() { best_ = first_; }
  /// The number, or nothing, which is said once.
  std::optional<double> in(const Logs& logs) {
    if (logs.contains(name_)) return logs[name_];
    if (!warned_) {
      std::vector<std::string> names;
      for (const auto& [name, value] : logs) names.push_back(name);
      std::cerr << fmt::format(
          "{}: there is no \"{}\" in the logs, so it is not heeded; there are: {}\n", who_, name_,
          fmt::join(names, ", "));
      warned_ = true;
    }
    return std::nullopt;
  }
  /// NaN improves nothing, not even where there is nothing to compare with; every number improves
  /// on it.
  bool improves(double value, std::optional<double> reference) const {
    if (std::isnan(value)) return false;
    if (!reference || std::isnan(*reference)) return true;
    return more_ ? value - min_delta_ > *reference : value + min_delta_ < *reference;
  }
  bool improves(double value) const { return improves(value, best_); }
  void take(double value) { best_ = value; }
  void put_into(CallbackState& state) const {
    if (best_) state.numbers["best"] = *best_;
  }
  void take_from(const CallbackState& state) {
    best_ = state.numbers.contains("best") ? std::optional(state.number("best")) : std::nullopt;
  }
  std::string best_text() const { return best_ ? fmt::format("{:.5f}", *best_) : "None"; }
  const std::string& name() const { return name_; }

 private:
  std::string who_, name_;
  bool more_;
  double min_delta_;
  std::optional<double> first_, best_;
  bool warned_ = false;
};

template <class... Args>
void say(int verbose, fmt::format_string<Args...> format, Args&&... args) {
  if (verbose > 0) std::cout << fmt::format(format, std::forward<Args>(args)...) << std::flush;
}

std::vector<Tensor> copies_of(std::vector<Tensor> tensors) {
  for (Tensor& tensor : tensors) tensor = tensor.clone();
  return tensors;
}

void make_folder_of(const fs::path& file) {
  std::error_code error;
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), error);
  if (error) {
    fail<IoError>("the folder of \"{}\" cannot be made: {}", file.string(), error.message());
  }
}

}  // namespace

EarlyStopping::operator Callback() const {
  struct State {
    EarlyStopping given;
    Monitor monitor;
    int wait = 0, stopped_epoch = -1, best_epoch = 0;
    std::vector<Tensor> best_weights{};
  };
  auto state = std::make_shared<State>(
      State{*this, Monitor("EarlyStopping", monitor, mode, min_delta, std::nullopt)});
  Callback callback;
  callback.on_train_begin = [state](Model&) {
    state->monitor.reset();
    state->wait = 0;
    state->stopped_epoch = -1;
    state->best_weights.clear();
  };
  callback.state = [state] {
    CallbackState kept{.numbers = {{"wait", state->wait},
                                   {"stopped_epoch", state->stopped_epoch},
                                   {"best_epoch", state->best_epoch}},
                       .tensors = {{"best_weights", state->best_weights}}};
    state->monitor.put_into(kept);
    return kept;
  };
  callback.set_state = [state](Model& model, const CallbackState& kept) {
    state->wait = static_cast<int>(kept.number("wait"));
    state->stopped_epoch = static_cast<int>(kept.number("stopped_epoch"));
    state->best_epoch = static_cast<int>(kept.number("best_epoch"));
    state->best_weights = kept.list("best_weights");
    state->monitor.take_from(kept);
    if (state->stopped_epoch >= 0) model.stop_training = true;
  };
  callback.on_epoch_end = [state](Model& model, int epoch, Logs& logs) {
    const EarlyStopping& given = state->given;
    const auto current = state->monitor.in(logs);
    if (!current || epoch < given.start_from_epoch) return;
    const auto keep = [&] {
      state->best_epoch = epoch;
      if (given.restore_best_weights) state->best_weights = copies_of(model.get_weights());
    };
    // Weights may be kept before any are the best; those of an epoch without a number are not.
    const bool has_none = given.restore_best_weights && state->best_weights.empty();
    if (has_none && !std::isnan(*current)) keep();
    ++state->wait;
    if (state->monitor.improves(*current)) {
      state->monitor.take(*current);
      keep();
      if (!given.baseline || state->monitor.improves(*current, given.baseline)) state->wait = 0;
      return;
    }
    if (state->wait >= given.patience && epoch > 0) {
      state->stopped_epoch = epoch;
      model.stop_training = true;
    }
  };
  callback.on_train_end = [state](Model& model, Logs&) {
    if (state->stopped_epoch >= 0) {
      say(state->given.verbose, "Epoch {}: early stopping\n", state->stopped_epoch + 1);
    }
    if (state->best_weights.empty()) return;
    say(state->given.verbose, "Restoring model weights from the end of the best epoch: {}.\n",
        state->best_epoch + 1);
    model.set_weights(state->best_weights);
  };
  return callback;
}

namespace {

/// "{epoch:02d}-{val_loss:.2f}.keras" with its numbers.
std::string filled(const std::string& pattern, int epoch, std::optional<std::int64_t> batch,
                   const Logs& logs) {
  fmt::dynamic_format_arg_store<fmt::format_context> numbers;
  numbers.push_back(fmt::arg("epoch", epoch + 1));
  if (batch) numbers.push_back(fmt::arg("batch", *batch + 1));
  std::vector<std::string> names{"epoch"};
  for (const auto& [name, value] : logs) {
    numbers.push_back(fmt::arg(name.c_str(), value));
    names.push_back(name);
  }
  try {
    return fmt::vformat(pattern, numbers);
  } catch (const fmt::format_error& error) {
    fail<ArgumentError>("ModelCheckpoint: \"{}\" cannot be filled in ({}); there are: {}", pattern,
                        error.what(), fmt::join(names, ", "));
  }
}

}  // namespace

ModelCheckpoint::operator Callback() const {
  const auto ends = [&](std::string_view end) { return filepath.ends_with(end); };
  const bool is_store = ends(".weights.h5"), is_hdf5 = ends(".h5") || ends(".hdf5");
  if (config.save_weights_only ? !is_hdf5 : is_store || !(is_hdf5 || ends(".keras"))) {
    fail<ArgumentError>("ModelCheckpoint: \"{}\" must end in {}", filepath,
                        config.save_weights_only ? ".weights.h5 or .h5" : ".keras or .h5");
  }
  if (config.save_freq && *config.save_freq < 1) {
    fail<ArgumentError>("ModelCheckpoint: save_freq must be at least 1, not {}", *config.save_freq);
  }
  struct State {
    ModelCheckpoint given;
    std::optional<Monitor> monitor;
    int epoch = 0;
    std::int64_t batches = 0;
    std::optional<double> lost{};  // the best of those that could not be written
  };
  auto state = std::make_shared<State>(State{*this, std::nullopt});
  if (config.save_best_only) {
    state->monitor.emplace("ModelCheckpoint", config.monitor, config.mode, 0,
                           config.initial_value_threshold);
  }
  const auto save = [state](Model& model, std::optional<std::int64_t> batch, const Logs& logs) {
    const ModelCheckpointConfig& options = state->given.config;
    const std::string file = filled(state->given.filepath, state->epoch, batch, logs);
    const auto write = [&] {
      make_folder_of(file);
      options.save_weights_only ? model.save_weights(file) : model.save(file);
    };
    if (!state->monitor) {
      say(options.verbose, "\nEpoch {}: saving model to {}\n", state->epoch + 1, file);
      try_to_write(model, "ModelCheckpoint", file, write);
      return;
    }
    Monitor& monitor = *state->monitor;
    const auto current = monitor.in(logs);
    if (current && !monitor.improves(*current)) {
      say(options.verbose, "\nEpoch {}: {} did not improve from {}{}\n", state->epoch + 1,
          monitor.name(), monitor.best_text(), std::isnan(*current) ? ": it is NaN" : "");
      return;
    }
    if (current) {
      say(options.verbose, "\nEpoch {}: {} improved from {} to {:.5f}, saving model to {}\n",
          state->epoch + 1, monitor.name(), monitor.best_text(), *current, file);
    }
    // Of those that could be written, the best is kept. One that could not is still missing where
    // it was better.
    std::optional<double>& lost = state->lost;
    const bool is_whole = !lost || (current && !monitor.improves(*lost, *current));
    if (try_to_write(model, "ModelCheckpoint", file, write, is_whole)) {
      if (current) monitor.take(*current);
      if (is_whole) lost.reset();
    } else if (current && (!lost || monitor.improves(*current, lost))) {
      lost = current;
    }
  };
  Callback callback;
  callback.on_train_begin = [state](Model& model) {
    const ModelCheckpoint& given = state->given;
    given.config.save_weights_only ? expect_weights_savable(model, given.filepath)
                                   : expect_savable(model, given.filepath);
  };
  callback.on_epoch_begin = [state](Model&, int epoch) { state->epoch = epoch; };
  callback.state = [state] {
    CallbackState kept{.numbers = {{"batches", static_cast<double>(state->batches)}}};
    if (state->monitor) state->monitor->put_into(kept);
    return kept;
  };
  callback.set_state = [state](Model&, const CallbackState& kept) {
    state->batches = static_cast<std::int64_t>(kept.number("batches"));
    if (state->monitor) state->monitor->take_from(kept);
  };
  if (config.save_freq) {
    callback.on_train_batch_end = [state, save](Model& model, std::int64_t batch, Logs& logs) {
      if (++state->batches < *state->given.config.save_freq) return;
      state->batches = 0;
      save(model, batch, logs);
    };
  } else {
    callback.on_epoch_end = [save](Model& model, int, Logs& logs) {
      save(model, std::nullopt, logs);
    };
  }
  return callback;
}

ReduceLROnPlateau::operator Callback() const {
  if (!(factor < 1)) {
    fail<ArgumentError>("ReduceLROnPlateau: factor must be less than 1, not {}", factor);
  }
  struct State {
    ReduceLROnPlateau given;
    Monitor monitor;
    int wait = 0, cooldown = 0;
  };
  auto state = std::make_shared<State>(
      State{*this, Monitor("ReduceLROnPlateau", monitor, mode, min_delta, std::nullopt)});
  Callback callback;
  callback.on_train_begin = [state](Model&) {
    state->monitor.reset();
    state->wait = state->cooldown = 0;
  };
  callback.state = [state] {
    CallbackState kept{.numbers = {{"wait", state->wait}, {"cooldown", state->cooldown}}};
    state->monitor.put_into(kept);
    return kept;
  };
  callback.set_state = [state](Model&, const CallbackState& kept) {
    state->wait = static_cast<int>(kept.number("wait"));
    state->cooldown = static_cast<int>(kept.number("cooldown"));
    state->monitor.take_from(kept);
  };
  callback.on_epoch_end = [state](Model& model, int epoch, Logs& logs) {
    const ReduceLROnPlateau& given = state->given;
    const auto current = state->monitor.in(logs);
    logs.set("learning_rate", model.learning_rate());
    if (!current) return;
    if (state->cooldown > 0) {
      --state->cooldown;
      state->wait = 0;
    }
    if (state->monitor.improves(*current)) {
      state->monitor.take(*current);
      state->wait = 0;
      return;
    }
    if (state->cooldown > 0 || ++state->wait < given.patience) return;
    // In f32, as it is kept: 0.001 would be more than a min_lr of 0.001.
    const double before = model.learning_rate();
    if (!(static_cast<float>(before) > static_cast<float>(given.min_lr))) return;
    const double rate = std::max(before * given.factor, given.min_lr);
    model.set_learning_rate(rate);
    say(given.verbose, "\nEpoch {}: ReduceLROnPlateau reducing learning rate to {}.\n", epoch + 1,
        rate);
    state->cooldown = given.cooldown;
    state->wait = 0;
  };
  return callback;
}

LearningRateScheduler::operator Callback() const {
  if (!schedule) fail<ArgumentError>("LearningRateScheduler: there is no schedule");
  struct State {
    LearningRateScheduler given;
    std::optional<double> before{};  // this epoch, which is not over
  };
  const auto state = std::make_shared<State>(State{*this});
  Callback callback;
  callback.on_train_begin = [state](Model&) { state->before.reset(); };
  callback.on_epoch_begin = [state](Model& model, int epoch) {
    const LearningRateScheduler& given = state->given;
    state->before = model.learning_rate();
    const double rate = given.schedule(epoch, *state->before);
    model.set_learning_rate(rate);
    say(given.verbose, "\nEpoch {}: LearningRateScheduler setting learning rate to {}.\n",
        epoch + 1, rate);
  };
  callback.on_epoch_end = [state](Model& model, int, Logs& logs) {
    logs.set("learning_rate", model.learning_rate());
    state->before.reset();
  };
  // An epoch that is gone on with begins again for callbacks, and must find the same rate.
  callback.state = [state] {
    CallbackState kept;
    if (state->before) kept.numbers["before"] = *state->before;
    return kept;
  };
  callback.set_state = [](Model& model, const CallbackState& kept) {
    if (kept.numbers.contains("before")) model.set_learning_rate(kept.number("before"));
  };
  return callback;
}

TerminateOnNaN::operator Callback() const {
  Callback callback;
  callback.on_train_batch_end = [](Model& model, std::int64_t batch, Logs& logs) {
    if (std::isfinite(logs["loss"])) return;
    std::cout << fmt::format("Batch {}: Invalid loss, terminating training\n", batch);
    model.stop_training = true;
  };
  callback.on_epoch_end = [](Model& model, int epoch, Logs&) {
    const auto weight = model.find_not_finite();
    if (!weight) return;
    std::cout << fmt::format("Epoch {}: \"{}\" is not finite, terminating training\n", epoch + 1,
                             *weight);
    model.stop_training = true;
  };
  return callback;
}

}  // namespace weft::nn
