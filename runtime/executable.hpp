// Executable: a compiled graph. It runs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/tensor.hpp"

namespace weft {

using Feeds = std::unordered_map<std::string, Tensor>;

/// What `compile` returns. Movable; one run at a time.
class Executable {
 public:
  struct Impl;
  explicit Executable(std::unique_ptr<Impl> impl);
  Executable(Executable&&) noexcept;
  Executable& operator=(Executable&&) noexcept;
  ~Executable();

  /// Runs on the given inputs, which are not copied, and returns the outputs in fresh tensors.
  ///   feeds    one tensor per input of the graph, by name
  ///   throws   ArgumentError for a missing or unknown name, ShapeError or TypeError for another
  ///            type than the graph was built for, Error naming the first op that made a NaN if
  ///            numbers are checked
  std::vector<Tensor> run(const Feeds& feeds = {});

  // The same in parts, for loops that must not allocate: fill inputs, step, read outputs.

  /// The tensor that step() reads an input from; write to it before each step.
  Tensor& input(const std::string& name);
  /// Runs once. Throws what run() throws of numbers. With one replica, it takes no lock.
  void step();
  /// Runs once, where each replica first calls prepare with its number, in its own thread, to write
  /// its part of the inputs (slice_of in runtime/compile.hpp).
  void step(const std::function<void(std::size_t replica)>& prepare);
  /// What the last step computed; overwritten by the next.
  const Tensor& output(std::size_t index) const;

  /// Nodes, steps, fused nodes, reorders, bytes of the arena and of the sum of its buffers.
  std::string report() const;
  struct Statistics {
    std::size_t nodes = 0, steps = 0, fused = 0, reorders = 0;
    std::size_t arena_bytes = 0;   ///< what one run needs for its intermediate values
    std::size_t buffer_bytes = 0;  ///< the same without any reuse: the sum of all of them
    std::size_t replicas = 1;      ///< each has an arena of its own
    int threads = 1;               ///< within each replica
    std::size_t once = 0;          ///< steps that run only when a variable they hang on has changed
    std::size_t meetings = 0;      ///< how often all replicas wait for one another in a run
  };
  const Statistics& statistics() const noexcept;
  /// The reorders between layouts: of which value (a node's or variable's name), and its bytes.
  struct Reorder {
    std::string name;
    std::size_t bytes;
  };
  std::vector<Reorder> reorders() const;
  /// One line a step: label and what runs it.
  std::string to_string() const;

  /// Measures each step from now on (or no longer).
  void profile(bool on);
  /// Calls, total and mean time of each step since profiling began, the slowest first.
  std::string profile_table() const;
  /// The same for programs, in the order of the steps; runtime/profile.hpp puts it beside the
  /// machine's limits.
  struct StepTime {
    std::string label, detail;
    double seconds = 0;  ///< of all calls together
    double least = 0;    ///< of one call
    std::size_t calls = 0;
    bool is_primitive = false;  ///< a oneDNN primitive, not a loop of ours
    double flops = 0;           ///< of a call: multiplications and additions of a primitive
    double bytes = 0;           ///< of a call: what it reads and writes
    double alone = 0;           ///< seconds of the primitive by itself, if that was asked for
  };
  ///   alone  run every primitive by itself, on memory of its own, to see what it takes
  std::vector<StepTime> profile_steps(bool alone = false) const;
  /// The last profiled run in the Chrome trace format (chrome://tracing, ui.perfetto.dev).
  void write_trace(const std::string& path) const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft
