#include <algorithm>
#include <bit>

#include "io/hdf5/trees.hpp"

namespace weft::hdf5 {
namespace {

constexpr const char* what = "a fractal heap";

unsigned log2_of(std::uint64_t size) { return static_cast<unsigned>(std::bit_width(size)) - 1; }

/// A copy of some bytes, checked by a checksum within them: it counts as zero in its own sum.
std::vector<std::byte> checked_within(std::vector<std::byte> block, std::size_t at) {
  std::vector<std::byte> content = block;
  if (at + 4 > block.size()) damaged("{} has a block without room", what);
  std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(at), 4, std::byte{0});
  content.insert(content.end(), block.begin() + static_cast<std::ptrdiff_t>(at),
                 block.begin() + static_cast<std::ptrdiff_t>(at) + 4);
  checked(content, what);
  return block;
}

}  // namespace

FractalHeap::FractalHeap(Storage& storage, std::uint64_t address)
    : storage_(storage), address_(address) {
  constexpr std::uint64_t header_size = 146;  // without filters
  const auto header = storage.structure(address, header_size, what);
  Cursor cursor(header, what);
  cursor.expect(std::string_view("FRHP\0", 5));
  id_size_ = cursor.u16();
  if (cursor.u16() != 0) damaged("{} is compressed, which is not read", what);
  cursor = Cursor(checked(header, what).subspan(9), what);
  has_checksums_ = (cursor.u8() & 0x02) != 0;
  const std::uint64_t most_managed = cursor.u32();
  cursor.skip(8);  // the next huge object
  huge_tree_ = cursor.u64();
  cursor.skip(10 * 8);  // free space, counts and sizes
  width_ = cursor.u16();
  start_ = cursor.u64();
  const std::uint64_t most_direct = cursor.u64();
  const unsigned bits = cursor.u16();
  cursor.skip(2);  // rows of a new root
  root_ = cursor.u64();
  root_rows_ = cursor.u16();
  constexpr unsigned most_bits = 56;
  if (!std::has_single_bit(width_) || !std::has_single_bit(start_) ||
      !std::has_single_bit(most_direct) || most_direct < start_ || bits > most_bits ||
      most_direct > std::uint64_t{1} << most_bits || root_rows_ > most_bits) {
    damaged("{} has sizes that cannot be", what);
  }
  direct_rows_ = log2_of(most_direct) - log2_of(start_) + 2;
  offset_size_ = (bits + 7) / 8;
  length_size_ = std::min<std::size_t>((log2_of(most_direct) + 7) / 8,
                                       (log2_of(std::max<std::uint64_t>(most_managed, 1)) + 7) / 8);
}

std::vector<std::byte> FractalHeap::object(Cursor id) {
  const Bytes whole = id.take(id_size_);
  Cursor rest(whole, "the identifier of an object in a heap");
  const unsigned first = rest.u8(), version = first >> 6, type = first >> 4 & 0x03;
  if (version != 0 || type > 2) damaged("{} has an object of an unknown kind", what);
  std::vector<std::byte> bytes;
  if (type == 0) {
    bytes = managed(rest);
  } else if (type == 1) {
    bytes = huge(rest);
  } else {
    constexpr std::size_t longest_short_id = 17;
    std::uint64_t size = first & 0x0f;
    if (id_size_ > longest_short_id) size = size << 8 | rest.u8();
    const Bytes tiny = rest.take(size + 1);
    bytes.assign(tiny.begin(), tiny.end());
  }
  given_ += bytes.size();
  if (given_ > storage_.size()) damaged("the objects of {} overlap", what);
  return bytes;
}

std::uint64_t FractalHeap::row_size(unsigned row) const {
  return row == 0 ? start_ : times(start_, std::uint64_t{1} << (row - 1));
}

std::uint64_t FractalHeap::row_offset(unsigned row) const {
  return row == 0 ? 0 : times(width_, row_size(row));
}

