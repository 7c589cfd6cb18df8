// How a model is compiled, and what its optimizer keeps, as Keras' files have it. For io/ alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/keras/fields.hpp"
#include "io/keras/hdf5.hpp"
#include "nn/model.hpp"

namespace weft::keras {

/// What compile() is to be given: training_config of an .h5, or compile_config of a .keras. Nothing
/// if there is no optimizer or no loss. Throws UnsupportedError for what Weft does not have,
/// IoError for what is no such thing.
std::optional<nn::TrainOptions> read_training(const Json& training, const nn::Model& model);
/// The other way. Throws UnsupportedError for functions of the program's.
Json write_training(const nn::TrainOptions& options, const nn::Model& model, Generation to);

/// What an optimizer keeps, in the order of Keras 3.
struct Kept {
  std::string name;  ///< in the model's variables(); empty for what Keras keeps, and does not use
  Shape shape;
  std::string slot;       ///< "momentum"
  std::string parameter;  ///< "dense/kernel"; empty for a number that all share
};
std::vector<Kept> kept_by_optimizer(nn::Model& model);

/// What Keras 1 and 2 kept of an optimizer, in any of their orders. Returns false, and changes
/// nothing, if it does not fit.
bool read_legacy_optimizer(nn::Model& model, const Hdf5Group& group);

}  // namespace weft::keras
