// How much there is to do in a program, and how many threads that is worth. Included by .cpp files
// only.
#pragma once

#include "graph/graph.hpp"

namespace weft {

/// What an operation of the program belongs to on average: multiplications and additions of one
/// node. A loop over elements counts as many for each as take the same time.
double work_of_a_step(const Program& program);

/// Of `threads`, those that a program should have within its primitives. Each step that threads
/// share ends with a wait for the last of them; on a machine with other load, that may be for one
/// that is not running. So each thread needs work that takes longer.
int threads_worth(const Program& program, int threads);

}  // namespace weft
