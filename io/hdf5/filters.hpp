// What chunks of an array are unpacked with. For io/ alone.
#pragma once

#include <cstdint>
#include <vector>

#include "io/hdf5/bytes.hpp"

namespace weft::hdf5 {

/// Unpacks what zlib packed, which must make exactly `size` bytes.
std::vector<std::byte> inflated(Bytes packed, std::uint64_t size);

/// The bytes before a checksum. Throws Damaged if it is wrong.
std::vector<std::byte> without_fletcher32(std::vector<std::byte> bytes);

/// Elements from the first bytes of all of them, then the second ones, and so on.
std::vector<std::byte> unshuffled(const std::vector<std::byte>& bytes, std::size_t element);

}  // namespace weft::hdf5
