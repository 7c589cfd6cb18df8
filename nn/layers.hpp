// The layers, with Keras' arguments and defaults: those without a default come first, the rest by
// name, Conv2D(32, {3, 3}, {.padding = "same", .activation = "relu"}). Every member can be read
// back.
#pragma once

#include "nn/activation_layers.hpp"
#include "nn/convolutional.hpp"
#include "nn/core.hpp"
#include "nn/dropout.hpp"
#include "nn/merging.hpp"
#include "nn/normalization.hpp"
#include "nn/pooling.hpp"
#include "nn/reshaping.hpp"
