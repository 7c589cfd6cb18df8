// CSV: tables of numbers in text files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nn/dataset.hpp"

namespace weft {

struct CsvOptions {
  /// The column of targets: its name in the first line, or its number counted from 0, or from the
  /// end: "-1" is the last one. Empty: no targets.
  std::string target = "-1";
  /// Does the first line have names? Unset: it has, unless all its fields but the target are
  /// numbers; and it has if `target` is a name.
  std::optional<bool> header{};
  char delimiter = ',';
  bool classes = false;  ///< targets are classes even if they look like numbers
};

/// What a table has.
struct CsvTable {
  nn::Dataset data;                  ///< x: f32[columns]; y: f32[1], or the class, s32
  std::vector<std::string> columns;  ///< names of those of x; numbers if there is no header
  std::vector<std::string>
      classes;  ///< if targets are words, or asked for: sorted, class 0, 1, ...
};

/// Reads a table, quoted as RFC 4180 says. All of it must be finite numbers, but for targets, which may
/// all be words: classes. A number too small for f32 is 0.
///   throws  IoError for a file that is missing, empty, or not rectangular, naming the line, and
///           for a field of x that is no number; ArgumentError for a target that is no column
CsvTable load_csv(const std::filesystem::path& file, const CsvOptions& options = {});

}  // namespace weft
