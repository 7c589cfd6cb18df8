// Losses and metrics as Keras' files have them. For io/ alone.
#pragma once

#include "io/keras/fields.hpp"
#include "nn/losses.hpp"
#include "nn/metrics.hpp"

namespace weft::keras {

// By name, or as an object. Reading throws UnsupportedError for what Weft does not have, IoError
// for what is no such thing; writing UnsupportedError for a function of the program's.

nn::Loss read_loss(const Json& value);  ///< none of null
/// By name where all is as by default, since older Keras read that; else as an object.
Json write_loss(const nn::Loss& loss, Generation to);

/// A metric by its name, as a class, or as Keras' wrapper of a function.
nn::Metric read_metric(const Json& value);
Json write_metric(const nn::Metric& metric);

}  // namespace weft::keras
