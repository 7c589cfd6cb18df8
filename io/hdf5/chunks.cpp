// The indexes in which an HDF5 file lists the chunks of an array (sections III.A.1, III.A.2 and
// VII.A to VII.D).
#include <algorithm>
#include <bit>

#include "io/hdf5/array.hpp"
#include "io/hdf5/trees.hpp"

namespace weft::hdf5 {

/// Entries of the two kinds of arrays: a chunk's number, by its place in the largest array that
/// this one can become.
class Array::Numbered {
 public:
  Numbered(const Array& array, unsigned entry_size, const std::function<void(const Chunk&)>& f)
      : array_(array), entry_size_(entry_size), f_(f) {
    const std::size_t rank = array.space_.sizes.size();
    // The axis that can grow without limit is the slowest, since its size is not known.
    for (std::size_t axis = 0; axis < rank; ++axis) {
      if (array.space_.most[axis] == undefined && order_.empty()) order_.push_back(axis);
    }
    for (std::size_t axis = 0; axis < rank; ++axis) {
      if (order_.empty() || axis != order_[0] || array.space_.most[axis] != undefined) {
        order_.push_back(axis);
      }
    }
    // How many chunks lie along each, were it as large as it can be.
    for (const std::size_t axis : order_) {
      const std::uint64_t most = array.space_.most[axis], chunk = array.layout_.chunk[axis];
      counts_.push_back(most / chunk + (most % chunk != 0 ? 1 : 0));
    }
  }

  std::uint64_t entry_size() const { return entry_size_; }

  /// Chunks of numbers from `first` on, one entry after another.
  void visit(std::uint64_t first, Cursor entries) const {
    constexpr std::uint64_t address_size = 8, mask_size = 4;
    for (std::uint64_t number = first; entries.left() >= entry_size_; ++number) {
      Cursor entry(entries.take(entry_size_), "an index of chunks");
      Chunk chunk{.address = entry.u64(), .size = array_.chunk_bytes()};
      if (array_.is_compressed()) {
        chunk.size = entry.number(entry_size_ - address_size - mask_size);
        chunk.mask = entry.u32();
      }
      if (chunk.address == undefined) continue;
      std::uint64_t rest = number;
      for (std::size_t i = order_.size(); i-- > 1;) {
        const std::uint64_t count = std::max<std::uint64_t>(counts_[i], 1);
        chunk.place[order_[i]] = rest % count;
        rest /= count;
      }
      chunk.place[order_[0]] = rest;
      f_(chunk);
    }
  }

 private:
  const Array& array_;
  std::uint64_t entry_size_;
  const std::function<void(const Chunk&)>& f_;
  std::vector<std::size_t> order_;  ///< axes, the slowest first
  std::vector<std::uint64_t> counts_;
};

namespace {

constexpr std::uint64_t array_block_header = 4 + 1 + 1 + 8;  // signature, version, client, header

void check_entry_size(unsigned size, unsigned client, bool compressed) {
  const bool fits = compressed ? client == 1 && size > 12 && size <= 20 : client == 0 && size == 8;
  if (!fits) damaged("an index of chunks has entries of another kind");
}

/// Checks whose block it is.
void expect_block(Cursor cursor, std::string_view signature, std::uint64_t header) {
  cursor.expect(signature);
  cursor.skip(1);
  if (cursor.u64() != header) damaged("a block of an index of chunks belongs elsewhere");
}

}  // namespace

// ---- version 1 B-trees

void Array::walk_first_tree(std::uint64_t address, int level,
                            const std::function<void(const Chunk&)>& f) const {
  constexpr const char* what = "a node of the B-tree of chunks";
  constexpr std::uint64_t prefix = 24;
  const std::size_t rank = space_.sizes.size();
  const std::uint64_t entry = 8 + 8 * (rank + 1) + 8;
  const auto size_of = [&](Cursor cursor) {
    cursor.skip(6);
    return prefix + cursor.u16() * entry;
  };
  const auto bytes = storage_.structure(address, prefix, size_of, what);
  Cursor cursor(bytes, what);
  cursor.expect(std::string_view("TREE\x01", 5));
  const int found = cursor.u8();
  if (level >= 0 && found != level) damaged("{} is of another level", what);
  const unsigned entries = cursor.u16();
  cursor.skip(16);  // its neighbours
  for (unsigned i = 0; i < entries; ++i) {
    Chunk chunk;
    chunk.size = cursor.u32();
    chunk.mask = cursor.u32();
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const std::uint64_t first = cursor.u64();
      chunk.place[axis] = first / layout_.chunk[axis];
      if (found == 0 && first % layout_.chunk[axis] != 0) damaged("a chunk of it lies askew");
    }
    cursor.skip(8);
    chunk.address = cursor.u64();
    found > 0 ? walk_first_tree(chunk.address, found - 1, f) : f(chunk);
  }
}

// ---- version 2 B-trees

