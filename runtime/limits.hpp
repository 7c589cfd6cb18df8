// Limits of the process (ulimit -v) that libraries do not survive: they are asked before.
#pragma once

namespace weft {

/// Throws MemoryError if address space is limited and nearly used up: oneDNN 2.6 then reads from
/// nullptr, and glibc aborts where an OpenMP thread ends.
void expect_room();

/// The same count, or 1 if address space is limited and the system does not start so many threads:
/// OpenMP would end the program. Those of the calling thread are started then.
int threads_to_be_had(int threads);

}  // namespace weft
