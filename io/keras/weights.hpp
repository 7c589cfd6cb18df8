// Weights as Keras lays them out in HDF5: the legacy form, a group per layer, and that of Keras 3,
// an object's variables by number. For io/ alone.
#pragma once

#include <string>

#include "io/keras/hdf5.hpp"
#include "nn/model.hpp"

namespace weft::keras {

struct LoadOptions {
  bool by_name = false;        ///< layers of equal names, instead of equal places
  bool skip_mismatch = false;  ///< leave out layers whose weights do not fit
};

// Reading makes the model's weights of what the file has, without making others first. Nothing is
// changed unless all fits. All throw IoError for damaged files, ShapeError for weights that do not
// fit, naming the layer.

/// Legacy: below the root, or below /model_weights.
void write_legacy_weights(nn::Model& model, const NewHdf5Group& to);
void read_legacy_weights(nn::Model& model, const Hdf5Group& root, const LoadOptions& options);

/// Whether a file has the layout of Keras 3, or of 2.12 to 2.15, whose .keras and .weights.h5 are
/// much the same.
bool is_store(const Hdf5Group& root);
/// Keras 3: /layers/dense/vars/0. With what the optimizer keeps, where it keeps something.
void write_store(nn::Model& model, const NewHdf5Group& root);
void read_store(nn::Model& model, const Hdf5Group& root, const LoadOptions& options);

/// What the optimizer keeps, by number in Keras 3's order. Reading returns false, and changes
/// nothing, if it is not there or does not fit. (Keras 3 then warns, and starts anew.) Where an
/// array turns out to be damaged, IoError is thrown when those before it have been replaced.
void write_optimizer(nn::Model& model, const NewHdf5Group& group);
bool read_optimizer(nn::Model& model, const Hdf5Group& group);

}  // namespace weft::keras
