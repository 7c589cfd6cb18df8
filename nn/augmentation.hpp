// Augmentation: images turned, shifted, flipped, ... at random, so that a model sees each a little
// otherwise in every epoch.
#pragma once

#include "graph/shape.hpp"
#include "nn/source.hpp"

namespace weft::nn {

/// By how much, as Keras' RandomRotation, RandomTranslation, RandomZoom, RandomFlip,
/// RandomBrightness and RandomContrast say it; nothing by default.
struct Augmentation {
  double rotation = 0;      ///< at most so much of a full circle, either way
  double height_shift = 0;  ///< at most so much of the height, either way
  double width_shift = 0;   ///< at most so much of the width, either way
  double zoom = 0;          ///< larger or smaller by at most so much, 0.1: 10 %
  bool horizontal_flip = false, vertical_flip = false;  ///< half of all images
  double brightness = 0;    ///< plus at most so much of value_range, either way
  double contrast = 0;      ///< differences from the mean times 1 - contrast to 1 + contrast
  float fill = 0;           ///< what comes in from outside of the image
  float value_range = 255;  ///< numbers are kept between 0 and this, where they are changed
};

/// The map of a row of x that does so, for Column::mapped and Dataset::mapped. Pixels between
/// others are interpolated linearly.
///   row_shape  [H,W] or [H,W,C]
///   throws     ShapeError for another; ArgumentError for numbers below 0, a zoom or contrast of 1
///              or more, a value_range that is not positive
MapRow augment(const Augmentation& augmentation, const Shape& row_shape);

}  // namespace weft::nn
