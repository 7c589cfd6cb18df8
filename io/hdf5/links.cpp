#include "io/hdf5/links.hpp"

#include <algorithm>
#include <functional>

#include "io/hdf5/trees.hpp"

namespace weft::hdf5 {
namespace {

/// Links as they are collected: their names together may be no longer than the file, in which each
/// is stored for itself.
class Collected {
 public:
  explicit Collected(const Storage& storage) : most_(storage.size()) {}

  void add(Link link) {
    constexpr std::uint64_t least = 8;  // bytes of a link beside its name
    used_ += link.name.size() + least;
    if (used_ > most_) damaged("the links of a group overlap");
    if (link.name.empty() || link.name.find('/') != std::string::npos) {
      damaged("a link has a name that cannot be");
    }
    links_.push_back(std::move(link));
  }
  std::vector<Link> sorted() && {
    const auto by_name = [](const Link& a, const Link& b) { return a.name < b.name; };
    std::sort(links_.begin(), links_.end(), by_name);
    const auto same = [](const Link& a, const Link& b) { return a.name == b.name; };
    if (std::adjacent_find(links_.begin(), links_.end(), same) != links_.end()) {
      damaged("two links of a group have the same name");
    }
    return std::move(links_);
  }

 private:
  std::uint64_t most_, used_ = 0;
  std::vector<Link> links_;
};

// ---- tables of symbols (sections III.A.1, III.B, III.C and III.D)

class SymbolTable {
 public:
  SymbolTable(Storage& storage, Bytes message, Collected& links)
      : storage_(storage), links_(links) {
    Cursor cursor(message, "a table of symbols");
    tree_ = cursor.u64();
    read_names(cursor.u64());
  }
  void collect() { collect(tree_, std::nullopt); }

 private:
  void read_names(std::uint64_t address) {
    constexpr const char* what = "a heap of names";
    constexpr std::uint64_t header_size = 32;
    const auto header = storage_.structure(address, header_size, what);
    Cursor cursor(header, what);
    cursor.expect(std::string_view("HEAP\0", 5));
    cursor.skip(3);
    const std::uint64_t size = cursor.u64();
    cursor.skip(8);  // its free space, which only writing needs
    names_ = storage_.structure(cursor.u64(), size, what);
  }

  void collect(std::uint64_t address, std::optional<unsigned> expected_level) {
    constexpr const char* what = "a node of a group's B-tree";
    constexpr std::uint64_t prefix = 24, entry = 16;
    const auto size_of = [](Cursor cursor) {
      cursor.skip(6);
      return prefix + cursor.u16() * entry + 8;
    };
    const auto bytes = storage_.structure(address, prefix, size_of, what);
    Cursor cursor(bytes, what);
    cursor.expect(std::string_view("TREE\0", 5));
    const unsigned level = cursor.u8();
    if (expected_level && level != *expected_level) damaged("{} is of another level", what);
    const unsigned entries = cursor.u16();
    cursor.skip(16);  // its neighbours
    for (unsigned i = 0; i < entries; ++i) {
      cursor.skip(8);  // a name, between those of its children
      const std::uint64_t child = cursor.u64();
      level > 0 ? collect(child, level - 1) : collect_symbols(child);
    }
  }

  void collect_symbols(std::uint64_t address) {
    constexpr const char* what = "a node of symbols";
    constexpr std::uint64_t prefix = 8, entry = 40;
    const auto size_of = [](Cursor cursor) {
      cursor.skip(6);
      return prefix + cursor.u16() * entry;
    };
    const auto bytes = storage_.structure(address, prefix, size_of, what);
    Cursor cursor(bytes, what);
    cursor.expect("SNOD\x01");
    cursor.skip(1);
    const unsigned symbols = cursor.u16();
    for (unsigned i = 0; i < symbols; ++i) {
      const std::uint64_t name = cursor.u64(), object = cursor.u64();
      const std::uint32_t cached = cursor.u32();
      cursor.skip(4 + 16);
      constexpr std::uint32_t soft_link = 2;
      if (name >= names_.size()) damaged("the name of a link lies beyond its heap");
      links_.add({Cursor(Bytes(names_).subspan(static_cast<std::size_t>(name)), what).text(),
                  cached == soft_link ? undefined : object});
    }
  }

