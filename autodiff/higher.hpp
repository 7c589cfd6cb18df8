// Derivatives made of gradients: forward mode, products with the Hessian, the whole Jacobian.
#pragma once

#include <vector>

#include "graph/graph.hpp"

namespace weft {

/// Jacobian-vector product: how ys change when each wrt moves along its tangent. Two vjps give it:
/// the vjp is linear in its seeds, and its own derivative by them is the jvp.
///   tangents  one per wrt, of its type; an empty Value is zero
///   returns   one Value per y, of its type
///   throws    what gradients throws
std::vector<Value> jvp(const std::vector<Value>& ys, const std::vector<Value>& wrt,
                       const std::vector<Value>& tangents);

/// Hessian-vector product: the derivative of y's gradient along `vectors`, without the Hessian.
///   y        one element, floating
///   vectors  one per wrt, of its type; an empty Value is zero
///   returns  one Value per wrt, of its type
///   throws   what gradients throws
std::vector<Value> hvp(Value y, const std::vector<Value>& wrt, const std::vector<Value>& vectors);

/// Every partial derivative of y by wrt, one vjp per element of y: for small graphs.
///   returns  y's dtype, y's axes followed by those of wrt (8 at most)
///   throws   what gradients throws; ShapeError if y has no elements
Value jacobian(Value y, Value wrt);

}  // namespace weft
