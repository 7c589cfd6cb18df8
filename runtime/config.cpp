#include "runtime/config.hpp"

#include <charconv>
#include <cstdlib>

#include "graph/error.hpp"

namespace weft {
namespace {

constexpr int most_threads = 4096;

int threads_from(const std::string& text) {
  if (text.empty()) return 0;
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1 ||
      count > most_threads) {
    fail<ArgumentError>("WEFT_THREADS: it must be a whole number from 1 to {}, not \"{}\"",
                        most_threads, text);
  }
  return count;
}

bool flag_from(const char* name, const std::string& text) {
  if (text.empty() || text == "0") return false;
  if (text != "1") fail<ArgumentError>("{}: it must be 0 or 1, not \"{}\"", name, text);
  return true;
}

}  // namespace

Config config_from(const std::function<const char*(const char*)>& read) {
  const auto text = [&](const char* name) {
    const char* value = read(name);
    return std::string(value == nullptr ? "" : value);
  };
  std::string tuning_file = text("WEFT_TUNING");
  if (const auto home = text("HOME"); tuning_file.empty() && !home.empty()) {
    tuning_file = home + "/.cache/weft/tuning";
  }
  if (const auto cache = text("XDG_CACHE_HOME"); text("WEFT_TUNING").empty() && !cache.empty()) {
    tuning_file = cache + "/weft/tuning";
  }
  return {std::atoi(text("WEFT_DEBUG").c_str()),
          text("WEFT_DOT"),
          text("WEFT_TRACE"),
          tuning_file,
          threads_from(text("WEFT_THREADS")),
          !text("OMP_NUM_THREADS").empty(),
          flag_from("WEFT_PIN", text("WEFT_PIN")),
          flag_from("WEFT_VERIFY", text("WEFT_VERIFY"))};
}

const Config& config() {
  static const Config values = config_from([](const char* name) { return std::getenv(name); });
  return values;
}

}  // namespace weft
