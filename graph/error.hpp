// What Weft throws. A message names the op or call, what is wrong, what was given, what is right.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <utility>

namespace weft {

/// The base of every exception that Weft throws.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct ShapeError : Error {
  using Error::Error;
};  ///< sizes or ranks do not fit
struct TypeError : Error {
  using Error::Error;
};  ///< element types do not fit
struct ArgumentError : Error {
  using Error::Error;
};  ///< an unknown name, an option out of range
struct GradientError : Error {
  using Error::Error;
};  ///< a derivative that does not exist
struct CompileError : Error {
  using Error::Error;
};  ///< a graph that cannot be made to run
struct MemoryError : Error {
  using Error::Error;
};  ///< no memory for a tensor or a plan, or no thread to be had
struct IoError : Error {
  using Error::Error;
};  ///< a file that is missing, damaged or foreign
struct UnsupportedError : Error {
  using Error::Error;
};  ///< a layer or setting in a file, or for one, that Weft or the format does not have

/// Throws E with a formatted message.
template <class E = Error, class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace weft
