// Batch normalisation: the moments of a batch, and x normalised by moments.
#pragma once

#include "graph/value.hpp"

namespace weft {

/// One number per channel.
struct Moments {
  Value mean, variance;
};

/// Mean and biased variance over all axes but the last, of the whole batch.
///   x        f32[...,C]: where replicas share the batch, the slice of one of them
///   share    what part of the batch the slice is: rows of the slice / rows of the batch
///   returns  f32[C] each, equal in all replicas
///   throws   ShapeError unless x has at least two axes, and elements; ArgumentError unless
///            0 < share <= 1
///   costs    one pass over x, and for share < 1 two meetings of the replicas, which also give
///            their gradients in one more
Moments batch_moments(Value x, float share = 1);

/// gamma * (x - mean) / sqrt(variance + epsilon) + beta, along the last axis.
///   x                             f32[...,C]
///   mean, variance, gamma, beta   f32[C]
///   throws   ShapeError for other shapes; ArgumentError unless epsilon >= 0
///   see      Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
///            reducing internal covariate shift", 2015
Value batch_norm(Value x, Value mean, Value variance, Value gamma, Value beta,
                 float epsilon = 1e-3f);

}  // namespace weft
