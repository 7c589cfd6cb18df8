// nn::CSVLogger: a line of numbers for each epoch.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "nn/appended_file.hpp"
#include "nn/model.hpp"
#include "nn/standard_callbacks.hpp"

namespace weft::nn {
namespace {

namespace fs = std::filesystem;

struct State {
  explicit State(const CSVLogger& logger) : given(logger) {}

  /// 0: there is no file.
  std::uintmax_t size() const {
    std::error_code error;
    const std::uintmax_t bytes = fs::file_size(given.filename, error);
    return error ? 0 : bytes;
  }

  void begin() {
    file.close();
    columns.clear();
    unwritten.clear();
    goes_on = given.append;
  }

  /// Not before the first epoch: until then it is not known whether training is resumed.
  void open() {
    if (file.is_open()) return;
    header = !goes_on || size() == 0;
    file.open(given.filename, goes_on);
  }

  void choose_columns(const Logs& logs) {
    for (const auto& [name, value] : logs) columns.push_back(name);
    std::ranges::sort(columns);
    const bool validated = std::ranges::any_of(
        columns, [](const std::string& name) { return name.starts_with("val_"); });
    // A later epoch may be validated.
    const std::size_t trained = columns.size();
    for (std::size_t i = 0; !validated && i < trained; ++i) columns.push_back("val_" + columns[i]);
    if (!header) return;
    unwritten += "epoch";
    for (const std::string& name : columns) unwritten += given.separator + name;
    unwritten += '\n';
  }

  void add_line(int epoch, const Logs& logs) {
    if (columns.empty()) choose_columns(logs);
    unwritten += fmt::to_string(epoch);
    for (const std::string& name : columns) {
      unwritten += given.separator;
      unwritten += logs.contains(name) ? fmt::format("{}", logs[name]) : "NA";
    }
    unwritten += '\n';
  }

  /// Where that fails, the lines are kept: space may come.
  void write(Model& model) {
    if (unwritten.empty()) return;
    try_to_write(model, "CSVLogger", given.filename, [&] {
      file.append(unwritten);
      unwritten.clear();
    });
  }

  CSVLogger given;
  AppendedFile file{"CSVLogger"};
  std::vector<std::string> columns{};
  std::string unwritten{};
  bool goes_on = false, header = true;
};

}  // namespace

CSVLogger::operator Callback() const {
  const auto state = std::make_shared<State>(*this);
  Callback callback;
  callback.on_train_begin = [state](Model&) { state->begin(); };
  callback.state = [state] {
    return CallbackState{.numbers = {{"bytes", static_cast<double>(state->size())}}};
  };
  // Lines of epochs that are gone through once more would stand there twice.
  callback.set_state = [state](Model&, const CallbackState& kept) {
    state->goes_on = true;
    const auto bytes = static_cast<std::uintmax_t>(kept.number("bytes"));
    if (state->size() > bytes) fs::resize_file(state->given.filename, bytes);
  };
  callback.on_epoch_begin = [state](Model&, int) { state->open(); };
  callback.on_epoch_end = [state](Model& model, int epoch, Logs& logs) {
    state->add_line(epoch, logs);
    state->write(model);
  };
  callback.on_train_end = [state](Model& model, Logs&) {
    state->write(model);
    state->file.close();
  };
  return callback;
}

}  // namespace weft::nn
