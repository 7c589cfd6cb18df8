#include "runtime/config.hpp"

#include <cstdlib>

namespace weft {
namespace {

std::string read(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string tuning_file() {
  if (const auto file = read("WEFT_TUNING"); !file.empty()) return file;
  if (const auto cache = read("XDG_CACHE_HOME"); !cache.empty()) return cache + "/weft/tuning";
  if (const auto home = read("HOME"); !home.empty()) return home + "/.cache/weft/tuning";
  return {};
}

}  // namespace

const Config& config() {
  static const Config values{std::atoi(read("WEFT_DEBUG").c_str()), read("WEFT_DOT"),
                             read("WEFT_TRACE"), tuning_file()};
  return values;
}

}  // namespace weft
