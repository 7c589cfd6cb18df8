// A trial: what may crash is done once in a process of its own first. For io/ alone.
#pragma once

#include <functional>

namespace weft {

/// Runs a function in a child process, a copy of this one, and says whether it came to its end
/// there: false if it crashed, or took more than a minute of processor time. What it throws, and
/// all that it changes, stays there. True without a trial where no process can be made.
///
/// Only the calling thread goes along: the function must not wait for others, nor use OpenMP.
bool survives(const std::function<void()>& function);

}  // namespace weft
