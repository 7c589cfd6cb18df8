// Reading text attributes: of one size, where libhdf5 does it, and of any length, from the heaps of
// the file, where it does not doubt enough.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <unordered_map>

#include "graph/error.hpp"
#include "io/keras/hdf5_library.hpp"

namespace weft {
namespace {

using namespace hdf5;

/// A little-endian number.
std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = size; i-- > 0;) {
    number = number << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
  }
  return number;
}

/// One of the heaps: "GCOL", a version, its size; then objects, each an index, a count of
/// references, a size, and its bytes, up to one of index 0.
class Heap {
 public:
  static constexpr std::size_t header = 16;
  explicit Heap(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {
    for (std::size_t at = header; at + header <= bytes_.size();) {
      const std::uint64_t index = number_at(bytes_, at, 2), size = number_at(bytes_, at + 8, 8);
      at += header;
      if (index == 0 || size > bytes_.size() - at) break;
      objects_.emplace(index, std::span(bytes_).subspan(at, size));
      at += std::min<std::size_t>((size + 7) / 8 * 8, bytes_.size() - at);
    }
  }
  /// Nothing if there is none, or it is shorter.
  std::optional<std::string> text(std::uint64_t index, std::uint64_t length) const {
    const auto found = objects_.find(index);
    if (found == objects_.end() || found->second.size() < length) return std::nullopt;
    const char* first = reinterpret_cast<const char*>(found->second.data());
    return std::string(first, ::strnlen(first, length));
  }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
  std::unordered_map<std::uint64_t, std::span<const std::byte>> objects_;
};

/// Trailing NULs, and blanks, are padding.
std::string unpadded(const char* text, std::size_t size) {
  std::string result(text, ::strnlen(text, size));
  while (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

}  // namespace

bool Hdf5Group::has_attribute(const std::string& name) const {
  const htri_t exists = H5Aexists(*handle_, name.c_str());
  if (exists < 0) refuse("", fmt::format("attribute \"{}\": {}", name, complaint()));
  return exists > 0;
}

std::vector<std::string> Hdf5Group::read_heap(std::int64_t attribute, std::size_t count) const {
  const Hdf5Handle memory = type_of_reference();
  std::vector<std::byte> references(count * reference_size);
  if (H5Aread(attribute, *memory, references.data()) < 0) refuse("", complaint());
  std::ifstream in;
  if (file_->memory.empty()) in.open(file_->name, std::ios::binary);
  const auto bytes = [&](std::uint64_t address, std::uint64_t size) {
    const std::uint64_t room = file_->size - std::min(file_->begin, file_->size);
    if (address > room || size > room - address) {
      refuse("", "a text lies beyond the end of the file");
    }
    std::vector<std::byte> result(size);
    const std::uint64_t at = file_->begin + address;
    if (!file_->memory.empty()) {
      std::ranges::copy(file_->memory.subspan(at, size), result.begin());
    } else if (!in.seekg(static_cast<std::streamoff>(at)) ||
               !in.read(reinterpret_cast<char*>(result.data()),
                        static_cast<std::streamsize>(size))) {
      refuse("", "a text cannot be read");
    }
    return result;
  };
  std::unordered_map<std::uint64_t, Heap> heaps;
  std::uint64_t read = 0, length_of_all = 0;  // no heap overlaps another, and no text
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = i * reference_size;
    const std::uint64_t length = number_at(references, at, 4),
                        address = number_at(references, at + 4, 8),
                        index = number_at(references, at + 12, 4);
    if (length == 0 || address == 0) {
      texts.emplace_back();
      continue;
    }
    auto heap = heaps.find(address);
    if (heap == heaps.end()) {
      const std::vector<std::byte> start = bytes(address, Heap::header);
      const bool is_heap = std::memcmp(start.data(), "GCOL\1", 5) == 0;
      const std::uint64_t size = number_at(start, 8, 8);
      if (!is_heap || size < Heap::header || size > file_->size - read) {
        refuse("", "where a text should be there is something else");
      }
      read += size;
      heap = heaps.emplace(address, Heap(bytes(address, size))).first;
    }
    length_of_all += length;
    auto text = heap->second.text(index, length);
    if (!text || length_of_all > file_->size) refuse("", "a text is not there, or not all of it");
    texts.push_back(std::move(*text));
  }
  return texts;
}

std::vector<std::string> Hdf5Group::read_texts(const std::string& name, bool scalar) const {
  const auto bad = [&](const std::string& what) {
    refuse("", fmt::format("attribute \"{}\": {}", name, what));
  };
  const Hdf5Handle attribute(H5Aopen(*handle_, name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute) bad(complaint());
  const Hdf5Handle type(H5Aget_type(*attribute), H5Tclose);
  const Hdf5Handle space(H5Aget_space(*attribute), H5Sclose);
  if (!type || !space) bad(complaint());
  const hssize_t points = H5Sget_simple_extent_npoints(*space);
  if (points < 0) bad(complaint());
  if (scalar && points != 1) bad(fmt::format("it must be one text, but it has {}", points));
  if (points == 0) return {};
  const auto count = static_cast<std::uint64_t>(points);
  if (H5Tget_class(*type) != H5T_STRING) bad("it is no text");
  const htri_t variable = H5Tis_variable_str(*type);
  if (variable < 0) bad(complaint());
  if (variable > 0) {
    if (count > file_->size / reference_size) bad("it claims more texts than can be");
    return read_heap(*attribute, count);
  }
  const std::size_t size = H5Tget_size(*type);
  if (size == 0 || count > file_->size / size) bad("it claims more text than the file has");
  std::vector<std::string> texts;
  std::vector<char> bytes(size * count);
  const Hdf5Handle memory = type_of_text(size, H5Tget_cset(*type));
  if (H5Aread(*attribute, *memory, bytes.data()) < 0) bad(complaint());
  for (std::size_t i = 0; i < count; ++i) texts.push_back(unpadded(&bytes[i * size], size));
  return texts;
}

std::optional<std::string> Hdf5Group::text(const std::string& name) const {
  if (!has_attribute(name)) return std::nullopt;
  return read_texts(name, true)[0];
}

std::vector<std::string> Hdf5Group::texts(const std::string& name) const {
  if (has_attribute(name)) return read_texts(name, false);
  std::vector<std::string> all;
  for (std::size_t chunk = 0;; ++chunk) {
    const std::string part = name + std::to_string(chunk);
    if (!has_attribute(part)) return all;
    const std::vector<std::string> some = read_texts(part, false);
    all.insert(all.end(), some.begin(), some.end());
  }
}

}  // namespace weft
