// What measurements have chosen, so that it is measured once. Included by .cpp files only.
#pragma once

#include <optional>
#include <string>

namespace weft::choices {

/// What was kept under a key that names all that the choice depends on; for the life of the
/// process. From any thread.
std::optional<std::string> find(const std::string& key);
/// Keeps a choice. What another thread has kept meanwhile stays, and is returned.
std::string keep(const std::string& key, const std::string& choice);

}  // namespace weft::choices
