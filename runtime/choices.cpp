#include "runtime/choices.hpp"

#include <mutex>
#include <unordered_map>

namespace weft::choices {
namespace {

struct Kept {
  std::mutex mutex;
  std::unordered_map<std::string, std::string> by_key;
};

Kept& kept() {
  static Kept instance;
  return instance;
}

}  // namespace

std::optional<std::string> find(const std::string& key) {
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_key.find(key);
  return found == all.by_key.end() ? std::nullopt : std::optional(found->second);
}

std::string keep(const std::string& key, const std::string& choice) {
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  return all.by_key.try_emplace(key, choice).first->second;
}

}  // namespace weft::choices
