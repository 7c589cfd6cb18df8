// ZIP archives through libzip: a few members, read whole. For io/ alone.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/tensor.hpp"

namespace weft {

/// The members of an archive that have one of these names, as u8; others are left where they are.
///   throws  IoError for what is no archive, is damaged or encrypted; for names that lead out of
///           the archive, or are there twice; for a member that unpacks into more than a hundred
///           times its size (beyond a megabyte), or into another size than it declares
std::map<std::string, Tensor> read_zip(const std::filesystem::path& file,
                                       std::span<const std::string> names);

/// Writes an archive, uncompressed, atomically (io/atomic_file.hpp). Throws IoError.
void write_zip(const std::filesystem::path& file,
               const std::vector<std::pair<std::string, std::span<const std::byte>>>& members);

}  // namespace weft
