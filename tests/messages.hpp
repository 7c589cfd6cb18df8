// What tests of error messages share.
#pragma once

#include <exception>
#include <string>

namespace weft::test {

/// The message of the E that f throws, or what happened instead.
template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another exception: ") + error.what();
  }
  return "no exception";
}

}  // namespace weft::test
