// MNIST from a public mirror, as Keras' mnist.load_data() gets it when it is first asked for.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace weft::tools {

/// Gets the four files, some 11 MB, into a folder, which is there whole or not at all. They are
/// checked by SHA-256.
///   mirror  where they are, "https://host/folder" or "http://..."; "": known ones, in turn
///   say     is told which is asked
///   throws  IoError, which says what each mirror answered
void fetch_mnist(const std::filesystem::path& folder, const std::string& mirror,
                 const std::function<void(const std::string&)>& say);

}  // namespace weft::tools
