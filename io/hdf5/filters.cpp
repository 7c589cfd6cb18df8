#include "io/hdf5/filters.hpp"

#include <zlib.h>

#include <algorithm>

namespace weft::hdf5 {
namespace {

// What a byte can unpack into at most (zlib's documentation, "Maximum Compression Factor").
constexpr std::uint64_t most_of_a_byte = 1032;

/// Fletcher's checksum over 16-bit words, the first byte of each the high one.
std::uint32_t fletcher32(Bytes bytes) {
  std::uint64_t low = 0, high = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const auto first = std::to_integer<std::uint64_t>(bytes[i]);
    const auto second = i + 1 < bytes.size() ? std::to_integer<std::uint64_t>(bytes[i + 1]) : 0;
    low = (low + (first << 8 | second)) % 65535;
    high = (high + low) % 65535;
  }
  return static_cast<std::uint32_t>(high << 16 | low);
}

}  // namespace

std::vector<std::byte> inflated(Bytes packed, std::uint64_t size) {
  if (size / most_of_a_byte > packed.size())
    damaged("a chunk of it is too short for what it holds");
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  uLongf written = size;
  uLong read = packed.size();
  const int code = uncompress2(reinterpret_cast<Bytef*>(bytes.data()), &written,
                               reinterpret_cast<const Bytef*>(packed.data()), &read);
  if (code != Z_OK || written != size) damaged("a chunk of it cannot be unpacked: it is damaged");
  return bytes;
}

std::vector<std::byte> without_fletcher32(std::vector<std::byte> bytes) {
  if (bytes.size() < 4) damaged("a chunk of it has no checksum");
  const std::size_t size = bytes.size() - 4;
  Cursor stored(Bytes(bytes).subspan(size), "a checksum");
  const std::uint32_t expected = stored.u32(), sum = fletcher32(Bytes(bytes).first(size));
  // A sum of 65535 stands for 0, and the other way round.
  const auto same = [](std::uint32_t a, std::uint32_t b) { return a % 65535 == b % 65535; };
  if (!same(expected & 0xffff, sum & 0xffff) || !same(expected >> 16, sum >> 16)) {
    damaged("the checksum of a chunk of it is wrong");
  }
  bytes.resize(size);
  return bytes;
}

std::vector<std::byte> unshuffled(const std::vector<std::byte>& bytes, std::size_t element) {
  if (element <= 1 || bytes.size() < element) return bytes;
  const std::size_t count = bytes.size() / element;
  std::vector<std::byte> result = bytes;  // with what is left at the end
  for (std::size_t byte = 0; byte < element; ++byte) {
    for (std::size_t i = 0; i < count; ++i) result[i * element + byte] = bytes[byte * count + i];
  }
  return result;
}

}  // namespace weft::hdf5
