// libhdf5 itself, which writes files: its one lock, its complaints, types of texts. For
// hdf5_write.cpp alone.
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

}  // namespace weft::hdf5
