// nn::BackupAndRestore: the state of training in a folder. Each state is a folder there, named by
// its epoch and batch, "12-340": model.weights.h5 has the weights and what the optimizer keeps,
// state.h5 the rest (nn/fit_state.hpp). It is filled under another name and renamed, and only then
// does the one before it go, so that there is always a whole one. One training at a time uses the
// folder (io/folder_lock.hpp).
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"
#include "io/backup_state.hpp"
#include "io/folder_lock.hpp"
#include "io/quoted.hpp"
#include "nn/model.hpp"
#include "nn/saving.hpp"
#include "nn/standard_callbacks.hpp"

namespace weft::nn {
namespace {

namespace fs = std::filesystem;

constexpr const char* weights_name = "model.weights.h5";
constexpr const char* state_name = "state.h5";
// Names for a moment; a program that was killed may leave them.
constexpr const char* being_written = "writing";
constexpr const char* being_removed = "removing";

/// What tells a model from others of the same weights: its layers, as far as they can be written
/// down, and how it is trained.
Facts facts_of(Model& model) {
  Facts facts;
  try {
    facts.emplace_back("layers", fmt::format("{:016x}", Hash().add(model.to_json()).value()));
  } catch (const Error&) {
    // Layers that no file can hold, such as functions of the program's own, are not compared.
  }
  const TrainOptions& training = model.training();
  facts.emplace_back("optimizer", training.optimizer.name);
  std::string losses = training.loss.name;
  for (const auto& [output, options] : training.outputs) {
    losses += fmt::format(" {}: {}", output, options.loss.name);
  }
  facts.emplace_back("loss", losses);
  return facts;
}

using Position = std::pair<int, std::int64_t>;  // epoch and batch

std::optional<Position> position_of(const std::string& name) {
  Position position;
  const char* const end = name.data() + name.size();
  const auto epoch = std::from_chars(name.data(), end, position.first);
  if (epoch.ec != std::errc() || epoch.ptr == end || *epoch.ptr != '-') return std::nullopt;
  const auto batch = std::from_chars(epoch.ptr + 1, end, position.second);
  if (batch.ec != std::errc() || batch.ptr != end) return std::nullopt;
  return position;
}

template <class F>
auto reading(const fs::path& backup, F f) {
  try {
    return f();
  } catch (const IoError& error) {
    fail<IoError>("BackupAndRestore: training cannot go on from {}; remove it to begin anew: {}",
                  backup.string(), readable(error.what()));
  }
}

class Backups {
 public:
  explicit Backups(fs::path folder, std::string run = "")
      : folder_(std::move(folder)), run_(std::move(run)) {}

  /// The newest.
  std::optional<fs::path> find() const {
    std::optional<Position> newest;
    for (const auto& [position, path] : all()) newest = std::max(newest, {position});
    if (!newest) return std::nullopt;
    return path_of(*newest);
  }
  /// Has fit go on from there, if it finds that it can.
  void restore(Model& model, const fs::path& backup) const {
    KeptState kept = reading(backup, [&] { return read_state(backup / state_name); });
    if (kept.run != run_) {
      fail<ArgumentError>(
          "BackupAndRestore: training cannot go on from \"{}\", which is of \"{}\", with \"{}\": "
          "take another folder, or remove it to begin anew",
          folder_.string(), kept.run, run_);
    }
    const std::string other = kept.model.empty() ? "" : difference(kept.model, facts_of(model));
    if (!other.empty()) {
      fail<ArgumentError>(
          "BackupAndRestore: training cannot go on from \"{}\", which is of another model: {}: "
          "take "
          "another folder, or remove it to begin anew",
          folder_.string(), other);
    }
    kept.state.kept_in = fmt::format("\"{}\": ", folder_.string());
    kept.state.restore = [backup](Model& resumed) {
      reading(backup, [&] { resumed.load_weights(backup / weights_name); });
    };
    model.resume = std::move(kept.state);
  }
  /// Where that fails, the state before stays.
  void keep(Model& model, const FitState& state) const {
    const fs::path temporary = folder_ / being_written,
                   backup = path_of({state.epoch, state.batch});
    std::error_code ignored;
    try {
      fs::remove_all(temporary);
      fs::create_directories(temporary);
      model.save_weights(temporary / weights_name);
      write_state({state, run_, facts_of(model)}, temporary / state_name);
    } catch (...) {
      fs::remove_all(temporary, ignored);  // the disk may be full
      throw;
    }
    discard(backup);
    rename_durably(temporary, backup);
    for (const auto& [position, path] : all()) {
      if (path != backup) discard(path);
    }
  }
  void remove() const {
    for (const auto& [position, path] : all()) discard(path);
    std::error_code ignored;
    fs::remove_all(folder_ / being_written, ignored);
    fs::remove_all(folder_ / being_removed, ignored);
  }

