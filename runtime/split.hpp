// Which split of a batch is the fastest. Included by .cpp files only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/compile.hpp"

namespace weft {

/// "2x1": replicas x threads.
std::string to_string(const Split& split);

/// The fastest of the candidates: as kept under the key, else as measured now and kept. One with
/// fewer replicas must be clearly faster than one with more.
///   seconds  measures a candidate
Split fastest(const std::string& key, const std::vector<Split>& candidates,
              const std::function<double(const Split&)>& seconds);

/// The least time of a few runs of the executable, on inputs of zeros.
double seconds_of(Executable& executable);

}  // namespace weft
