// Softmax and the losses that are computed with it.
#pragma once

#include "graph/value.hpp"

namespace weft {

// Each throws ShapeError if there is no such axis, or nothing along it.

/// e^x / sum e^x along an axis, shifted by the maximum so that nothing overflows.
Value softmax(Value x, int axis = -1);

/// log(softmax(x)), accurate where softmax underflows.
Value log_softmax(Value x, int axis = -1);

/// The point of the probability simplex that is nearest to x along an axis: max(x - t, 0) with the
/// t that makes the sum 1, so that small x become 0. Where an x is t itself, its derivative is 0.
/// See Martins and Astudillo, "From softmax to sparsemax: a sparse model of attention and
/// multi-label classification", 2016.
Value sparsemax(Value x, int axis = -1);

/// Cross-entropy between target distributions and softmax(logits), along the last axis.
///   logits   f32[...,K]
///   targets  f32[...,K], usually one-hot
///   returns  f32[...]: -sum over k of targets * log_softmax(logits); not averaged
Value softmax_cross_entropy(Value logits, Value targets);

}  // namespace weft
