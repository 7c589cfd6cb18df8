// Models as Keras' configs: their layers and how these are connected. For io/ alone.
#pragma once

#include <string>
#include <vector>

#include "io/keras/fields.hpp"
#include "nn/model.hpp"

namespace weft::keras {

/// The model that {"class_name": "Sequential" or "Functional", "config": ...} describes, without
/// weights.
///   throws  IoError for what is no such thing, calls that wait for one another, and inputs without
///           a size; UnsupportedError for layers and settings that are not known
nn::Model read_model(const Json& model, Generation from, int levels = 0);

/// {"class_name": ..., "config": ...}; for Keras 3 with the module. There is no
/// build_config, which Keras 3 needs for models without an InputLayer: all here have one.
Json write_model(nn::Model& model, Generation to);

/// The layers of a network and of all models in it, in the order of a network without models. So
/// Weft once wrote them to an .h5.
std::vector<nn::Network::Member> flat_layers(const nn::Network& network);

}  // namespace weft::keras
