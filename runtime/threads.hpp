// What Weft computes with: threads, oneDNN, and the instructions of the machine at hand.
#pragma once

#include <string>

namespace weft {

/// The threads at hand: what set_threads() said, else WEFT_THREADS, else what OpenMP was told
/// (omp_set_num_threads, OMP_NUM_THREADS), else one for each core that the process may use, but no
/// more than the quota of its control group comes to, rounded up. One in a parallel region of
/// OpenMP within which it allows no other.
/// Throws ArgumentError if WEFT_THREADS is no number of threads.
int thread_count();

/// Says how many, for the whole process; 0: leave it to the environment again. What is compiled
/// already keeps the threads it was compiled for. Throws ArgumentError for a negative count.
void set_threads(int count);

std::string onednn_version();   ///< "2.6.3": of the library that is loaded
std::string instruction_set();  ///< that oneDNN uses here: "AVX-512", "AVX2", "AVX", "SSE4.1"

}  // namespace weft
