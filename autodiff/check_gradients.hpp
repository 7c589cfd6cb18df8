// A proof by numbers that derivatives are right: for ops, layers and models, ours and yours.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "graph/graph.hpp"

namespace weft {

struct CheckOptions {
  int order = 2;  ///< 1 checks gradients; 2 also the gradients of gradients, and so on
  /// Central differences over +-step. Their error is the sum of a cut-off, about step^2, and of
  /// rounding, about 2e-16 / step: both are near 1e-10 here, where the sum is least. For an input
  /// whose largest element is above 1, the step grows with it.
  double step = 1e-5;
  /// Largest relative error accepted: room for a third derivative 10^4 times the first, and still
  /// far below what any wrong rule gives.
  double tolerance = 1e-6;
  std::uint64_t seed = 1;  ///< of the random directions
};

struct CheckReport {
  double largest_error = 0;     ///< relative, over all comparisons
  std::size_t comparisons = 0;  ///< one per differentiated input and order
};

/// Compares gradients of a function with central differences, in double precision by the reference
/// evaluator. The outputs are projected on a fixed random direction, which makes one number of
/// them; its gradient by each input is projected on another and compared. For order 2 the sum of
/// those projected gradients is the next function. The cost does not grow with the number of
/// elements.
///   function  builds graph from its inputs; called once
///   inputs    where to check, away from kinks; f32 ones are differentiated, others are only passed
///   throws    GradientError naming the input, the order and both numbers where they differ by more
///             than the tolerance; ArgumentError for an order or a step that is not positive;
///             TypeError if no input is f32 or no output floating; what the function and gradients
///             throw
CheckReport check_gradients(const std::function<Value(const std::vector<Value>&)>& function,
                            const std::vector<Tensor>& inputs, const CheckOptions& options = {});

/// The same for a function of several outputs. Integer outputs are ignored.
CheckReport check_gradients(
    const std::function<std::vector<Value>(const std::vector<Value>&)>& function,
    const std::vector<Tensor>& inputs, const CheckOptions& options = {});

}  // namespace weft
