// What is in a group, and the attributes of an object. For io/ alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5/object.hpp"
#include "io/hdf5/types.hpp"

namespace weft::hdf5 {

struct Link {
  std::string name;
  std::uint64_t address = undefined;  ///< undefined for a soft or external link
};

/// The links of a group, in the order of their names, in whichever of three ways they are kept: a
/// table of symbols, messages of the header, or a fractal heap.
std::vector<Link> links_of(Storage& storage, const Object& group);

/// An attribute's message in parts, which lie in the object's header or in `heap`.
struct Attribute {
  std::string name;
  Bytes type, space, data;
  std::vector<std::byte> heap;
};

/// The attributes of an object, which must live as long as they do.
std::vector<Attribute> attributes_of(Storage& storage, const Object& object);

}  // namespace weft::hdf5
