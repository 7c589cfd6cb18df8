// Pages drawn by PLplot, of which only plplot.cpp knows. It is one for the whole process: one page
// is drawn at a time, however many threads ask for it. Throws IoError if PLplot's drivers are not
// installed, or it fails.
#pragma once

#include <string>
#include <vector>

#include "io/canvas.hpp"

namespace weft {

/// PLplot knows no images that keep their pixels: they are laid over what it drew.
struct PlacedImage {
  Box box;
  Tensor image;
};

/// Over a picture u8[H,W,3] that is there.
std::vector<PlacedImage> draw_pixels(Tensor& picture, const Drawing& draw);
std::vector<PlacedImage> draw_svg(std::string& svg, int width, int height, const Drawing& draw);

}  // namespace weft
