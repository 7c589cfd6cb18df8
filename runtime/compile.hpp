// compile: from a graph to an Executable.
#pragma once

#include <vector>

#include "graph/graph.hpp"
#include "runtime/executable.hpp"
#include "runtime/variables.hpp"

namespace weft {

/// After a run, `variable` holds `next`; in place where lifetimes allow.
struct Update {
  Value variable, next;
};

struct CompileOptions {
  std::vector<Update> updates;
  /// How many replicas run the graph side by side, each in its own thread on its own slice. The
  /// graph is that of one slice: inputs are given with `replicas` times as many rows (scalars
  /// excepted), and outputs that differ between replicas come back so. Replicas meet at all_reduce;
  /// variables are shared, so their updates must not differ.
  std::size_t replicas = 1;
  /// Winograd's algorithm for 3x3 convolutions, where it is there (AVX-512) and the shape suits it:
  /// about twice as fast, with rounding errors some ten times as large (docs/performance.md).
  bool winograd = true;
  /// Time the ways that oneDNN offers for each convolution here, instead of choosing by rule. What
  /// was found is kept in a file (runtime/tuning.hpp), so that it is measured once.
  bool tune = false;
  bool fuse = true;            ///< join ops into one step; off only to compare
  bool check_numbers = false;  ///< look at every value for NaN; also WEFT_DEBUG=4
  bool poison = false;  ///< fill the arena with NaN before each run, to find reads of nothing
};

/// How many replicas suit a batch on this machine: the most that the threads at hand
/// (OMP_NUM_THREADS, omp_set_num_threads, else one a core) allow, such that all slices are equal
/// and have at least 8 rows; smaller ones do not keep a core busy between meetings.
///   batch   rows
std::size_t suitable_replicas(std::int64_t batch);

/// Makes an Executable of the part of a graph that the outputs and updates need. The graph is read,
/// not kept.
///   variables  holds every variable that the graph reads, with its type
///   throws     CompileError if a variable has no value yet, an update's target is no variable or
///   of
///              another type, or oneDNN cannot do an op
Executable compile(const std::vector<Value>& outputs, const Variables& variables,
                   const CompileOptions& options = {});
Executable compile(const std::vector<Value>& outputs, const CompileOptions& options = {});

}  // namespace weft
