// Pictures: PNG and JPEG files, their sizes, and sheets of small images.
#pragma once

#include <cstdint>
#include <filesystem>

#include "graph/tensor.hpp"

namespace weft {

/// A PNG file, of any depth and kind, as bytes.
///   channels  1 for grey, 3 for red, green and blue, or 0 for what the file has; what is
///             transparent is seen before white
///   returns   u8[H,W,channels]
///   throws    ArgumentError for other channels; IoError for a file that is missing, is no PNG, is
///             damaged, or holds more than 2^28 pixels
Tensor read_png(const std::filesystem::path& file, int channels = 0);

/// A JPEG file, as read_png() a PNG file; colours of 4 inks are refused. A photo is turned as its
/// EXIF data say that the camera was held (Keras' loaders leave it lying).
Tensor read_jpeg(const std::filesystem::path& file, int channels = 0);

/// A file of either kind: the content says which, not the name. Throws as they do.
Tensor read_image(const std::filesystem::path& file, int channels = 0);

/// A picture in another size. Between the centres of pixels, which keep their relative places,
/// numbers are interpolated linearly, as Keras' `bilinear` does it.
///   image   u8[H,W,C]
///   returns f32[height,width,C], of numbers from 0 to 255
///   throws  ShapeError or TypeError for another tensor; ArgumentError for a size below 1
Tensor resized(const Tensor& image, std::int64_t height, std::int64_t width);

/// Writes a picture as PNG, atomically.
///   image   u8[H,W], u8[H,W,1] or u8[H,W,3]; or f32 of such a shape, 0 for black and 1 for white
///   throws  ShapeError or TypeError for another tensor, IoError if the file cannot be written
void write_png(const std::filesystem::path& file, const Tensor& image);

/// Small images side by side, row after row, as one picture.
///   images   u8 or f32 [N,H,W], [N,H,W,1] or [N,H,W,3], as for write_png
///   columns  how many stand in a row
///   gap      white pixels between them
///   returns  u8[H',W',C]
///   throws   ShapeError or TypeError for another tensor; ArgumentError for columns < 1 or gap < 0
Tensor sheet(const Tensor& images, std::int64_t columns, std::int64_t gap = 2);

}  // namespace weft
