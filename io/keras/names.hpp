// Names of layers in files. For io/ alone.
#pragma once

#include <string>
#include <string_view>

#include "nn/network.hpp"

namespace weft::keras {

/// A name that every Keras takes: TensorFlow allows letters and digits of ASCII and "_.\>-", and
/// begins with a letter, a digit or a dot; Keras 3 allows no "/", which in an .h5 would also be a
/// path. Other characters become "_"; a first one that may not be first gets "layer" before it.
std::string file_name(std::string_view name);

/// The same network, but for the names of inputs and layers: as file_name() makes them, unique, and
/// not that of a group which an .h5 has beside the layers'. Models in it keep theirs.
nn::Network with_file_names(nn::Network network);

/// What a file can call a model: "Sequential", if it was one and each of its layers is called once,
/// on what the one before it made; else "Functional".
std::string file_type(const std::string& type, const nn::Network& network);

}  // namespace weft::keras
