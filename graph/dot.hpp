// Drawings of programs, for Graphviz: `dot -Tsvg program.dot -o program.svg`.
#pragma once

#include <filesystem>
#include <iosfwd>

#include "graph/graph.hpp"

namespace weft {

/// Writes the program in the DOT language: a box per node, an arrow per use, labelled with types.
void write_dot(std::ostream& out, const Program& program);
/// The same for the part of a graph that some values need.
void write_dot(std::ostream& out, const std::vector<Value>& outputs);

}  // namespace weft
