// A region of elementwise ops as one loop over blocks that stay in the cache.
#pragma once

#include <vector>

#include "runtime/lowering.hpp"

namespace weft {

/// One op of a region. Arguments count the region's inputs first, then the results of earlier ops.
struct RegionOp {
  Op op;
  std::vector<std::uint32_t> arguments;
  friend bool operator==(const RegionOp&, const RegionOp&) = default;
};

/// Ops that are all `elementwise`, over f32 inputs of one shape, of one number per channel (the
/// last axis), or of one element.
struct Region {
  std::size_t input_count = 0;
  std::vector<RegionOp> code;
  std::vector<std::uint32_t> outputs;  ///< which ops' results leave the region
  friend bool operator==(const Region&, const Region&) = default;

  // These bound the stack that a step needs.
  static constexpr std::size_t max_ops = 64;
  static constexpr std::size_t max_inputs = 64;
  static constexpr std::size_t max_singles = 24;   ///< inputs of one element
  static constexpr std::size_t max_channels = 16;  ///< inputs of one number per channel
};

/// Emits the region as one step of the node being lowered. The layout is that of the first input
/// that has settled on one (and tells where the channels are, if an input or padding needs that),
/// row-major else; every output may lie over an input of its size.
void lower_region(Lowering& lowering, const Region& region);

/// The same for a node that is one elementwise op.
void lower_elementwise(Lowering& lowering, const Op& op);

}  // namespace weft
