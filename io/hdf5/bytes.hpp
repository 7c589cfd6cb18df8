// Bytes of an HDF5 file: where they lie, and a cursor that reads numbers from them. Every read is
// checked against the end. Names follow the "HDF5 File Format Specification Version 3.0" of The
// HDF Group; "section" in comments of this folder is a section of it. For io/ alone.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weft::hdf5 {

/// The file is damaged, or holds something that is not read. The message names no file:
/// Hdf5Group adds file and place, and throws an IoError.
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void damaged(fmt::format_string<Args...> format, Args&&... args) {
  throw Damaged(fmt::format(format, std::forward<Args>(args)...));
}

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t undefined = ~std::uint64_t{0};  ///< the address of what is not there

/// a * b; throws Damaged if that needs more than 62 bits.
std::uint64_t times(std::uint64_t a, std::uint64_t b);

/// Reads little-endian numbers one after another.
class Cursor {
 public:
  /// `what` is a name for messages, "a B-tree node".
  Cursor(Bytes bytes, const char* what) : bytes_(bytes), what_(what) {}

  std::size_t left() const noexcept { return bytes_.size(); }
  const char* what() const noexcept { return what_; }
  Bytes take(std::uint64_t size);
  void skip(std::uint64_t size) { take(size); }
  std::uint64_t number(std::size_t size);  ///< of 1 to 8 bytes
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  /// The next bytes must be these: a signature and often a version.
  void expect(std::string_view signature);
  /// A text that ends at a NUL or at the end of the bytes.
  std::string text() const;

 private:
  Bytes bytes_;
  const char* what_;
};

/// A structure that ends in its own checksum: the bytes before it. Throws Damaged if it is wrong.
Bytes checked(Bytes structure, const char* what);

/// A file on disk or in memory. Addresses count from the file's base.
class Storage {
 public:
  /// Throws IoError if there is no such file, or it cannot be opened.
  explicit Storage(const std::filesystem::path& file);
  /// The bytes must live as long as the storage.
  explicit Storage(Bytes memory) : memory_(memory), size_(memory.size()) {}
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::uint64_t size() const noexcept { return size_; }  ///< of the whole file
  void set_base(std::uint64_t base) noexcept { base_ = base; }
  /// Bytes from an address to the end of the file.
  std::uint64_t room(std::uint64_t address) const noexcept;

  /// Throws Damaged if not all of it lies within the file.
  void expect_within(std::uint64_t address, std::uint64_t size, const char* what) const;
  /// Copies elements of an array.
  void read(std::uint64_t address, std::span<std::byte> to, const char* what) const;
  /// Reads a part of the file's structure. All such reads together have a limit of many times the
  /// file's size, so that structures that overlap, or lead in a circle, come to an end.
  std::vector<std::byte> structure(std::uint64_t address, std::uint64_t size, const char* what);
  /// The same, of a structure whose first bytes say its size.
  std::vector<std::byte> structure(std::uint64_t address, std::size_t start,
                                   const std::function<std::uint64_t(Cursor)>& size_of,
                                   const char* what);

 private:
  int file_ = -1;
  Bytes memory_;
  std::uint64_t size_ = 0, base_ = 0;
  std::uint64_t structures_ = 0;  ///< bytes read so far
};

}  // namespace weft::hdf5
