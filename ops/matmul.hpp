// Matrix product, batched, with either operand transposed on the fly.
#pragma once

#include "graph/value.hpp"

namespace weft {

struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;  ///< the last two axes, read the other way round
  friend bool operator==(const MatmulOptions&, const MatmulOptions&) = default;
};

/// a times b over the last two axes; leading axes are batches and broadcast.
///   a        f32[...,M,K], or f32[...,K,M] for transpose_a
///   b        f32[...,K,N], or f32[...,N,K] for transpose_b
///   returns  f32[...,M,N]
///   throws   ShapeError for ranks below 2, inner sizes that differ, batches that do not broadcast
Value matmul(Value a, Value b, const MatmulOptions& options = {});

}  // namespace weft
