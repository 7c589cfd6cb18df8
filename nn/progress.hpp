// Progress: Keras' progress line.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "nn/history.hpp"

namespace weft::nn {

/// Where progress is written, and how.
struct Console {
  std::ostream* out = nullptr;      ///< nullptr: std::cout
  std::optional<bool> terminal{};   ///< may lines be overwritten? Nothing: is out a terminal?
  std::function<double()> clock{};  ///< seconds; nothing: the time
};

/// Writes nothing (verbose 0), a bar that moves (1), or one line at the end (2):
///
///   938/938 [==============================] - 9s 9ms/step - loss: 0.0424 - accuracy: 0.9973
///   938/938 - 9s - loss: 0.0424 - accuracy: 0.9973 - 9s/epoch - 9ms/step
///
/// The bar moves at most every 0.05 s. On a terminal it is drawn over itself, else on a new line.
class Progress {
 public:
  /// verbose: nothing means 1 on a terminal, else 2. Throws ArgumentError outside 0, 1, 2.
  explicit Progress(std::optional<int> verbose = {}, Console console = {});

  /// Starts the clock for that many steps. The title is written on a line of its own.
  void begin(std::int64_t steps, std::string_view title = {});
  /// After each step.
  void update(std::int64_t step, const Logs& logs);
  /// The last line, as if all steps were done.
  void finish(const Logs& logs);

 private:
  double time_per_step(std::int64_t step, double now);
  void draw(std::int64_t step, const Logs& logs, double now, bool last);
  void write(std::string_view text);

  int verbose_;
  Console console_;
  std::int64_t steps_ = 0;
  double start_ = 0, after_first_ = 0, last_draw_ = 0;
  bool first_done_ = false, drawn_ = false;
  std::size_t width_ = 0;  // of what is on the line now
  std::string line_;       // kept, so that drawing does not allocate
};

}  // namespace weft::nn
