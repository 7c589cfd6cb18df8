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

/// A layer as it stands in a file, and where its weights are in the model.
struct FileLayer {
  std::string name;
  nn::Layer layer;
  std::string path;  ///< "tower/conv2d/"
};

/// What of a model stands in a file. Keras 2 and 3 count the calls of a model within a model
/// differently, so that an .h5 that both read cannot have one, unless all are Sequential: its
/// layers become layers of the outer model, "tower_conv2d".
struct FileNetwork {
  nn::Network network;
  std::vector<FileLayer> layers;  ///< in the network's order
};
FileNetwork file_network(const nn::Model& model, Generation to);

/// {"class_name": ..., "config": ...}; for Keras 3 with the module. There is no
/// build_config, which Keras 3 needs for models without an InputLayer: all here have one.
Json write_model(nn::Model& model, const FileNetwork& network, Generation to);

}  // namespace weft::keras
