// The environment variables that Weft reads, once, and the only ones.
#pragma once

#include <functional>
#include <string>

namespace weft {

struct Config {
  /// WEFT_DEBUG: 1 prints a line per compile to stderr; 2 also the program after every pass, which
  /// is then verified; 3 also times each step and prints the table when the executable is dropped;
  /// 4 also checks every value for NaN and names the first op that made one.
  int debug = 0;
  /// WEFT_DOT: a folder, made if need be; every pass of every compile leaves a drawing there.
  std::string dot_folder;
  /// WEFT_TRACE: a file; each executable, when dropped, writes its last run there as a Chrome
  /// trace.
  std::string trace_file;
  /// WEFT_TUNING: the file of what was measured with CompileOptions::tune; by default
  /// $XDG_CACHE_HOME/weft/tuning or ~/.cache/weft/tuning.
  std::string tuning_file;
  /// WEFT_THREADS: how many threads to compute with; 0: unset (runtime/threads.hpp).
  int threads = 0;
  /// OMP_NUM_THREADS, which OpenMP reads, is set: somebody has decided how many threads there are.
  bool has_openmp_threads = false;
  /// WEFT_PIN: 1 keeps each replica's thread on cores of its own, among those that the process may
  /// use. Off unless set: a replica cannot leave such a core when another program takes it.
  bool pin = false;
  /// WEFT_VERIFY: 1 checks the program after every pass, as the tests do.
  bool verify = false;
};

/// Throws ArgumentError if WEFT_THREADS, WEFT_PIN or WEFT_VERIFY is not as above.
const Config& config();
/// The same from another environment: `read` returns nullptr for what is not set.
Config config_from(const std::function<const char*(const char* name)>& read);

}  // namespace weft
