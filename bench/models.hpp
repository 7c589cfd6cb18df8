// The networks that are measured here and with peers.
#pragma once

#include <string>
#include <vector>

#include "nn/nn.hpp"

namespace weft::bench {

/// 28x28x1: Conv2D 32 3x3 same relu, max-pool 2, dense 16 relu, dense 10 softmax.
nn::Model tutorial();

/// 32x32x3: pairs of 3x3 convolutions of 64, 128 and 256 channels, each with relu, a 2x2 max-pool
/// behind each pair, dense 256 relu, dense 10 softmax.
nn::Model vgg();

/// 32x32x3: the residual network of 18 layers in its form for small images. A 3x3 convolution of
/// 64; four stages of two blocks, of 64, 128, 256 and 512 channels, where those behind the first
/// begin with a stride of 2; the mean over the image; dense 10 softmax. Each convolution is
/// normalised. See He et al., "Deep residual learning for image recognition", 2016.
nn::Model resnet18();

/// What network() knows.
const std::vector<std::string>& model_names();

struct Network {
  nn::Model model;  ///< compiled with Adam and categorical cross-entropy
  Shape input;      ///< of one image
};
/// Throws ArgumentError for an unknown name.
Network network(const std::string& name);

}  // namespace weft::bench
