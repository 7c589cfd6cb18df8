// nn::BackupAndRestore: the state of training in a folder. Each state is a folder there, named by
// its epoch and batch, "12-340": model.weights.h5 has the weights and what the optimizer keeps,
// state.h5 the rest (nn/fit_state.hpp). It is filled under another name and renamed, and only then
// does the one before it go, so that there is always a whole one.
#include <charconv>
#include <filesystem>
#include <memory>
#include <utility>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"
#include "io/keras/hdf5.hpp"
#include "io/keras/json.hpp"
#include "io/quoted.hpp"
#include "nn/model.hpp"
#include "nn/saving.hpp"
#include "nn/standard_callbacks.hpp"

namespace weft::nn {
namespace {

namespace fs = std::filesystem;
using keras::Json;

constexpr const char* weights_name = "model.weights.h5";
constexpr const char* state_name = "state.h5";
// Names for a moment; a program that was killed may leave them.
constexpr const char* being_written = "writing";
constexpr const char* being_removed = "removing";

// ---- a state as JSON, and back; numbers as texts, since JSON has no NaN

Json text_of(double number) { return fmt::format("{}", number); }

double number_of(const Json& json) {
  const auto& text = json.get_ref<const std::string&>();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail<IoError>("\"{}\" is no number", text);
  }
  return number;
}

Json json_of(const Logs& logs) {
  Json json = Json::object();
  for (const auto& [name, value] : logs) json[name] = text_of(value);
  return json;
}

Logs logs_of(const Json& json) {
  Logs logs;
  for (const auto& [name, value] : json.items()) logs.set(name, number_of(value));
  return logs;
}

Json json_of(const History& history) {
  Json rows = Json::array();
  for (const int epoch : history.epoch) {
    rows.push_back({{"epoch", epoch}, {"logs", json_of(history.logs(epoch))}});
  }
  return rows;
}

History history_of(const Json& json) {
  History history;
  for (const Json& row : json) history.append(row.at("epoch").get<int>(), logs_of(row.at("logs")));
  return history;
}

Json json_of(const PartialSums& partial) {
  Json sums = Json::array();
  for (const double sum : partial.sums) sums.push_back(text_of(sum));
  return {{"name", partial.name}, {"sums", sums}, {"samples", text_of(partial.samples)}};
}

PartialSums sums_of(const Json& json) {
  PartialSums partial{.name = json.at("name").get<std::string>(),
                      .samples = number_of(json.at("samples"))};
  for (const Json& sum : json.at("sums")) partial.sums.push_back(number_of(sum));
  return partial;
}

std::string place_of(std::size_t callback, const std::string& name, std::size_t i) {
  return fmt::format("callbacks/{}/{}/{}", callback, name, i);
}

void write(const FitState& state, const std::string& run, const fs::path& file) {
  Json all{{"epoch", state.epoch},      {"batch", state.batch},
           {"samples", state.samples},  {"batch_size", state.batch_size},
           {"seed", state.seed},        {"run", run},
           {"sums", Json::array()},     {"history", json_of(state.history)},
           {"callbacks", Json::array()}};
  for (const PartialSums& partial : state.sums) all["sums"].push_back(json_of(partial));
  write_atomically(file, [&](const fs::path& temporary) {
    NewHdf5File hdf5 = NewHdf5File::create(temporary);
    const NewHdf5Group root = hdf5.root();
    for (std::size_t i = 0; i < state.callbacks.size(); ++i) {
      Json numbers = Json::object(), lists = Json::object();
      for (const auto& [name, number] : state.callbacks[i].numbers) numbers[name] = text_of(number);
      for (const auto& [name, tensors] : state.callbacks[i].tensors) {
        lists[name] = tensors.size();
        for (std::size_t k = 0; k < tensors.size(); ++k) {
          root.write(place_of(i, name, k), tensors[k]);
        }
      }
      all["callbacks"].push_back({{"numbers", numbers}, {"tensors", lists}});
    }
    root.set_text("state", all.dump());
    hdf5.close();
  });
}

struct Kept {
  FitState state;
  std::string run;
};

Kept read(const fs::path& file) {
  const Hdf5File hdf5 = Hdf5File::open(file);
  const Hdf5Group root = hdf5.root();
  const std::string where = fmt::format("\"{}\"", file.string());
  const auto text = root.text("state");
  if (!text) fail<IoError>("{}: it is no state of training", where);
  try {
    const Json all = keras::parse_json(*text, where);
    FitState state{.epoch = all.at("epoch").get<int>(),
                   .batch = all.at("batch").get<std::int64_t>(),
                   .samples = all.at("samples").get<std::int64_t>(),
                   .batch_size = all.at("batch_size").get<std::int64_t>(),
                   .seed = all.at("seed").get<std::uint64_t>(),
                   .history = history_of(all.at("history"))};
    for (const Json& partial : all.at("sums")) state.sums.push_back(sums_of(partial));
    for (const Json& given : all.at("callbacks")) {
      CallbackState callback;
      for (const auto& [name, number] : given.at("numbers").items()) {
        callback.numbers[name] = number_of(number);
      }
      for (const auto& [name, count] : given.at("tensors").items()) {
        std::vector<Tensor>& list = callback.tensors[name];
        for (std::size_t k = 0; k < count.get<std::size_t>(); ++k) {
          list.push_back(root.array(place_of(state.callbacks.size(), name, k)));
        }
      }
      state.callbacks.push_back(std::move(callback));
    }
    if (state.epoch < 0 || state.batch < 0) fail<IoError>("it is before the beginning");
    return {std::move(state), all.at("run").get<std::string>()};
  } catch (const Json::exception& error) {
    fail<IoError>("{}: it is damaged: {}", where, error.what());
  }
}

// ---- states in a folder

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
  void restore(Model& model, const fs::path& backup) const {
    try {
      Kept kept = read(backup / state_name);
      if (kept.run != run_) {
        fail<ArgumentError>(
            "BackupAndRestore: training cannot go on from \"{}\", which is of \"{}\", with \"{}\": "
            "take another folder, or remove it to begin anew",
            folder_.string(), kept.run, run_);
      }
      model.load_weights(backup / weights_name);
      model.resume = std::move(kept.state);
    } catch (const IoError& error) {
      fail<IoError>("BackupAndRestore: training cannot go on from {}; remove it to begin anew: {}",
                    backup.string(), readable(error.what()));
    }
  }
  void keep(Model& model, const FitState& state) const {
    const fs::path temporary = folder_ / being_written,
                   backup = path_of({state.epoch, state.batch});
    fs::remove_all(temporary);
    fs::create_directories(temporary);
    model.save_weights(temporary / weights_name);
    write(state, run_, temporary / state_name);
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
    fs::remove(folder_, ignored);  // if nothing else is in it
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
    state->backups.keep(model, now());
    state->batches = 0;
  };
  if (delete_checkpoint) {
    callback.on_train_end = [state](Model&, Logs&) { state->backups.remove(); };
  }
  return callback;
}

bool BackupAndRestore::exists() const { return Backups(backup_dir).find().has_value(); }
void BackupAndRestore::remove() const { Backups(backup_dir).remove(); }

}  // namespace weft::nn
