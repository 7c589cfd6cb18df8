// compile: from a graph to an Executable.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
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
  /// excepted), and outputs that differ between replicas come back so; those that follow from
  /// variables, constants and sums over replicas alone come back once. Replicas meet at all_reduce;
  /// variables are shared, so their updates must not differ. 0: one for compile; for compile_batch,
  /// what suits the batch.
  std::size_t replicas = 0;
  /// Threads within each replica's primitives; 0: its part of those at hand, or fewer where the
  /// work is not worth so many (docs/performance.md).
  int threads = 0;
  /// The threads at hand, for all replicas together; 0: thread_count() (runtime/threads.hpp).
  int most_threads = 0;
  /// Winograd's algorithm for 3x3 convolutions, where it is there (AVX-512) and the shape suits it:
  /// about twice as fast, with rounding errors some ten times as large (docs/performance.md).
  bool winograd = true;
  /// Time the ways that oneDNN offers for each convolution here, instead of choosing by rule. What
  /// was found is kept in a file (runtime/tuning.hpp), so that it is measured once.
  bool tune = false;
  bool fuse = true;            ///< join ops into one step; off only to compare
  bool check_numbers = false;  ///< look at every value for NaN; also WEFT_DEBUG=4
  bool poison = false;  ///< fill the arena with NaN before each run, to find reads of nothing
  /// Is shown the program as it was traced, and after each pass of the compiler.
  using Watch = std::function<void(std::string_view pass, const Program& program)>;
  Watch watch{};
};

/// Makes an Executable of the part of a graph that the outputs and updates need. The graph is read,
/// not kept.
///   variables  holds every variable that the graph reads, with its type
///   throws     CompileError if a variable has no value yet, an update's target is no variable or
///              of another type, or oneDNN cannot do an op
Executable compile(const std::vector<Value>& outputs, const Variables& variables,
                   const CompileOptions& options = {});
Executable compile(const std::vector<Value>& outputs, const CompileOptions& options = {});

// ---- batches

/// How threads share out a batch: slices side by side, and threads within each.
struct Split {
  std::size_t replicas = 1;
  int threads = 1;
  friend bool operator==(const Split&, const Split&) = default;
};

/// The ways to share out a batch that are worth trying, the most replicas first. Where it feeds all
/// threads (8 rows each) there is one: a replica for each. For one row too: all threads within.
std::vector<Split> suitable_splits(std::int64_t rows, int threads);

/// Consecutive rows: first .. first + count - 1.
struct RowRange {
  std::int64_t first, count;
};
/// The rows of one replica's slice: slices differ by at most one row, and the larger come first.
RowRange slice_of(std::int64_t rows, std::size_t replicas, std::size_t replica);

/// What a graph for a slice of a batch needs to know of it.
struct Slice {
  std::int64_t rows;         ///< of this slice
  std::int64_t batch;        ///< rows of all slices
  std::size_t replicas = 1;  ///< how many slices there are
  /// What the mean over this slice counts in the mean over the batch.
  float share() const { return static_cast<float>(rows) / static_cast<float>(batch); }
};

struct Traced {
  std::vector<Value> outputs;
  std::vector<Update> updates;
};

/// Compiles a batch of any size in slices that differ by at most one row. Its inputs and outputs
/// are those of the whole batch: an output whose first axis grows with the slice has all rows, also
/// if it is equal in all replicas. Where CompileOptions::replicas is 0 and there are several suitable
/// splits, each is measured, on a copy of the variables, the first time that this process meets the
/// program; so, other than with a given number of replicas, the last bits of results may then
/// differ from process to process.
///   rows     of the batch, at least 1
///   trace    builds the program for a slice into an empty graph; called for each size of slice,
///            and more often if there is something to measure. Apart from the sizes of axes that
///            count samples, and from Slice::share(), the graphs must not differ; if what brings
///            replicas together differs (because a number that depends on the slice's rows goes
///            into the update of a variable, say), the batch runs as one replica.
///   options  updates are taken from what trace returns
///   throws   as compile does; CompileError if there are fewer rows than CompileOptions::replicas
Executable compile_batch(std::int64_t rows,
                         const std::function<Traced(Graph& graph, const Slice& slice)>& trace,
                         const Variables& variables, const CompileOptions& options = {});

}  // namespace weft
