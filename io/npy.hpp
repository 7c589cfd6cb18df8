// NPY, NumPy's format for one array.
#pragma once

#include <filesystem>

#include "graph/tensor.hpp"

namespace weft {

/// The array in an NPY file of format 1.0, 2.0 or 3.0, in either byte order, of either memory
/// order.
///   returns  f32 for float32 and float64, s32 for int32 and int64, s8 for int8, u8 for uint8 and
///            for bool (0 or 1)
///   throws   IoError for a file that is missing or damaged, that has fewer or more bytes than its
///            header says, that holds elements of another type (Python objects, records, complex
///            numbers, ...), or a number that does not fit the type above; memory is taken only for
///            bytes that are there
///   see      https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
Tensor read_npy(const std::filesystem::path& file);

/// Writes a tensor as NPY, format 1.0, atomically (io/atomic_file.hpp).
///   throws   TypeError for bf16, which NumPy does not know; ArgumentError for a tensor without
///            memory; IoError if the file cannot be written
void write_npy(const std::filesystem::path& file, const Tensor& tensor);

}  // namespace weft
