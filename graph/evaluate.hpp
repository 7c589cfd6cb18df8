// The meaning of a graph, in double precision: slow, plain, and what tests compare with.
#pragma once

#include <string>
#include <unordered_map>

#include "graph/graph.hpp"

namespace weft {

/// Computes values by the ops' own `evaluate`, or their `decompose` where they have none.
///   feeds    the numbers of inputs and variables, by name
///   throws   Error if one that is needed is not in feeds, ShapeError if it has another shape
std::vector<Array> evaluate(const std::vector<Value>& outputs,
                            const std::unordered_map<std::string, Array>& feeds);

/// One op on given numbers.
std::vector<Array> evaluate(const Op& op, std::span<const Type> types,
                            std::span<const Array> inputs);

}  // namespace weft
