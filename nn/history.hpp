// Logs: the numbers of one epoch or evaluation. History: the logs of all epochs.
#pragma once

#include <cstdint>
#include <filesystem>
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

/// How a picture of numbers looks.
struct PlotOptions {
  std::string title{};
  int width = 0, height = 0;  ///< pixels; 0: what suits
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
  /// The epochs, from 0, that a name has numbers of: with validation_freq, not all have each.
  const std::vector<int>& epochs_of(std::string_view name) const;
  void append(int epoch_index, const Logs& logs);
  /// What append was given for an epoch; empty if it did not run.
  Logs logs(int epoch_index) const;

  /// Draws a panel for each number: its curve in training and in validation over the epochs, from
  /// 1, and where the validation loss is lowest. What is no finite number is left out. The ending
  /// says how, .png or .svg: io/plot.hpp, which must be linked (weft::weft has it).
  ///   names   of the panels, as in training; none: all
  ///   throws  ArgumentError if no epoch ran, or a name is unknown; what plot_curves throws
  void plot(const std::filesystem::path& file, const PlotOptions& options = {},
            const std::vector<std::string>& names = {}) const;

 private:
  struct Series {
    std::string name;
    std::vector<double> values;
    std::vector<int> epochs;
  };
  const Series& series(std::string_view name) const;

  std::vector<Series> series_;
};

}  // namespace weft::nn
