#include "io/quoted.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>

namespace weft {
namespace {

/// How many bytes the character at the beginning of a text has; 0 if it is no UTF-8, or a control
/// character.
std::size_t printable_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) >= 0x20 && byte(0) != 0x7f ? 1 : 0;
  const std::size_t size = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < size) return 0;
  std::uint32_t code = byte(0) & (0x7f >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t least[]{0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xd800 && code < 0xe000;
  const bool is_control = code < 0xa0 || (code >= 0x200e && code <= 0x200f) ||
                          (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return code < least[size] || code > 0x10ffff || is_surrogate || is_control ? 0 : size;
}

std::string escaped(char c) {
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  if (c == '\r') return "\\r";
  return fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
}

constexpr std::size_t most_in_quotes = 80, most_in_all_quotes = 200, most_in_message = 400;

/// A message, or the rest of one that was cut within quotation marks.
std::string readable_from(std::string_view message, bool is_quoted) {
  std::string result;
  std::size_t quoted_before = 0;
  while (!message.empty() && result.size() <= most_in_message) {
    const std::size_t end = std::min(message.find('"'), message.size());
    const std::size_t most =
        is_quoted ? std::min(most_in_quotes, most_in_all_quotes - quoted_before) : most_in_message;
    const std::string part = printable(message.substr(0, end), most);
    if (is_quoted) quoted_before = std::min(most_in_all_quotes, quoted_before + part.size());
    result += part;
    if (end == message.size()) break;
    result += '"';
    is_quoted = !is_quoted;
    message.remove_prefix(end + 1);
  }
  return printable(result, most_in_message);
}

/// Throws the exception that is being handled as an E of another message, if it is an E.
template <class E>
void rethrow_as(const std::string& message) {
  try {
    throw;
  } catch (const E&) {
    throw E(message);
  } catch (const Error&) {
  }
}

}  // namespace

std::string printable(std::string_view text, std::size_t most) {
  constexpr std::string_view dots = "...";
  std::string result;
  std::size_t fits = 0;  // what is left when it must be cut
  while (!text.empty()) {
    const std::size_t size = printable_character(text);
    result += size > 0 ? std::string(text.substr(0, size)) : escaped(text[0]);
    if (result.size() + dots.size() <= most) fits = result.size();
    if (result.size() > most) return result.substr(0, fits) + std::string(dots);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return result;
}

std::string in_quotes(std::string_view text, std::size_t most) {
  return '"' + printable(text, most) + '"';
}

std::string readable(std::string_view message) { return readable_from(message, false); }

void rethrow_naming(const std::filesystem::path& file) {
  std::string what;
  try {
    throw;
  } catch (const Error& error) {
    what = error.what();
  }
  // The name is the user's, and stays as it is; the rest may come from the file.
  const std::string name = file.string();
  const std::size_t at = name.empty() ? std::string::npos : what.find(name);
  std::string message;
  if (name.empty()) {
    message = readable(what);
  } else if (at == std::string::npos) {
    message = fmt::format("\"{}\": {}", name, readable(what));
  } else {
    const std::string before = what.substr(0, at), after = what.substr(at + name.size());
    const bool is_quoted = std::ranges::count(before, '"') % 2 != 0;
    message = readable(before) + name + readable_from(after, is_quoted);
  }
  if (message == what) throw;
  rethrow_as<ShapeError>(message);
  rethrow_as<TypeError>(message);
  rethrow_as<ArgumentError>(message);
  rethrow_as<GradientError>(message);
  rethrow_as<CompileError>(message);
  rethrow_as<IoError>(message);
  rethrow_as<UnsupportedError>(message);
  throw Error(message);
}

}  // namespace weft
