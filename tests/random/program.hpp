// A random program: data, so that it can be built for any slice of a batch, made smaller while it
// still fails, and printed as C++.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "graph/graph.hpp"
#include "runtime/compile.hpp"
#include "runtime/variables.hpp"

namespace weft::random_test {

/// Repeatable on every system, unlike the distributions of <random>.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// Of low .. high, both included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool chance(double probability) { return fraction() < probability; }
  double fraction() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[static_cast<std::size_t>(between(0, static_cast<std::int64_t>(list.size()) - 1))];
  }

 private:
  std::mt19937_64 engine_;
};

/// Which values a source holds.
enum class Range : std::uint8_t { any, positive, indices, key };

struct Source {
  enum class Kind : std::uint8_t { input, variable, constant };
  Kind kind = Kind::input;
  Type type;              ///< of the whole batch
  bool has_rows = false;  ///< axis 0 counts the samples of a batch
  Range range = Range::any;
  std::int64_t count = 0;  ///< of indices: they are below it
  std::uint64_t seed = 0;
};

/// The values that a source holds: for f32 of either sign and not near 0, or positive.
Tensor numbers_of(const Source& source);

struct Kind;

/// How calls name values: sources by their index, results of calls by `first_result` and how many
/// were made before.
using ValueId = std::size_t;
inline constexpr ValueId first_result = 1'000'000;

/// An op or a small combination of ops, applied to values.
struct Call {
  const Kind* kind = nullptr;
  std::vector<ValueId> inputs;
  std::vector<std::int64_t> numbers;
};

struct Program {
  std::vector<Source> sources;
  std::vector<Call> calls;
  std::vector<ValueId> outputs;
  std::int64_t rows = 0;  ///< of the batch; 0: the program has no batch, and runs as one replica
  std::size_t replicas = 1;
  int threads = 1;
  int order = 0;         ///< of the gradients that are wanted too: 0, 1 or 2
  bool updates = false;  ///< does a step of gradient descent change the variables?
};

/// What a proposal may look at: the values made so far.
struct Known {
  Type type;
  bool has_rows;
};

class Generator;

/// A way to go on. `propose` picks inputs (and adds sources) and numbers, or says that nothing
/// suits; `build` may throw what builders throw, and the proposal is dropped. `text` is the C++ of
/// each value that `build` returns.
struct Kind {
  std::string name;
  std::function<bool(Generator&, Call&)> propose;
  std::function<std::vector<Value>(const std::vector<Value>&, const std::vector<std::int64_t>&,
                                   const Slice&)>
      build;
  std::function<std::vector<std::string>(const std::vector<std::string>&,
                                         const std::vector<std::int64_t>&)>
      text;
  /// Do the outputs have rows: if some input has, never, or always?
  enum class Rows : std::uint8_t { keep, drop, make } rows = Rows::keep;
  double weight = 1;  ///< how often it is tried

  bool output_has_rows(bool input_has, bool with_batch) const {
    return with_batch && (rows == Rows::make || (rows == Rows::keep && input_has));
  }
};
const std::vector<Kind>& kinds();

/// Makes a program, value by value, and looks at each in double precision, so that no value is
/// huge, infinite or NaN.
class Generator {
 public:
  Generator(std::uint64_t seed, bool with_batch);
  Program make();

  // For proposals.
  Random random;
  bool with_batch() const { return program_.rows > 0; }
  std::int64_t rows() const { return program_.rows; }
  const Known& operator[](ValueId id) const {
    return id < first_result ? sources_[id] : results_[id - first_result];
  }
  /// A value for which f is true, often one of the newest; nothing if there is none.
  std::optional<ValueId> pick(const std::function<bool(const Known&)>& f);
  ValueId source(const Type& type, bool has_rows, Range range = Range::any, std::int64_t count = 0);
  /// A small size, often an awkward one.
  std::int64_t size();
  std::int64_t channels();

 private:
  bool append(Call call);

  Program program_;
  std::vector<Known> sources_, results_;
  std::unordered_map<std::string, Array> feeds_;
};

/// A program as a graph for one slice.
struct Built {
  std::vector<Value> outputs;  ///< those wanted, then gradients
  std::vector<Update> updates;
};
Built build(const Program& program, Graph& graph, const Slice& slice);
/// The slice that is all of it.
Slice whole(const Program& program);
std::string source_name(std::size_t index);

/// What is wrong with the compiled program; empty if nothing is.
std::string check(const Program& program);

/// A smaller program for which `fails` is still true.
Program shrink(Program program, const std::function<bool(const Program&)>& fails);

/// C++ that builds the same program.
std::string to_cpp(const Program& program);

}  // namespace weft::random_test
