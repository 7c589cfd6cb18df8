#include "io/hdf5/object.hpp"

#include <algorithm>

namespace weft::hdf5 {
namespace {

constexpr std::size_t most_messages = 65535;  // as many as the first format can count
constexpr std::uint8_t shared_flag = 0x02, must_be_known_flag = 0x80;
constexpr std::uint64_t least_superblock = 48;

bool is_read(Tag tag) {
  switch (tag) {
    case Tag::dataspace:
    case Tag::link_info:
    case Tag::datatype:
    case Tag::link:
    case Tag::external_files:
    case Tag::layout:
    case Tag::group_info:
    case Tag::filters:
    case Tag::attribute:
    case Tag::continuation:
    case Tag::symbol_table:
    case Tag::attribute_info:
      return true;
    default:
      return false;
  }
}

void expect_eight_bytes(unsigned addresses, unsigned sizes) {
  if (addresses != 8 || sizes != 8) {
    damaged("addresses of {} bytes and sizes of {} are not read, only those of 8", addresses,
            sizes);
  }
}

}  // namespace

// ---- the superblock

std::uint64_t find_root(Storage& storage) {
  constexpr const char* what = "the superblock";
  for (std::uint64_t base = 0; base < storage.size(); base = base == 0 ? 512 : 2 * base) {
    storage.set_base(base);
    const std::uint64_t room = storage.size() - base;
    if (room < least_superblock) break;
    const auto bytes = storage.structure(0, std::min<std::uint64_t>(room, 112), what);
    Cursor cursor(bytes, what);
    try {
      cursor.expect("\x89HDF\r\n\x1a\n");
    } catch (const Damaged&) {
      continue;  // perhaps behind a block of the user's
    }
    const unsigned version = cursor.u8();
    if (version > 3) damaged("its superblock has version {}; 0 to 3 are read", version);
    std::uint64_t root = 0, end = 0;
    if (version < 2) {
      cursor.skip(4);  // versions of other parts, and a reserved byte
      const unsigned addresses = cursor.u8();
      expect_eight_bytes(addresses, cursor.u8());
      cursor.skip(version == 0 ? 9 : 13);  // sizes of B-trees, flags
      cursor.skip(16);                     // the base, which is where we found it; free space
      end = cursor.u64();
      cursor.skip(16);  // the driver's block; the name of the root in its entry
      root = cursor.u64();
    } else {
      const Bytes content = checked(Bytes(bytes).first(least_superblock), what);
      cursor = Cursor(content.subspan(9), what);
      const unsigned addresses = cursor.u8();
      expect_eight_bytes(addresses, cursor.u8());
      cursor.skip(1 + 16);  // flags; the base and the superblock's extension
      end = cursor.u64();
      root = cursor.u64();
    }
    if (end > storage.size()) {
      damaged("it is cut off: it has {} bytes, and had {}", storage.size(), end);
    }
    return root;
  }
  damaged("it is no HDF5 file");
}

// ---- headers

Object::Object(Storage& storage, std::uint64_t address) {
  constexpr const char* what = "an object's header";
  const auto start = storage.structure(address, 4, what);
  second_format_ = std::to_integer<char>(start[0]) == 'O';
  second_format_ ? read_second_format(storage, address) : read_first_format(storage, address);
  read_continuations(storage);
}

void Object::read_first_format(Storage& storage, std::uint64_t address) {
  constexpr const char* what = "an object's header";
  constexpr std::uint64_t prefix = 16;
  const auto start = storage.structure(address, prefix, what);
  Cursor cursor(start, what);
  cursor.expect("\x01");
  cursor.skip(7);  // counts of messages and references
  blocks_.push_back(storage.structure(address + prefix, cursor.u32(), what));
  read_messages(blocks_.back());
}

void Object::read_second_format(Storage& storage, std::uint64_t address) {
  constexpr const char* what = "an object's header";
  std::uint64_t prefix = 6;
  const auto size_of = [&](Cursor cursor) {
    cursor.expect("OHDR\x02");
    const unsigned flags = cursor.u8();
    has_creation_order_ = (flags & 0x04) != 0;
    prefix += ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
    cursor.skip(prefix - 6);  // times; numbers of attributes
    const std::size_t size_bytes = std::size_t{1} << (flags & 0x03);
    prefix += size_bytes;
    const std::uint64_t size = cursor.number(size_bytes);
    storage.expect_within(address, size, what);
    return prefix + size + 4;
  };
  // The longest prefix, or what the file has of it.
  const auto longest =
      static_cast<std::size_t>(std::min<std::uint64_t>(6 + 16 + 4 + 8, storage.room(address)));
  blocks_.push_back(storage.structure(address, longest, size_of, what));
  const Bytes block = checked(blocks_.back(), what);
  read_messages(block.subspan(std::min<std::size_t>(prefix, block.size())));
}

void Object::read_continuations(Storage& storage) {
  constexpr const char* what = "a part of an object's header";
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < continuations_.size(); ++i) {
    const auto [address, size] = continuations_[i];
    bytes += size;
    if (size < 4 || bytes > storage.size()) damaged("the parts of an object's header overlap");
    blocks_.push_back(storage.structure(address, size, what));
    Bytes block = blocks_.back();
    if (second_format_) {
      block = checked(block, what);
      Cursor(block, what).expect("OCHK");
      block = block.subspan(4);
    }
    read_messages(block);
  }
}

void Object::read_messages(Bytes block) {
  Cursor cursor(block, "an object's header");
  const std::size_t least = second_format_ ? (has_creation_order_ ? 6 : 4) : 8;
  while (cursor.left() >= least) {
    const auto tag = static_cast<Tag>(second_format_ ? cursor.u8() : cursor.u16());
    const std::uint16_t size = cursor.u16();
    const std::uint8_t flags = cursor.u8();
    cursor.skip(second_format_ ? (has_creation_order_ ? 2 : 0) : 3);
    const Bytes bytes = cursor.take(size);
    if (!is_read(tag)) {
      if ((flags & must_be_known_flag) != 0) {
        damaged("it has a message of type {}, which is not read", static_cast<unsigned>(tag));
      }
      continue;
    }
    if ((flags & shared_flag) != 0) {
      damaged("a message of type {} is shared with other objects, which is not read",
              static_cast<unsigned>(tag));
    }
    if (tag == Tag::continuation) {
      Cursor place(bytes, "a continuation");
      const std::uint64_t address = place.u64();
      continuations_.push_back({address, place.u64()});
    } else {
      messages_.push_back({tag, bytes});
    }
    if (messages_.size() + continuations_.size() > most_messages) {
      damaged("an object's header has more than {} messages", most_messages);
    }
  }
}

Object::Kind Object::kind() const {
  if (find(Tag::dataspace) && find(Tag::datatype)) return Kind::array;
  const bool is_group = find(Tag::symbol_table) || find(Tag::link_info);
  return is_group ? Kind::group : Kind::other;
}

std::optional<Bytes> Object::find(Tag tag) const {
  const auto found = std::find_if(messages_.begin(), messages_.end(),
                                  [&](const Message& message) { return message.tag == tag; });
  return found == messages_.end() ? std::nullopt : std::optional(found->bytes);
}

Bytes Object::get(Tag tag, const char* what) const {
  const auto found = find(tag);
  if (!found) damaged("it has no {}", what);
  return *found;
}

}  // namespace weft::hdf5
