// Layers as Keras' configs. For io/ alone; users register their own by io/model_files.hpp.
#pragma once

#include <string>

#include "io/keras/fields.hpp"
#include "nn/layer.hpp"

namespace weft::keras {

/// A layer of a class, as its config describes it.
///   throws  UnsupportedError for a class that is not known, naming it, its config and how to
///           register it, and for arguments that are not known; IoError for a config that is no
///           such thing; what the layer's constructor throws
nn::Layer read_layer(const std::string& class_name, const Json& config, Generation from);

struct LayerText {
  std::string module, class_name;
  Json config;
};
/// The other way; `name` is the layer's in its model.
/// Throws UnsupportedError for a type that is not registered, and arguments that no file can hold.
LayerText write_layer(const nn::Layer& layer, const std::string& name, Generation to);

}  // namespace weft::keras
