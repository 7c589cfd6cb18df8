// IDX, the format of MNIST: a tensor behind a header of a few bytes, plain or compressed by gzip.
#pragma once

#include <filesystem>

#include "graph/tensor.hpp"

namespace weft {

/// The tensor in an IDX file. Whether it is compressed is seen from its content, not its name.
///   returns  u8, s8, s32 or f32, of 1 to 8 axes
///   throws   IoError for a file that is missing, is not IDX, holds elements of another type, or
///            has fewer or more bytes than its header says; memory is taken only for bytes that are
///            there
///   see      http://yann.lecun.com/exdb/mnist/, "The IDX file format"
Tensor read_idx(const std::filesystem::path& file);

/// Writes a tensor as IDX, uncompressed and atomically (io/atomic_file.hpp).
///   tensor   u8, s8, s32 or f32, of 1 to 8 axes, each below 2^32
///   throws   TypeError or ShapeError for other tensors, IoError if the file cannot be written
void write_idx(const std::filesystem::path& file, const Tensor& tensor);

/// MNIST, or a set of its form: bytes, as on the disk.
struct Mnist {
  Tensor train_images;  ///< u8[60000,28,28]
  Tensor train_labels;  ///< u8[60000], 0 to 9
  Tensor test_images;   ///< u8[10000,28,28]
  Tensor test_labels;   ///< u8[10000]
};

/// Reads the four files of MNIST, each under its usual name: train-images-idx3-ubyte or
/// train-images.idx3-ubyte, with or without .gz.
///   throws   IoError if one is missing or damaged, if there are not as many labels as images, if a
///            label is above 9, or if test images are not as large as train images
Mnist load_mnist(const std::filesystem::path& folder);

}  // namespace weft
