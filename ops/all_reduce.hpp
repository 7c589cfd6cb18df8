// Where replicas meet.
#pragma once

#include "graph/value.hpp"

namespace weft {

/// The sum of x over all replicas of the program (CompileOptions::replicas); x itself where there
/// is one. What follows from it alone is equal in all replicas.
///   x        f32 of any shape, the same in all replicas
///   returns  x's type
/// The derivative is that of the sum of the replicas' results: gradients of a loss that each
/// replica computes of its own slice are made whole by all_reduce again.
Value all_reduce(Value x);

/// The sum of the squares of x, which is equal in all replicas: each sums up its own range of the
/// elements, in whatever order they lie.
///   x        f32 of any shape
///   returns  f32[]
/// Where x differs between replicas, compile throws CompileError.
Value sum_of_squares(Value x);

/// True if x is equal in all replicas whatever their slices hold: it follows from variables,
/// constants, scalar inputs and sums over all replicas alone.
bool is_uniform(Value x);

}  // namespace weft
