// How much of the processors a control group leaves to the process: containers are made so.
#pragma once

#include <filesystem>
#include <optional>

namespace weft {

/// The least quota of the process' group and those above it, in processors: 1.5. Nothing if there
/// is none. Both versions of control groups are read.
///   root  where proc and sys are: "/"
std::optional<double> cpu_quota(const std::filesystem::path& root);

}  // namespace weft
