// A drawn or photographed digit as MNIST shows its digits.
#pragma once

#include "graph/tensor.hpp"

namespace weft {

/// A picture of one digit in the form of MNIST's images: bright on black, scaled so that it fills a
/// box of 20x20 one way, and moved by whole pixels so that its centre of mass is at pixel (14, 14)
/// of 28x28 (LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998). The
/// picture may be dark on light, unevenly lit, partly in a shadow, ruled and noisy, and something
/// else may lie at its edge; a pen much thinner than MNIST's is made thicker.
///   grey     u8[H,W] or u8[H,W,1], of any size
///   returns  u8[28,28,1]; black where there is nothing to see
///   throws   ShapeError or TypeError for another tensor
Tensor as_mnist_digit(const Tensor& grey);

}  // namespace weft
