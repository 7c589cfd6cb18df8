// Where the time of a run goes, beside what its primitives take alone and what the machine allows.
#pragma once

#include <string>

#include "runtime/executable.hpp"

namespace weft {

/// What a machine can do at most.
struct MachineLimits {
  double flops = 0;  ///< per second, f32: a large matrix product
  double bytes = 0;  ///< per second, to and from memory: a = b + s c over arrays larger than caches
};
/// Measured when first asked for, in some tenths of a second.
///   threads  1 or more
MachineLimits machine_limits(int threads);

/// Runs the executable's step() on whatever its inputs hold, variables being updated as ever, and
/// returns a table of its steps, the slowest first:
///   mean, least  time in the run, of the first replica
///   alone        the same primitive by itself, over and over: what is lost to caches and
///                neighbours is the difference
///   limit        the least that arithmetic and memory allow, of machine_limits; data that stay in
///                a cache may beat it
/// and their sums. Loops of ours have no time alone.
///   runs  1 or more, after one that does not count
std::string profile(Executable& executable, int runs = 20);

}  // namespace weft
