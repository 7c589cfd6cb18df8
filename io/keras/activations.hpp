// Activations that Weft has as layers only. For io/ alone.
#pragma once

#include <string>
#include <vector>

#include "io/keras/fields.hpp"

namespace weft::keras {

/// A layer as a class and its config.
struct PlainLayer {
  std::string class_name;
  Json config;
};

/// A layer as those that do the same in turn. That is the layer itself, unless its activation is
///   a layer, as in Dense(3, activation=LeakyReLU(0.2)): then the layer without it, and that layer;
///   hard_sigmoid of Keras 2, which is clip(x / 5 + 0.5, 0, 1): then the layer without it, a
///   Rescaling and a ReLU.
/// Those that follow have no name yet.
std::vector<PlainLayer> without_odd_activation(const std::string& class_name, const Json& config,
                                               Generation from);

}  // namespace weft::keras