 private:
  fs::path path_of(Position position) const {
    return folder_ / fmt::format("{}-{}", position.first, position.second);
  }
  std::vector<std::pair<Position, fs::path>> all() const {
    std::vector<std::pair<Position, fs::path>> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
      if (const auto position = position_of(entry.path().filename().string())) {
        found.emplace_back(*position, entry.path());
      }
    }
    return found;
  }
  /// Not to be found any more, whenever the program ends.
  void discard(const fs::path& backup) const {
    std::error_code ignored;
    fs::remove_all(folder_ / being_removed, ignored);
    fs::rename(backup, folder_ / being_removed, ignored);
    fs::remove_all(folder_ / being_removed, ignored);
  }

  fs::path folder_;
  std::string run_;
};

std::shared_ptr<void> lock_of(const std::string& folder) {
  return std::make_shared<FolderLock>("BackupAndRestore", folder);
}

}  // namespace

BackupAndRestore::operator Callback() const {
  if (backup_dir.empty()) fail<ArgumentError>("BackupAndRestore: there is no backup_dir");
  if (save_freq && *save_freq < 1) {
    fail<ArgumentError>("BackupAndRestore: save_freq must be at least 1, not {}", *save_freq);
  }
  struct State {
    BackupAndRestore given;
    Backups backups;
    std::int64_t batches = 0;  // since the last one
    bool epoch_ended = false;
  };
  const auto state = std::make_shared<State>(State{*this, Backups(backup_dir, run)});
  Callback callback;
  callback.on_train_begin = [state](Model& model) {
    state->batches = 0;
    state->epoch_ended = false;
    expect_weights_savable(model, weights_name);
    if (const auto backup = state->backups.find()) state->backups.restore(model, *backup);
  };
  callback.on_train_batch_end = [state](Model&, std::int64_t, Logs&) { ++state->batches; };
  callback.on_epoch_end = [state](Model&, int, Logs&) { state->epoch_ended = true; };
  callback.on_state = [state](Model& model, const std::function<FitState()>& now) {
    const BackupAndRestore& given = state->given;
    const bool due = given.save_freq ? state->batches >= *given.save_freq
                                     : std::exchange(state->epoch_ended, false);
    if (!due && !(given.save_now && given.save_now())) return;
    try_to_write(model, "BackupAndRestore", given.backup_dir,
                 [&] { state->backups.keep(model, now()); });
    state->batches = 0;
  };
  callback.hold = [held = held, folder = backup_dir] { return held ? held : lock_of(folder); };
  if (delete_checkpoint) {
    callback.on_train_end = [state](Model&, Logs&) { state->backups.remove(); };
  }
  return callback;
}

bool BackupAndRestore::exists() const { return Backups(backup_dir).find().has_value(); }

void BackupAndRestore::lock() {
  if (!held) held = lock_of(backup_dir);
}

void BackupAndRestore::remove() const {
  if (!fs::exists(backup_dir)) return;
  const auto lock = held ? held : lock_of(backup_dir);  // which removes the folder if it is empty
  Backups(backup_dir).remove();
}

}  // namespace weft::nn