  Storage& storage_;
  Collected& links_;
  std::uint64_t tree_ = 0;
  std::vector<std::byte> names_;
};

// ---- messages (section IV.A.2.g), in the header or in a heap

Link link_of(Bytes message) {
  Cursor cursor(message, "a link");
  cursor.expect("\x01");
  const unsigned flags = cursor.u8();
  const unsigned type = (flags & 0x08) != 0 ? cursor.u8() : 0;
  cursor.skip(((flags & 0x04) != 0 ? 8 : 0) + ((flags & 0x10) != 0 ? 1 : 0));
  const std::uint64_t size = cursor.number(std::size_t{1} << (flags & 0x03));
  const Bytes name = cursor.take(size);
  Link link{{reinterpret_cast<const char*>(name.data()), name.size()}};
  if (type == 0) link.address = cursor.u64();
  return link;
}

/// Calls f with each message of a fractal heap, which a B-tree lists. `skipped` bytes of a record
/// stand before the identifier of the heap's object.
void for_each_message(Storage& storage, std::uint64_t heap_address, std::uint64_t tree_address,
                      unsigned record_type, std::size_t skipped,
                      const std::function<void(std::vector<std::byte> message, Cursor record)>& f) {
  if (heap_address == undefined || tree_address == undefined) return;
  FractalHeap heap(storage, heap_address);
  for_each_record(storage, tree_address, [&](unsigned type, Cursor record) {
    if (type != record_type) damaged("a B-tree lists something else than it should");
    record.skip(skipped);
    const Bytes id = record.take(heap.id_size());
    f(heap.object(Cursor(id, "the identifier of an object in a heap")), record);
  });
}

void collect_dense(Storage& storage, Bytes info, Collected& links) {
  constexpr unsigned by_name = 5;
  Cursor cursor(info, "the links of a group");
  cursor.expect(std::string_view("\0", 1));
  cursor.skip((cursor.u8() & 0x01) != 0 ? 8 : 0);  // the order of creation
  const std::uint64_t heap = cursor.u64(), tree = cursor.u64();
  for_each_message(
      storage, heap, tree, by_name, 4,
      [&](const std::vector<std::byte>& message, Cursor) { links.add(link_of(message)); });
}

// ---- attributes (section IV.A.2.m)

Attribute attribute_of(Bytes message) {
  Cursor cursor(message, "an attribute");
  const unsigned version = cursor.u8(), flags = cursor.u8();
  if (version < 1 || version > 3) damaged("an attribute has version {}", version);
  if (version > 1 && (flags & 0x03) != 0) {
    damaged("an attribute's type is shared with other objects, which is not read");
  }
  const std::uint64_t name = cursor.u16(), type = cursor.u16(), space = cursor.u16();
  cursor.skip(version == 3 ? 1 : 0);  // how the name is encoded
  const auto take = [&](std::uint64_t size) {
    return cursor.take(version == 1 ? (size + 7) / 8 * 8 : size);
  };
  Attribute attribute;
  attribute.name = Cursor(take(name), "an attribute's name").text();
  attribute.type = take(type);
  attribute.space = take(space);
  attribute.data = cursor.take(cursor.left());
  return attribute;
}

void collect_dense(Storage& storage, Bytes info, std::vector<Attribute>& attributes) {
  constexpr unsigned by_name = 8, shared_flag = 0x02;
  constexpr std::size_t most = 1 << 18;
  Cursor cursor(info, "the attributes of an object");
  cursor.expect(std::string_view("\0", 1));
  cursor.skip((cursor.u8() & 0x01) != 0 ? 2 : 0);  // the order of creation
  const std::uint64_t heap = cursor.u64(), tree = cursor.u64();
  for_each_message(storage, heap, tree, by_name, 0,
                   [&](std::vector<std::byte> message, Cursor record) {
                     if ((record.u8() & shared_flag) != 0) {
                       damaged("an attribute is shared with other objects, which is not read");
                     }
                     if (attributes.size() == most) damaged("it has too many attributes");
                     Attribute attribute = attribute_of(message);
                     attribute.heap = std::move(message);
                     attributes.push_back(std::move(attribute));
                   });
}

}  // namespace

std::vector<Link> links_of(Storage& storage, const Object& group) {
  Collected links(storage);
  if (const auto table = group.find(Tag::symbol_table)) {
    SymbolTable(storage, *table, links).collect();
  }
  for (const Message& message : group.messages()) {
    if (message.tag == Tag::link) links.add(link_of(message.bytes));
  }
  if (const auto info = group.find(Tag::link_info)) collect_dense(storage, *info, links);
  return std::move(links).sorted();
}

std::vector<Attribute> attributes_of(Storage& storage, const Object& object) {
  std::vector<Attribute> attributes;
  for (const Message& message : object.messages()) {
    if (message.tag == Tag::attribute) attributes.push_back(attribute_of(message.bytes));
  }
  if (const auto info = object.find(Tag::attribute_info)) {
    collect_dense(storage, *info, attributes);
  }
  return attributes;
}

}  // namespace weft::hdf5
