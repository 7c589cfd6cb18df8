// Which split of a batch is the fastest. Included by .cpp files only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/compile.hpp"

namespace weft {

/// "2x1": replicas x threads.
std::string to_string(const Split& split);

/// The fastest of the candidates: as measured under that key before, for the life of the process,
/// else as measured now. One with fewer replicas must be clearly faster than one with more: threads
/// within a replica wait for each other at every primitive, which costs far more than measured once
/// the machine is shared.
///   seconds  measures a candidate
Split fastest(const std::string& key, const std::vector<Split>& candidates,
              const std::function<double(const Split&)>& seconds);

/// The least time of a few runs of the executable, on inputs of zeros.
double seconds_of(Executable& executable);

}  // namespace weft