void Array::walk_second_tree(const std::function<void(const Chunk&)>& f) const {
  const std::size_t rank = space_.sizes.size();
  for_each_record(storage_, layout_.address, [&](unsigned type, Cursor record) {
    constexpr unsigned plain = 10, compressed = 11;
    if (type != (is_compressed() ? compressed : plain)) {
      damaged("the B-tree of chunks has entries of another kind");
    }
    Chunk chunk{.address = record.u64(), .size = chunk_bytes()};
    if (is_compressed()) {
      const std::size_t others = 4 + 8 * rank;
      chunk.size = record.number(record.left() - std::min(record.left(), others));
      chunk.mask = record.u32();
    }
    for (std::size_t axis = 0; axis < rank; ++axis) chunk.place[axis] = record.u64();
    f(chunk);
  });
}

// ---- fixed arrays

void Array::walk_fixed_array(const std::function<void(const Chunk&)>& f) const {
  constexpr const char* what = "a fixed array of chunks";
  constexpr std::uint64_t header_size = 28;
  const auto header = storage_.structure(layout_.address, header_size, what);
  Cursor cursor(checked(header, what), what);
  cursor.expect(std::string_view("FAHD\0", 5));
  const unsigned client = cursor.u8(), entry = cursor.u8(), page_bits = cursor.u8();
  const std::uint64_t count = cursor.u64(), block = cursor.u64();
  check_entry_size(entry, client, is_compressed());
  if (block == undefined) return;
  const Numbered chunks(*this, entry, f);
  constexpr unsigned most_page_bits = 32;
  if (page_bits > most_page_bits) damaged("{} has sizes that cannot be", what);
  const std::uint64_t in_page = std::uint64_t{1} << page_bits;
  const bool paged = count > in_page;
  const std::uint64_t pages = paged ? count / in_page + (count % in_page != 0 ? 1 : 0) : 0;
  const std::uint64_t bitmap = pages / 8 + (pages % 8 != 0 ? 1 : 0);
  const std::uint64_t size = array_block_header + bitmap + (paged ? 0 : times(count, entry)) + 4;
  const auto bytes = storage_.structure(block, size, what);
  Cursor content(checked(bytes, what), what);
  expect_block(content, std::string_view("FADB\0", 5), layout_.address);
  content.skip(array_block_header);
  if (!paged) return chunks.visit(0, content);
  const Bytes is_there = content.take(bitmap);
  for (std::uint64_t page = 0; page < pages; ++page) {
    const std::uint64_t first = page * in_page, entries = std::min(in_page, count - first);
    const unsigned bit = std::to_integer<unsigned>(is_there[page / 8]) >> (7 - page % 8) & 1;
    if (bit == 0) continue;
    const auto part =
        storage_.structure(block + size + page * (in_page * entry + 4), entries * entry + 4, what);
    chunks.visit(first, Cursor(checked(part, what), what));
  }
}

// ---- extensible arrays

namespace {

/// An extensible array: entries in an index block, then in data blocks that grow. The first data
/// blocks are listed in the index block, later ones in secondary blocks.
template <class Chunks>
class Extensible {
 public:
  Extensible(Storage& storage, std::uint64_t address, bool compressed)
      : storage_(storage), address_(address) {
    constexpr std::uint64_t header_size = 72;
    const auto header = storage.structure(address, header_size, what);
    Cursor cursor(checked(header, what), what);
    cursor.expect(std::string_view("EAHD\0", 5));
    const unsigned client = cursor.u8();
    entry_ = cursor.u8();
    bits_ = cursor.u8();
    in_index_ = cursor.u8();
    least_ = cursor.u8();
    const unsigned least_pointers = cursor.u8(), page_bits = cursor.u8();
    cursor.skip(6 * 8);  // statistics
    index_ = cursor.u64();
    check_entry_size(entry_, client, compressed);
    constexpr unsigned most_bits = 48;
    if (bits_ > most_bits || page_bits > most_bits || !std::has_single_bit(least_) ||
        !std::has_single_bit(least_pointers) || least_pointers < 2 ||
        static_cast<unsigned>(std::bit_width(least_)) > bits_) {
      damaged("{} has sizes that cannot be", what);
    }
    in_page_ = std::uint64_t{1} << page_bits;
    levels_ = 1 + bits_ - (static_cast<unsigned>(std::bit_width(least_)) - 1);
    first_level_ = 2 * (static_cast<unsigned>(std::bit_width(least_pointers)) - 1);
    direct_ = 2 * (least_pointers - 1);
  }
  unsigned entry_size() const { return entry_; }

  void walk(const Chunks& chunks) {
    if (index_ == undefined) return;
    const unsigned secondary = levels_ > first_level_ ? levels_ - first_level_ : 0;
    const auto bytes = storage_.structure(
        index_, array_block_header + in_index_ * entry_ + 8 * (direct_ + secondary) + 4, what);
    Cursor cursor(checked(bytes, what), what);
    expect_block(cursor, std::string_view("EAIB\0", 5), address_);
    cursor.skip(array_block_header);
    chunks.visit(0, Cursor(cursor.take(in_index_ * entry_), what));
    std::uint64_t first = in_index_;
    unsigned level = 0;
    for (std::uint64_t left = direct_; left > 0; ++level) {
      for (std::uint64_t i = 0; i < blocks(level) && left > 0; ++i, --left) {
        data_block(cursor.u64(), first, level, nullptr, chunks);
        first += entries(level);
      }
    }
    for (level = first_level_; level < levels_; ++level) {
      secondary_block(cursor.u64(), first, level, chunks);
      first += times(blocks(level), entries(level));
    }
  }

