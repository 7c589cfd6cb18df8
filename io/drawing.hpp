// Drawings as files. Pictures are made by Graphviz' program `dot`, which must be installed for them
// (Debian: graphviz); the DOT language itself needs nothing.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "graph/graph.hpp"

namespace weft {

/// Writes a drawing in the DOT language as the file's ending says, atomically: .svg, .png or .pdf,
/// or .dot or .gv for the text itself.
///   throws  ArgumentError for another ending; IoError if `dot` is not there or refuses, with what
///           it said, or the file cannot be written
void write_drawing(const std::filesystem::path& file, const std::string& dot);

/// Draws what the values are made of: a box per op, an arrow per use. Throws as write_drawing.
void draw(const std::vector<Value>& outputs, const std::filesystem::path& file);

// nn::Model::draw and draw_training_step are defined here, too.

}  // namespace weft
