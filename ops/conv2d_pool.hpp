// Convolution and max-pooling in one, for images of few channels: the first layers of a network.
// No one writes these ops; the pass `join` finds them.
#pragma once

#include <optional>
#include <span>

#include "graph/op.hpp"
#include "ops/pool2d.hpp"

namespace weft {

/// max_pool2d(conv2d(x, kernel) [+ bias]) as one op, if `pooled` is such a value, needed for the
/// pooling alone, and of a kind that the joint loops are made for: a 3x3 or 5x5 kernel moved by
/// one, windows of 2x2 that do not overlap, few channels, and a multiple of 8 filters.
std::optional<Joined> join_conv2d_max_pool2d(Value pooled, const Pool2dOptions& pool,
                                             const OnlyHere& only_here);

/// conv2d_kernel_grad(x, max_pool2d_grad(index, dy)) likewise, together with the gradient of an
/// activation behind the pooling.
std::optional<Joined> join_conv2d_kernel_grad(Value x, Value dy, std::array<std::int64_t, 2> kernel,
                                              const Conv2dOptions& options,
                                              const OnlyHere& only_here);

}  // namespace weft