 private:
  static constexpr const char* what = "an extensible array of chunks";

  std::uint64_t blocks(unsigned level) const { return std::uint64_t{1} << level / 2; }
  std::uint64_t entries(unsigned level) const {  // of one of its blocks
    return least_ * (std::uint64_t{1} << (level + 1) / 2);
  }
  std::size_t offset_size() const { return (bits_ + 7) / 8; }
  bool is_paged(unsigned level) const { return entries(level) > in_page_; }

  void secondary_block(std::uint64_t address, std::uint64_t first, unsigned level,
                       const Chunks& chunks) {
    if (address == undefined) return;
    const std::uint64_t pages = is_paged(level) ? entries(level) / in_page_ : 0;
    const std::uint64_t bitmap = (pages + 7) / 8, count = blocks(level);
    const std::uint64_t size = array_block_header + offset_size() + times(count, bitmap + 8) + 4;
    const auto bytes = storage_.structure(address, size, what);
    Cursor cursor(checked(bytes, what), what);
    expect_block(cursor, std::string_view("EASB\0", 5), address_);
    cursor.skip(array_block_header + offset_size());
    Cursor bitmaps(cursor.take(count * bitmap), what);
    for (std::uint64_t i = 0; i < count; ++i, first += entries(level)) {
      const Bytes is_there = bitmaps.take(bitmap);
      data_block(cursor.u64(), first, level, &is_there, chunks);
    }
  }

  /// A block of which some pages may not be there.
  void data_block(std::uint64_t address, std::uint64_t first, unsigned level, const Bytes* is_there,
                  const Chunks& chunks) {
    if (address == undefined) return;
    const std::uint64_t count = entries(level);
    const bool paged = is_paged(level) && is_there != nullptr;
    const std::uint64_t header = array_block_header + offset_size();
    const std::uint64_t size = header + (paged ? 0 : times(count, entry_)) + 4;
    const auto bytes = storage_.structure(address, size, what);
    Cursor cursor(checked(bytes, what), what);
    expect_block(cursor, std::string_view("EADB\0", 5), address_);
    cursor.skip(header);
    if (!paged) return chunks.visit(first, cursor);
    const std::uint64_t page_size = times(in_page_, entry_) + 4;
    for (std::uint64_t page = 0; page < count / in_page_; ++page) {
      const unsigned bit = std::to_integer<unsigned>((*is_there)[page / 8]) >> (7 - page % 8) & 1;
      if (bit == 0) continue;
      const auto part = storage_.structure(address + size + page * page_size, page_size, what);
      chunks.visit(first + page * in_page_, Cursor(checked(part, what), what));
    }
  }

  Storage& storage_;
  std::uint64_t address_, index_ = undefined;
  std::uint64_t in_page_ = 0, direct_ = 0, in_index_ = 0;
  unsigned entry_ = 0, bits_ = 0, least_ = 0, levels_ = 0, first_level_ = 0;
};

}  // namespace

void Array::walk_extensible_array(const std::function<void(const Chunk&)>& f) const {
  Extensible<Numbered> index(storage_, layout_.address, is_compressed());
  index.walk(Numbered(*this, index.entry_size(), f));
}

// ---- all of them

void Array::for_each_chunk(const std::function<void(const Chunk&)>& f) const {
  if (layout_.address == undefined) return;
  switch (layout_.index) {
    case Layout::Index::first_tree:
      return walk_first_tree(layout_.address, -1, f);
    case Layout::Index::single:
      return f({.address = layout_.address,
                .size = is_compressed() ? layout_.single_size : chunk_bytes(),
                .mask = layout_.single_mask});
    case Layout::Index::implicit: {
      // As a list of entries, of which the address of each follows from that of the first.
      const std::uint64_t size = chunk_bytes();
      const std::size_t rank = space_.sizes.size();
      std::vector<std::uint64_t> counts;
      for (std::size_t axis = 0; axis < rank; ++axis) {
        const std::uint64_t most = space_.most[axis], chunk = layout_.chunk[axis];
        counts.push_back(most / chunk + (most % chunk != 0 ? 1 : 0));
      }
      Chunk chunk{.size = size};
      for (;;) {
        std::uint64_t number = 0;
        for (std::size_t axis = 0; axis < rank; ++axis) {
          number = times(number, counts[axis]) + chunk.place[axis];
        }
        chunk.address = layout_.address + times(number, size);
        f(chunk);
        std::size_t axis = rank;
        while (axis > 0 && ++chunk.place[axis - 1] == chunks_along(axis - 1)) {
          chunk.place[--axis] = 0;
        }
        if (axis == 0) return;
      }
    }
    case Layout::Index::fixed_array:
      return walk_fixed_array(f);
    case Layout::Index::extensible_array:
      return walk_extensible_array(f);
    case Layout::Index::second_tree:
      return walk_second_tree(f);
  }
}

}  // namespace weft::hdf5
