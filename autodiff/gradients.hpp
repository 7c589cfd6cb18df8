// Reverse-mode differentiation, graph to graph.
#pragma once

#include <vector>

#include "graph/graph.hpp"

namespace weft {

/// Gradients of y with respect to each of wrt, appended to y's graph. Any order: the result is
/// graph again.
///   y        one element, floating
///   returns  one Value per wrt, of its type; zeros where y does not depend on it
///   throws   ShapeError or TypeError if y is not one floating element; GradientError naming the
///            first op on a path from y to wrt that has no derivative
std::vector<Value> gradients(Value y, const std::vector<Value>& wrt);

/// Vector-Jacobian product: sum over i of seeds[i] . d ys[i] / d wrt.
///   seeds    one per ys, of its type; an empty Value is zero
std::vector<Value> gradients(const std::vector<Value>& ys, const std::vector<Value>& wrt,
                             const std::vector<Value>& seeds);

}  // namespace weft
