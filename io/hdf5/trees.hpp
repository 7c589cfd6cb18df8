// Trees and heaps in which an HDF5 file keeps many links, attributes and texts. For io/ alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/hdf5/bytes.hpp"

namespace weft::hdf5 {

/// Calls f with each record of a version 2 B-tree (section III.A.2), in order; f gets the tree's
/// record type too, which says what is in a record.
void for_each_record(Storage& storage, std::uint64_t address,
                     const std::function<void(unsigned type, Cursor record)>& f);

/// A fractal heap (section III.G): objects of any size by an identifier.
class FractalHeap {
 public:
  FractalHeap(Storage& storage, std::uint64_t address);
  /// The bytes of an object.
  std::vector<std::byte> object(Cursor id);
  std::size_t id_size() const noexcept { return id_size_; }

 private:
  /// A direct block, which holds objects: `offset` is the place of its first byte in the heap.
  struct Block {
    std::uint64_t address, offset, size;
  };
  Block find_block(std::uint64_t offset);
  std::vector<std::byte> managed(Cursor id);
  std::vector<std::byte> huge(Cursor id);
  std::uint64_t row_size(unsigned row) const;    ///< bytes of each of its blocks
  std::uint64_t row_offset(unsigned row) const;  ///< of its first block
  std::size_t block_header() const { return 4 + 1 + 8 + offset_size_; }
  Bytes indirect_block(std::uint64_t address, std::uint64_t offset, unsigned rows);
  Bytes direct_block(const Block& block);
  Bytes keep(std::uint64_t address, std::vector<std::byte> block);

  Storage& storage_;
  std::uint64_t address_;
  std::size_t id_size_ = 0, offset_size_ = 0, length_size_ = 0;
  std::uint64_t huge_tree_ = 0, width_ = 0, start_ = 0, root_ = 0;
  unsigned root_rows_ = 0, direct_rows_ = 0;
  bool has_checksums_ = false;  ///< direct blocks have them
  std::uint64_t given_ = 0;     ///< bytes of objects that were read
  std::unordered_map<std::uint64_t, std::vector<std::byte>> blocks_;  ///< checked, by address
  std::uint64_t kept_ = 0;                                            ///< bytes of blocks_
};

/// Texts of any length (section III.E: global heaps), by the references that arrays have to them.
class TextHeaps {
 public:
  static constexpr std::size_t reference_size = 16;  // length, 4; address, 8; index, 4

  explicit TextHeaps(Storage& storage) : storage_(storage) {}
  /// Texts together may be no longer than the file.
  std::string text(Cursor reference);

 private:
  struct Heap {
    std::vector<std::byte> bytes;
    std::vector<std::pair<std::uint64_t, Bytes>> objects;  ///< by index
  };
  const Heap& heap(std::uint64_t address);

  Storage& storage_;
  std::unordered_map<std::uint64_t, Heap> heaps_;
  std::uint64_t read_ = 0, length_ = 0;
};

}  // namespace weft::hdf5
