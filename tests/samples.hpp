// Instances of every op, for the property tests: what to build, and numbers to build it on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/graph.hpp"

namespace weft {

struct Sample {
  std::string op;    ///< what it exercises
  std::string note;  ///< what is special about it
  std::vector<Tensor> inputs;
  std::function<std::vector<Value>(const std::vector<Value>&)> build;
  /// False: the derivative is what the op says and not what differences of its numbers say
  /// (rounding to bf16, stop_gradient).
  bool differences = true;

  std::string name() const { return note.empty() ? op : op + ": " + note; }
};

/// All of them, with the same numbers each time. Numbers stay away from kinks, and where a maximum
/// is looked for they are distinct, so that differences do not cross an edge; ties are in
/// autodiff.cpp.
const std::vector<Sample>& samples();

}  // namespace weft
