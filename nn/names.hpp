// How things are found by name, and named: "adam", "CategoricalCrossentropy", MaxPooling2D.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/error.hpp"

namespace weft::nn {

/// A class name as Keras makes layer names of it: "MaxPooling2D" becomes "max_pooling2d".
std::string snake_case(std::string_view class_name);

/// Names of which no two are equal.
class UniqueNames {
 public:
  /// False if it is taken already.
  bool take(const std::string& name) { return taken_.insert(name).second; }
  /// The first of base, base_1, base_2, ... that is not taken, and takes it.
  std::string make(const std::string& base);

 private:
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> next_;  // so that many of one base take linear time
};

/// Whether two names differ by case and underscores only, so that "AdamW", "adamw" and "adam_w" are
/// one.
bool same_name(std::string_view a, std::string_view b) noexcept;

/// Throws ArgumentError: `loss: unknown name "x"; known are a, b, c`.
[[noreturn]] void fail_unknown(std::string_view kind, std::string_view name,
                               const std::vector<std::string_view>& known);

/// The row of a table that has a name, where rows have a member `name`.
/// Throws ArgumentError listing the known names if there is none.
template <class Row>
const Row& find_named(std::string_view kind, std::string_view name, std::span<const Row> rows) {
  for (const Row& row : rows) {
    if (same_name(row.name, name)) return row;
  }
  std::vector<std::string_view> known;
  for (const Row& row : rows) known.push_back(row.name);
  fail_unknown(kind, name, known);
}

/// What an object calls itself by its name(), if it does.
template <class T>
std::string name_of_object(const T& object, std::string_view otherwise) {
  if constexpr (requires { std::string(object.name()); }) {
    return std::string(object.name());
  } else {
    return std::string(otherwise);
  }
}

}  // namespace weft::nn
