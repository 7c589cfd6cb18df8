#include "nn/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <iterator>

#include "graph/error.hpp"

namespace weft::nn {
namespace {

constexpr int bar_width = 30;
constexpr double redraw_interval = 0.05;  // seconds

double now_in_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

void append_duration(std::string& line, double seconds, std::string_view unit) {
  const auto out = std::back_inserter(line);
  if (seconds >= 1 || seconds == 0) {
    fmt::format_to(out, " {:.0f}s/{}", seconds, unit);
  } else if (seconds >= 1e-3) {
    fmt::format_to(out, " {:.0f}ms/{}", seconds * 1e3, unit);
  } else {
    fmt::format_to(out, " {:.0f}us/{}", seconds * 1e6, unit);
  }
}

void append_time_left(std::string& line, double seconds) {
  const auto out = std::back_inserter(line);
  const auto whole = static_cast<std::int64_t>(seconds);
  if (seconds > 3600) {
    fmt::format_to(out, " - ETA: {}:{:02}:{:02}", whole / 3600, whole % 3600 / 60, whole % 60);
  } else if (seconds > 60) {
    fmt::format_to(out, " - ETA: {}:{:02}", whole / 60, whole % 60);
  } else {
    fmt::format_to(out, " - ETA: {}s", whole);
  }
}

void append_logs(std::string& line, const Logs& logs) {
  const auto out = std::back_inserter(line);
  for (const auto& [name, value] : logs) {
    if (std::abs(value) > 1e-3) {
      fmt::format_to(out, " - {}: {:.4f}", name, value);
    } else {
      fmt::format_to(out, " - {}: {:.4e}", name, value);
    }
  }
}

}  // namespace

Progress::Progress(std::optional<int> verbose, Console console) : console_(std::move(console)) {
  const bool to_stdout = console_.out == nullptr || console_.out == &std::cout;
  if (console_.out == nullptr) console_.out = &std::cout;
  if (!console_.terminal) console_.terminal = to_stdout && isatty(STDOUT_FILENO) != 0;
  if (!console_.clock) console_.clock = now_in_seconds;
  verbose_ = verbose.value_or(*console_.terminal ? 1 : 2);
  if (verbose_ < 0 || verbose_ > 2) {
    fail<ArgumentError>("progress: verbose must be 0 (silent), 1 (bar) or 2 (one line), not {}",
                        verbose_);
  }
}

void Progress::begin(std::int64_t steps, std::string_view title) {
  steps_ = steps;
  start_ = console_.clock();
  first_done_ = drawn_ = false;
  width_ = 0;
  if (verbose_ == 0 || title.empty()) return;
  line_.assign(title).append("\n");
  write(line_);
}

void Progress::update(std::int64_t step, const Logs& logs) {
  if (verbose_ != 1) return;
  const double now = console_.clock();
  if (drawn_ && now - last_draw_ < redraw_interval) return;
  draw(step, logs, now, false);
}

void Progress::finish(const Logs& logs) {
  const double now = console_.clock();
  if (verbose_ == 1) draw(steps_, logs, now, true);
  if (verbose_ != 2) return;
  line_.clear();
  fmt::format_to(std::back_inserter(line_), "{}/{} - {:.0f}s", steps_, steps_, now - start_);
  append_logs(line_, logs);
  line_ += " -";
  append_duration(line_, now - start_, "epoch");
  line_ += " -";
  append_duration(line_, (now - start_) / static_cast<double>(steps_), "step");
  line_ += '\n';
  write(line_);
}

/// The first step is left out when there are others: it compiles.
double Progress::time_per_step(std::int64_t step, double now) {
  const double time = first_done_ && step > 1 ? (now - after_first_) / static_cast<double>(step - 1)
                                              : (now - start_) / static_cast<double>(step);
  if (step == 1) {
    after_first_ = now;
    first_done_ = true;
  }
  return time;
}

void Progress::draw(std::int64_t step, const Logs& logs, double now, bool last) {
  last_draw_ = now;
  drawn_ = true;
  const std::size_t before = width_;
  line_.clear();
  if (*console_.terminal) {
    line_.append(before, '\b').append("\r");
  } else {
    line_ += '\n';
  }
  const std::size_t start = line_.size();
  fmt::format_to(std::back_inserter(line_), "{:>{}}/{} [", step, fmt::formatted_size("{}", steps_),
                 steps_);
  const auto filled = static_cast<std::size_t>(bar_width * step / steps_);
  if (filled > 0) line_.append(filled - 1, '=').append(step < steps_ ? ">" : "=");
  line_.append(bar_width - filled, '.').append("]");

  const double per_step = time_per_step(step, now);
  if (last) {
    fmt::format_to(std::back_inserter(line_), " - {:.0f}s", now - start_);
    append_duration(line_, per_step, "step");
  } else {
    append_time_left(line_, per_step * static_cast<double>(steps_ - step));
  }
  append_logs(line_, logs);
  width_ = line_.size() - start;
  if (before > width_) line_.append(before - width_, ' ');
  if (last) line_ += '\n';
  write(line_);
}

void Progress::write(std::string_view text) { *console_.out << text << std::flush; }

}  // namespace weft::nn
