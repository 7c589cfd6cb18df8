// Logs: the numbers of one epoch or evaluation. History: the logs of all epochs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weft::nn {

/// Named numbers in order: loss, metrics, val_loss, val_metrics.
class Logs {
 public:
  struct Entry {
    std::string name;
    double value;
  };

  /// Throws ArgumentError for an unknown name, listing those there are.
  double operator[](std::string_view name) const;
  bool contains(std::string_view name) const noexcept;
  /// Changes a number, or adds one at the end.
  void set(std::string_view name, double value);

  std::size_t size() const noexcept { return entries_.size(); }
  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }

 private:
  std::vector<Entry> entries_;
};

/// What fit returns.
class History {
 public:
  std::vector<int> epoch;  ///< which ran, counted from 0

  /// One number per epoch. Throws ArgumentError for an unknown name, listing those there are.
  const std::vector<double>& operator[](std::string_view name) const;
  bool contains(std::string_view name) const noexcept;
  /// In Keras' order: loss, metrics, val_loss, val_metrics.
  std::vector<std::string> names() const;
  void append(int epoch_index, const Logs& logs);

 private:
  struct Series {
    std::string name;
    std::vector<double> values;
  };
  std::vector<Series> series_;
};

}  // namespace weft::nn
