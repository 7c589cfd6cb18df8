// Objects of an HDF5 file: a header of messages, which say what the object is. For io/ alone.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/hdf5/bytes.hpp"

namespace weft::hdf5 {

/// Types of messages (section IV.A.2).
enum class Tag : std::uint16_t {
  nothing = 0x00,
  dataspace = 0x01,
  link_info = 0x02,
  datatype = 0x03,
  link = 0x06,
  external_files = 0x07,
  layout = 0x08,
  group_info = 0x0a,
  filters = 0x0b,
  attribute = 0x0c,
  continuation = 0x10,
  symbol_table = 0x11,
  attribute_info = 0x15,
};

struct Message {
  Tag tag{};
  Bytes bytes;
};

/// An object's header, read whole.
class Object {
 public:
  enum class Kind { group, array, other };

  Object(Storage& storage, std::uint64_t address);

  Kind kind() const;
  const std::vector<Message>& messages() const noexcept { return messages_; }
  /// The first message of a type, if there is one.
  std::optional<Bytes> find(Tag tag) const;
  /// Throws Damaged if there is none.
  Bytes get(Tag tag, const char* what) const;

 private:
  void read_first_format(Storage& storage, std::uint64_t address);
  void read_second_format(Storage& storage, std::uint64_t address);
  void read_continuations(Storage& storage);
  void read_messages(Bytes block);

  /// Where more messages lie, for read_continuations.
  struct Continuation {
    std::uint64_t address, size;
  };

  bool second_format_ = false, has_creation_order_ = false;
  std::vector<std::vector<std::byte>> blocks_;
  std::vector<Continuation> continuations_;
  std::vector<Message> messages_;
};

/// Where the file's root group is, and what addresses count from, which it tells the storage
/// (section II.A: the superblock).
std::uint64_t find_root(Storage& storage);

}  // namespace weft::hdf5
