// Executable: a compiled graph. It runs, in any number of threads at the same time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/error.hpp"
#include "graph/tensor.hpp"

namespace weft {

using Feeds = std::unordered_map<std::string, Tensor>;

/// Something that serves one thread at a time is in use by another one.
struct BusyError : Error {
  using Error::Error;
};

/// What `compile` returns: a program that does not change any more. What a run needs besides
/// (memory for intermediate values, addresses) is a context; each run takes one of those that are
/// free, or makes one.
///
/// Threads: any number may call run() at the same time, and step() in a session of their own. Runs
/// that only read variables go side by side. One that updates variables has them for itself: it
/// waits for the others, and they for it, whichever executables of the same Variables they belong
/// to. So no update is lost, and no run sees half of one. Runs that need several threads take turns
/// at the cores. All else (moving, profile()) is for one thread at a time.
class Executable {
 public:
  struct Impl;
  struct Context;
  explicit Executable(std::shared_ptr<Impl> impl);
  Executable(Executable&&) noexcept;
  Executable& operator=(Executable&&) noexcept;
  ~Executable();

  /// Runs on the given inputs, which are not copied, and returns the outputs in fresh tensors.
  ///   feeds    one tensor per input of the graph, by name
  ///   throws   ArgumentError for a missing or unknown name, ShapeError or TypeError for another
  ///            type than the graph was built for, Error naming the first op that made a NaN if
  ///            numbers are checked
  std::vector<Tensor> run(const Feeds& feeds = {});

  /// The same in parts, for loops that must not allocate: fill inputs, step, read outputs. A session
  /// has inputs and outputs of its own, and is for one thread at a time. It keeps what it needs of
  /// the executable alive.
  class Session {
   public:
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;
    ~Session();

    /// The tensor that step() reads an input from; write to it before each step. Throws
    /// ArgumentError for an unknown name, or no input of that number (see input_names).
    Tensor& input(const std::string& name);
    Tensor& input(std::size_t index);
    /// Runs once. Throws what run() throws of numbers.
    void step();
    /// Runs once, where each replica first calls prepare with its number, in its own thread, to
    /// write its part of the inputs (slice_of in runtime/compile.hpp). prepare must neither run
    /// executables nor ask for variables, which this run may hold, nor fork.
    void step(const std::function<void(std::size_t replica)>& prepare);
    /// What the last step computed; overwritten by the next.
    const Tensor& output(std::size_t index) const;

   private:
    friend class Executable;
    explicit Session(std::shared_ptr<Impl> impl);

    std::shared_ptr<Impl> impl_;
    std::unique_ptr<Context> context_;
  };
  Session session() const;

  // The executable has a session itself, made when it is first used; so these are for one thread at
  // a time. step() throws BusyError while it is at work in another thread.

  Tensor& input(const std::string& name);
  void step();
  void step(const std::function<void(std::size_t replica)>& prepare);
  const Tensor& output(std::size_t index) const;

  /// Of the inputs that are needed, in the order of Session::input(index).
  const std::vector<std::string>& input_names() const noexcept;

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
  /// Contexts that there are now: as many as there were runs at the same time, up to a bound.
  std::size_t contexts() const noexcept;
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
  std::shared_ptr<Impl> impl_;
};

}  // namespace weft
