#include "nn/names.hpp"

#include <fmt/format.h>

namespace weft::nn {
namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char to_lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string snake_case(std::string_view class_name) {
  std::string result;
  for (std::size_t i = 0; i < class_name.size(); ++i) {
    const char c = class_name[i];
    if (i > 0 && is_upper(c)) {
      // A word begins at a capital before a small letter or digit, and at one after a small letter.
      const bool word =
          i + 1 < class_name.size() && (is_lower(class_name[i + 1]) || is_digit(class_name[i + 1]));
      if ((word || is_lower(class_name[i - 1])) && result.back() != '_') result += '_';
    }
    result += to_lower(c);
  }
  return result;
}

std::string UniqueNames::make(const std::string& base) {
  int& next = next_[base];
  while (true) {
    std::string name = next == 0 ? base : fmt::format("{}_{}", base, next);
    ++next;
    if (take(name)) return name;
  }
}

bool same_name(std::string_view a, std::string_view b) noexcept {
  std::size_t i = 0, j = 0;
  while (true) {
    while (i < a.size() && a[i] == '_') ++i;
    while (j < b.size() && b[j] == '_') ++j;
    if (i == a.size() || j == b.size()) return i == a.size() && j == b.size();
    if (to_lower(a[i++]) != to_lower(b[j++])) return false;
  }
}

void fail_unknown(std::string_view kind, std::string_view name,
                  const std::vector<std::string_view>& known) {
  fail<ArgumentError>("{}: unknown name \"{}\"; known are {}", kind, name, fmt::join(known, ", "));
}

}  // namespace weft::nn
