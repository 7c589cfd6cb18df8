#include "nn/history.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/error.hpp"

namespace weft::nn {
namespace {

template <class Rows>
auto find(Rows& rows, std::string_view name) {
  return std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.name == name; });
}

template <class Rows>
[[noreturn]] void fail_missing(std::string_view where, std::string_view name, const Rows& rows) {
  std::vector<std::string_view> names;
  for (const auto& row : rows) names.push_back(row.name);
  fail<ArgumentError>("{}: there is no \"{}\"; there are: {}", where, name, fmt::join(names, ", "));
}

}  // namespace

double Logs::operator[](std::string_view name) const {
  const auto found = find(entries_, name);
  if (found == entries_.end()) fail_missing("logs", name, entries_);
  return found->value;
}

bool Logs::contains(std::string_view name) const noexcept {
  return find(entries_, name) != entries_.end();
}

void Logs::set(std::string_view name, double value) {
  const auto found = find(entries_, name);
  if (found == entries_.end()) {
    entries_.push_back({std::string(name), value});
  } else {
    found->value = value;
  }
}

const History::Series& History::series(std::string_view name) const {
  const auto found = find(series_, name);
  if (found == series_.end()) fail_missing("history", name, series_);
  return *found;
}

const std::vector<double>& History::operator[](std::string_view name) const {
  return series(name).values;
}

const std::vector<int>& History::epochs_of(std::string_view name) const {
  return series(name).epochs;
}

bool History::contains(std::string_view name) const noexcept {
  return find(series_, name) != series_.end();
}

std::vector<std::string> History::names() const {
  std::vector<std::string> result;
  for (const Series& series : series_) result.push_back(series.name);
  return result;
}

void History::append(int epoch_index, const Logs& logs) {
  epoch.push_back(epoch_index);
  for (const auto& [name, value] : logs) {
    auto found = find(series_, name);
    if (found == series_.end()) found = series_.insert(found, {name, {}, {}});
    found->values.push_back(value);
    found->epochs.push_back(epoch_index);
  }
}

Logs History::logs(int epoch_index) const {
  Logs logs;
  for (const Series& series : series_) {
    const auto at = std::ranges::find(series.epochs, epoch_index);
    if (at == series.epochs.end()) continue;
    logs.set(series.name, series.values[static_cast<std::size_t>(at - series.epochs.begin())]);
  }
  return logs;
}

}  // namespace weft::nn