FractalHeap::Block FractalHeap::find_block(std::uint64_t offset) {
  if (root_rows_ == 0) return {root_, 0, start_};
  std::uint64_t address = root_, base = 0;
  for (unsigned rows = root_rows_;;) {
    unsigned row = 0;
    while (row < rows && offset - base >= row_offset(row + 1)) ++row;
    if (row == rows) damaged("{} has an object beyond its end", what);
    const std::uint64_t column = (offset - base - row_offset(row)) / row_size(row);
    Cursor children(indirect_block(address, base, rows), what);
    children.skip((row * width_ + column) * 8);
    address = children.u64();
    base += row_offset(row) + column * row_size(row);
    if (row < direct_rows_) return {address, base, row_size(row)};
    if (row_size(row) < times(start_, width_)) damaged("{} has rows that cannot be", what);
    rows = log2_of(row_size(row)) - log2_of(times(start_, width_)) + 1;  // fewer than before
  }
}

Bytes FractalHeap::keep(std::uint64_t address, std::vector<std::byte> block) {
  kept_ += block.size();
  if (kept_ > storage_.size()) {  // blocks that overlap
    blocks_.clear();
    kept_ = block.size();
  }
  return blocks_.insert_or_assign(address, std::move(block)).first->second;
}

namespace {

/// A block says which heap it belongs to, and where in it.
void check_block(Bytes block, std::string_view signature, std::uint64_t heap, std::uint64_t offset,
                 std::size_t offset_size) {
  Cursor cursor(block, what);
  cursor.expect(signature);
  if (cursor.u64() != heap || cursor.number(offset_size) != offset) {
    damaged("a block of {} belongs elsewhere", what);
  }
}

}  // namespace

/// The addresses of its children.
Bytes FractalHeap::indirect_block(std::uint64_t address, std::uint64_t offset, unsigned rows) {
  const std::uint64_t children = times(rows, width_) * 8;
  const auto found = blocks_.find(address);
  Bytes block;
  if (found != blocks_.end() && found->second.size() == block_header() + children + 4) {
    block = found->second;
  } else {
    auto read = storage_.structure(address, block_header() + children + 4, what);
    checked(read, what);
    block = keep(address, std::move(read));
  }
  check_block(block, std::string_view("FHIB\0", 5), address_, offset, offset_size_);
  return block.subspan(block_header(), static_cast<std::size_t>(children));
}

Bytes FractalHeap::direct_block(const Block& block) {
  const auto found = blocks_.find(block.address);
  Bytes bytes;
  if (found != blocks_.end() && found->second.size() == block.size) {
    bytes = found->second;
  } else {
    auto read = storage_.structure(block.address, block.size, what);
    if (has_checksums_) read = checked_within(std::move(read), block_header());
    bytes = keep(block.address, std::move(read));
  }
  check_block(bytes, std::string_view("FHDB\0", 5), address_, block.offset, offset_size_);
  return bytes;
}

std::vector<std::byte> FractalHeap::managed(Cursor id) {
  const std::uint64_t offset = id.number(offset_size_), length = id.number(length_size_);
  const Block block = find_block(offset);
  const Bytes bytes = direct_block(block);
  const std::uint64_t at = offset - block.offset;
  if (at > bytes.size() || length > bytes.size() - at) {
    damaged("{} has an object beyond the end of its block", what);
  }
  const Bytes object =
      bytes.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(length));
  return {object.begin(), object.end()};
}

std::vector<std::byte> FractalHeap::huge(Cursor id) {
  constexpr std::size_t direct_size = 16;
  std::uint64_t address = undefined, size = 0;
  if (id_size_ - 1 >= direct_size) {
    address = id.u64();
    size = id.u64();
  } else {
    const std::uint64_t key = id.number(std::min<std::size_t>(id_size_ - 1, 8));
    for_each_record(storage_, huge_tree_, [&](unsigned type, Cursor record) {
      if (type != 1) damaged("{} keeps large objects in a way that is not read", what);
      const std::uint64_t at = record.u64(), bytes = record.u64();
      if (record.u64() != key) return;
      address = at;
      size = bytes;
    });
  }
  return storage_.structure(address, size, "a large object of a heap");
}

}  // namespace weft::hdf5
