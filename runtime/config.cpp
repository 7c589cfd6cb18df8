#include "runtime/config.hpp"

#include <cstdlib>

namespace weft {
namespace {

std::string read(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

const Config& config() {
  static const Config values{std::atoi(read("WEFT_DEBUG").c_str()), read("WEFT_DOT"),
                             read("WEFT_TRACE")};
  return values;
}

}  // namespace weft
