// libhdf5 itself, as the files hdf5*.cpp share it: its one lock, its complaints, types of texts.
// For them alone.
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "io/keras/hdf5.hpp"

namespace weft::hdf5 {

static_assert(sizeof(hid_t) == sizeof(std::int64_t), "libhdf5 before 1.10");

/// Who holds it may call the library, which is set up by then.
std::recursive_mutex& library();

/// What libhdf5 says of its last error: the innermost message.
std::string complaint();

/// The type of texts of one size, or of any: H5T_VARIABLE.
Hdf5Handle type_of_text(std::size_t size, H5T_cset_t charset);

// A text of any length is kept in a heap of the file, and where it belongs is a reference to it.
// What libhdf5 1.10 does with a damaged one is undefined, so that references are taken as they are,
// by a conversion that converts nothing, and followed by Hdf5Group::read_heap.

constexpr std::size_t reference_size = 16;  // length, 4 bytes; address of the heap, 8; index, 4
Hdf5Handle type_of_reference();

}  // namespace weft::hdf5
