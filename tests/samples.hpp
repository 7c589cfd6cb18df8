// Instances of every op, for the property tests: what to build, and numbers to build it on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/graph.hpp"

namespace weft {

struct Sample {
  std::string op;    ///< the builder that it calls
  std::string note;  ///< what is special about it
  std::vector<Tensor> inputs;
  std::function<std::vector<Value>(const std::vector<Value>&)> build;
  /// False: the derivative is what the op says and not what differences of its numbers say.
  bool differences = true;
  DType precision = DType::f32;  ///< the coarsest that numbers pass through on their way

  std::string name() const { return note.empty() ? op : op + ": " + note; }
};

/// All of them, with the same numbers each time. Numbers stay away from kinks, and where a maximum
/// is looked for they are distinct, so that differences do not cross an edge; ties are in
/// autodiff.cpp.
const std::vector<Sample>& samples();

}  // namespace weft
