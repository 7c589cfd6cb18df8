// Optimizers, and what they keep, as Keras' files have them. For io/ alone.
#pragma once

#include <string>
#include <vector>

#include "io/keras/fields.hpp"
#include "io/keras/hdf5.hpp"
#include "nn/model.hpp"

namespace weft::keras {

/// An optimizer by its name, or as an object. Throws UnsupportedError for what Weft does not have,
/// IoError for what is no such thing.
nn::Optimizer read_optimizer_config(const Json& value);
/// The other way. Throws UnsupportedError for types of the program's.
Json write_optimizer_config(const nn::Optimizer& optimizer, Generation to);

/// What an optimizer keeps, in the order of Keras 3.
struct Kept {
  std::string name;  ///< in the model's variables(); empty for what Keras keeps, and does not use
  Shape shape;
  std::string slot;       ///< "momentum"
  std::string parameter;  ///< "dense/kernel"; empty for a number that all share
};
/// In Keras 3's order.
std::vector<Kept> kept_by_optimizer(nn::Model& model);

/// An optimizer's count of steps, as the model holds it. Files hold 64 bits; what is beyond s32 is
/// held at its end.
Tensor count_of_steps(std::int64_t stored);

/// What Keras 1 and 2 kept of an optimizer, in any of their orders. Returns false, and changes
/// nothing, if it does not fit.
bool read_legacy_optimizer(nn::Model& model, const Hdf5Group& group);

}  // namespace weft::keras
