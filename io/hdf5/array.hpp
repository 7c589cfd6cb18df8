// An array of an HDF5 file: where and how its elements are stored. For io/ alone.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "io/hdf5/object.hpp"
#include "io/hdf5/types.hpp"

namespace weft::hdf5 {

constexpr std::size_t most_axes = 8;  ///< as many as a Shape has

/// Filters that a chunk has gone through, in the order of writing (section IV.A.2.l).
enum class Filter : std::uint16_t { deflate = 1, shuffle = 2, fletcher32 = 3 };

/// How the elements are stored (section IV.A.2.i).
struct Layout {
  enum class Kind { compact, contiguous, chunked };
  enum class Index { first_tree, single, implicit, fixed_array, extensible_array, second_tree };

  Kind kind = Kind::contiguous;
  Bytes data;                         ///< of a compact array
  std::uint64_t address = undefined;  ///< of a contiguous one, or of an index of chunks
  std::uint64_t size = undefined;     ///< of a contiguous one; undefined if it is not said
  Index index = Index::first_tree;
  std::vector<std::uint64_t> chunk;  ///< sizes of a chunk, in elements
  std::uint64_t element_size = 0;    ///< as the chunks have it
  bool plain_edges = false;          ///< chunks at an edge have gone through no filter
  std::uint64_t single_size = 0;     ///< of one chunk that is compressed
  std::uint32_t single_mask = 0;
};

class Array {
 public:
  /// Throws Damaged for what is not read: elements in other files, unknown filters, more than 8
  /// axes, and sizes that what is stored does not bear out.
  Array(Storage& storage, const Object& object);

  const Datatype& type() const noexcept { return type_; }
  const Dataspace& space() const noexcept { return space_; }
  std::uint64_t stored() const noexcept { return stored_; }  ///< bytes in the file
  bool is_compressed() const noexcept { return !filters_.empty(); }

  /// The elements lie in the file as f32, one after another: read them at once.
  bool is_plain_f32() const;
  void read_plain(std::span<std::byte> to) const;
  /// Otherwise: calls take with runs of elements and the place of the first, in row-major order.
  void read(const std::function<void(std::uint64_t first, Bytes elements)>& take) const;

 private:
  struct Chunk;
  using Place = std::array<std::uint64_t, most_axes>;  // of a chunk, counted in chunks

  void check_size();
  void check_chunks();
  std::vector<std::byte> unpacked(const Chunk& chunk) const;
  void read_chunk(const Chunk& chunk, const std::function<void(std::uint64_t, Bytes)>& take) const;

  std::uint64_t chunk_bytes() const;
  std::uint64_t chunks_along(std::size_t axis) const;
  void for_each_chunk(const std::function<void(const Chunk&)>& f) const;
  void walk_first_tree(std::uint64_t address, int level,
                       const std::function<void(const Chunk&)>& f) const;
  void walk_second_tree(const std::function<void(const Chunk&)>& f) const;
  void walk_fixed_array(const std::function<void(const Chunk&)>& f) const;
  void walk_extensible_array(const std::function<void(const Chunk&)>& f) const;
  class Numbered;  // chunks by their number, of the two kinds of arrays

  Storage& storage_;
  Datatype type_;
  Dataspace space_;
  Layout layout_;
  std::vector<Filter> filters_;
  std::vector<std::uint64_t> shuffled_;  ///< for each filter, the size of shuffled elements
  std::uint64_t stored_ = 0;
};

/// A chunk: where it is in the file, and in the array.
struct Array::Chunk {
  std::uint64_t address = undefined, size = 0;
  std::uint32_t mask = 0;  ///< bit i: it has not gone through filter i
  Place place{};
};

}  // namespace weft::hdf5
