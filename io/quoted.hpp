// Text from files in messages. A file can hold anything: control characters that a terminal obeys,
// a megabyte where a name should be. All of io/ and tools/ shows such text by these functions.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "graph/error.hpp"

namespace weft {

/// Text without what is not printable, and of at most so many bytes: control characters and bytes
/// that are no UTF-8 become \n or \x1b, and the end of a long text "...".
std::string printable(std::string_view text, std::size_t most = 80);

/// The same in quotation marks.
std::string in_quotes(std::string_view text, std::size_t most = 80);

/// A message in printable form, of at most 400 bytes. What stands in quotation marks is cut to 80
/// bytes, and to 200 in all.
std::string readable(std::string_view message);

/// Throws the exception that is being handled again: if it is an Error, with a message that is
/// readable and begins with the file's name, unless that is in it already. Without a name, the
/// message is made readable.
[[noreturn]] void rethrow_naming(const std::filesystem::path& file);

/// Calls f, which reads a file. Errors that it throws name the file.
template <class F>
auto naming(const std::filesystem::path& file, F f) {
  try {
    return f();
  } catch (const Error&) {
    rethrow_naming(file);
  }
}

}  // namespace weft
