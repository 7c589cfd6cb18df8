// How a model is compiled, as Keras' files have it. For io/ alone.
#pragma once

#include <optional>

#include "io/keras/fields.hpp"
#include "nn/model.hpp"

namespace weft::keras {

/// What compile() is to be given: training_config of an .h5, or compile_config of a .keras. Nothing
/// if there is no optimizer or no loss. Throws UnsupportedError for what Weft does not have,
/// IoError for what is no such thing.
std::optional<nn::TrainOptions> read_training(const Json& training, const nn::Model& model);
/// The other way. Throws UnsupportedError for functions of the program's.
Json write_training(const nn::TrainOptions& options, const nn::Model& model, Generation to);

}  // namespace weft::keras
