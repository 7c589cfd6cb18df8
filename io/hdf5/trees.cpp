// Version 2 B-trees, and heaps of texts.
#include "io/hdf5/trees.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weft::hdf5 {
namespace {

/// How many bytes a count takes that can be as large as this.
std::size_t bytes_for(std::uint64_t most) {
  return (static_cast<std::size_t>(std::bit_width(most | 1)) - 1) / 8 + 1;
}

class Tree {
 public:
  Tree(Storage& storage, std::uint64_t address, const std::function<void(unsigned, Cursor)>& f)
      : storage_(storage), f_(f) {
    constexpr std::uint64_t header_size = 38;
    const auto header = storage.structure(address, header_size, what);
    Cursor cursor(checked(header, what), what);
    cursor.expect(std::string_view("BTHD\0", 5));
    type_ = cursor.u8();
    node_size_ = cursor.u32();
    record_size_ = cursor.u16();
    depth_ = cursor.u16();
    cursor.skip(2);  // when to split and to merge nodes
    root_ = cursor.u64();
    root_records_ = cursor.u16();
    plan_levels();
  }

  void walk() {
    if (root_records_ > 0 || depth_ > 0) walk(root_, root_records_, depth_);
  }

 private:
  static constexpr const char* what = "a B-tree of version 2";
  static constexpr std::uint64_t overhead = 10;  // of a node: signature, version, type, checksum

  /// What a node can hold follows from its size, and how large a pointer is from what is below it.
  struct Level {
    std::uint64_t most_records, most_below;
    std::size_t pointer_size, below_size;
  };
  void plan_levels() {
    if (record_size_ == 0 || node_size_ < overhead + record_size_) damaged("{} has no room", what);
    const std::uint64_t in_leaf = (node_size_ - overhead) / record_size_;
    count_size_ = bytes_for(in_leaf);
    levels_.push_back({in_leaf, in_leaf, 0, 0});
    for (unsigned level = 1; level <= depth_; ++level) {
      const Level& child = levels_.back();
      const std::size_t pointer = 8 + count_size_ + child.below_size;
      if (node_size_ < overhead + 2 * pointer + record_size_) damaged("{} has no room", what);
      const std::uint64_t most = (node_size_ - overhead - pointer) / (record_size_ + pointer);
      const std::uint64_t below = times(most + 1, child.most_below) + most;
      levels_.push_back({most, below, pointer, bytes_for(below)});
    }
  }

  void walk(std::uint64_t address, std::uint64_t records, unsigned level) {
    const Level& of = levels_[level];
    if (records > of.most_records) damaged("a node of {} is too full", what);
    const std::uint64_t pointers = level == 0 ? 0 : (records + 1) * of.pointer_size;
    const auto bytes =
        storage_.structure(address, overhead + records * record_size_ + pointers, what);
    Cursor cursor(checked(bytes, what), what);
    cursor.expect(level == 0 ? std::string_view("BTLF\0", 5) : std::string_view("BTIN\0", 5));
    if (cursor.u8() != type_) damaged("a node of {} is of another type", what);
    Cursor record(cursor.take(records * record_size_), what);
    for (std::uint64_t i = 0; i <= records; ++i) {
      if (level > 0) {
        const std::uint64_t child = cursor.u64(), in_child = cursor.number(count_size_);
        cursor.skip(of.pointer_size - 8 - count_size_);
        walk(child, in_child, level - 1);
      }
      if (i < records) f_(type_, Cursor(record.take(record_size_), what));
    }
  }

  Storage& storage_;
  const std::function<void(unsigned, Cursor)>& f_;
  unsigned type_ = 0, depth_ = 0;
  std::uint64_t node_size_ = 0, record_size_ = 0, root_ = 0, root_records_ = 0;
  std::size_t count_size_ = 0;
  std::vector<Level> levels_;
};

}  // namespace

void for_each_record(Storage& storage, std::uint64_t address,
                     const std::function<void(unsigned, Cursor)>& f) {
  Tree(storage, address, f).walk();
}

// ---- texts

const TextHeaps::Heap& TextHeaps::heap(std::uint64_t address) {
  constexpr const char* what = "a heap of texts";
  constexpr std::size_t header = 16;
  if (const auto found = heaps_.find(address); found != heaps_.end()) return found->second;
  const auto size_of = [&](Cursor cursor) {
    cursor.expect("GCOL\x01");
    cursor.skip(3);
    const std::uint64_t size = cursor.u64();
    if (size < header || size > storage_.size() - read_) damaged("{} is larger than can be", what);
    return size;
  };
  Heap heap{storage_.structure(address, header, size_of, what), {}};
  read_ += heap.bytes.size();  // no heap overlaps another
  Cursor cursor(heap.bytes, what);
  cursor.skip(header);
  while (cursor.left() >= header) {
    const std::uint64_t index = cursor.u16();
    cursor.skip(6);  // a count of references
    const std::uint64_t size = cursor.u64();
    if (index == 0 || size > cursor.left()) break;  // free space
    heap.objects.emplace_back(index, cursor.take(size));
    cursor.skip(std::min<std::uint64_t>((8 - size % 8) % 8, cursor.left()));
  }
  std::stable_sort(heap.objects.begin(), heap.objects.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return heaps_.emplace(address, std::move(heap)).first->second;
}

std::string TextHeaps::text(Cursor reference) {
  const std::uint64_t length = reference.u32(), address = reference.u64(), index = reference.u32();
  if (length == 0 || address == 0 || address == undefined) return {};
  const Heap& in = heap(address);
  const auto found = std::lower_bound(in.objects.begin(), in.objects.end(), index,
                                      [](const auto& a, std::uint64_t b) { return a.first < b; });
  length_ += length;
  if (found == in.objects.end() || found->first != index || found->second.size() < length ||
      length_ > storage_.size()) {
    damaged("a text is not there, or not all of it");
  }
  return Cursor(found->second.first(length), "a text").text();
}

}  // namespace weft::hdf5
