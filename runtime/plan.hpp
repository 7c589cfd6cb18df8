// Plan: what remains of a graph when it is ready to run. Steps in order, over buffers.
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/shape.hpp"
#include "graph/tensor.hpp"
#include "graph/value.hpp"

namespace weft {

/// Where the elements of a value lie, and under which names. `md` is the physical layout; `plain`
/// has the same axes (in oneDNN's order, perhaps with a flattened axis apart again), laid out as
/// the value's own row-major order has them. Reading `md` while writing `plain` is therefore always
/// the way to the numbers in order, and a reshape never has to touch either.
struct Layout {
  dnnl::memory::desc md, plain;

  bool is_plain() const;
};

using BufferId = std::uint32_t;

struct Buffer {
  enum class Kind : std::uint8_t {
    arena,  ///< lives inside one run, at `offset` in the arena
    kept,   ///< made by a step that runs once, read by every run: at `offset` in memory of its own
    variable,  ///< a named tensor that outlives runs: `name`
    constant,  ///< `memory` holds it
    feed,      ///< the caller's input `index`
    result,    ///< the caller's output `index`
  };
  Kind kind = Kind::arena;
  std::size_t bytes = 0;
  Layout layout;
  std::string name;  ///< of the value, for messages
  Tensor memory;     ///< of a constant: the bytes in `layout`
  std::size_t index = 0;
  std::size_t offset = 0;
  std::optional<BufferId> shares;  ///< lies exactly where that buffer lies
};

/// Runs on the addresses of what a step reads and writes, in the order of Step::reads and writes.
using Kernel = std::function<void(std::span<const std::byte* const> reads,
                                  std::span<std::byte* const> writes)>;

/// The same for elements first .. last - 1 only, of the `elements` that the step has.
using RangeKernel =
    std::function<void(std::span<const std::byte* const> reads, std::span<std::byte* const> writes,
                       std::size_t first, std::size_t last)>;

struct Step {
  std::string label;   ///< "conv2d+add+relu", or "reorder"
  std::string detail;  ///< what runs it: "jit:avx2"
  std::vector<BufferId> reads, writes;
  std::vector<BufferId> scratch;  ///< needed during this step only
  /// writes[w] may lie where reads[r] lies, if nobody reads that later.
  std::vector<std::pair<std::size_t, std::size_t>> over;  ///< (w, r)
  // A oneDNN primitive with its arguments, or a kernel of ours, whole or by ranges, or the sum over
  // all replicas of what they read.
  dnnl::primitive primitive;
  struct Argument {
    int index;
    BufferId buffer;
    dnnl::memory::desc md;
  };
  std::vector<Argument> arguments;
  Kernel behind;  ///< runs after `primitive`, on what it wrote
  Kernel kernel;
  RangeKernel range;
  std::size_t elements = 0;  ///< f32, of `range` and of an all_reduce
  bool all_reduce = false;
  /// `range` makes one number of its range, and is not split further: each replica does its own,
  /// and an all_reduce adds them.
  bool makes_part = false;
  std::optional<NodeId> node;  ///< of the last program; nothing for a reorder or copy
  bool is_reorder = false;
  /// Hangs on variables alone: runs only when one of them has changed (passes/prologue.cpp).
  bool once = false;

  // Set by passes/replicate.cpp.
  bool meets = false;    ///< all replicas have come here before any goes on
  bool is_cut = false;   ///< each replica does its own range of the elements
  bool is_last = false;  ///< one replica does it, when all others are done
};

/// Which ways of doing an op `lower` may take (runtime/compile.hpp says more).
struct Choices {
  bool winograd = true;
  bool tune = false;
};

struct VariableUpdate {
  BufferId variable, next;
};

/// A sum over replicas, as all of them must see it.
struct Sum {
  Type type;
  Layout layout;
};

struct Plan {
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  std::vector<std::string> feeds;  ///< names, by index
  std::vector<Type> feed_types;
  std::vector<Type> result_types;
  std::vector<VariableUpdate> updates;
  std::size_t replicas = 1;
  std::vector<Sum> sums;                ///< in the order of the program
  std::vector<bool> result_is_uniform;  ///< one for all replicas; else each has its own rows
  std::size_t arena_bytes = 0;          ///< the arena, and the sum of the buffers that share it
  std::size_t buffer_bytes = 0;
  std::size_t kept_bytes = 0;  ///< of the buffers that are kept
  // For the report: the step at which most bytes of the arena are in use, how many, and the largest
  // buffers there.
  std::size_t peak_step = 0, peak_bytes = 0;
  std::vector<BufferId> peak_buffers;
  std::size_t node_count = 0, fused_count = 0;  ///< for the report
};

}  // namespace weft
