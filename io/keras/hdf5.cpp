// Reading groups, text attributes and arrays.
#include "io/keras/hdf5.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/hdf5/array.hpp"
#include "io/hdf5/links.hpp"
#include "io/hdf5/trees.hpp"
#include "io/quoted.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;
using hdf5::Damaged;
using hdf5::Datatype;
using hdf5::Object;

constexpr std::uint64_t most_expansion = 100;  // as of a member of a ZIP archive
constexpr std::uint64_t small = 1 << 20;       // bytes that are harmless whatever they expand to

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t first = 0; first <= path.size();) {
    const std::size_t last = std::min(path.find('/', first), path.size());
    if (last > first) parts.push_back(path.substr(first, last - first));
    first = last + 1;
  }
  return parts;
}

/// Trailing NULs, and blanks, are padding.
std::string unpadded(hdf5::Bytes bytes) {
  std::string text = hdf5::Cursor(bytes, "a text").text();
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace

/// An object; of a group, with what is in it.
struct Hdf5Group::Node {
  Object object;
  std::vector<hdf5::Link> links{};
  std::vector<hdf5::Attribute> attributes{};

  std::uint64_t size() const {
    std::uint64_t bytes = sizeof(Node);
    for (const hdf5::Link& link : links) bytes += sizeof link + link.name.size();
    for (const hdf5::Attribute& attribute : attributes) {
      bytes += sizeof attribute + attribute.name.size() + attribute.heap.size();
    }
    return bytes;
  }
  const hdf5::Attribute* attribute(const std::string& name) const {
    const auto found = std::ranges::find(attributes, name, &hdf5::Attribute::name);
    return found == attributes.end() ? nullptr : &*found;
  }
};

struct Hdf5Group::Source {
  template <class Place>
  Source(std::string name_, Place place) : name(std::move(name_)), storage(place) {}

  /// What is at an address. Groups are remembered, since every path leads through them.
  std::shared_ptr<const Node> node(std::uint64_t address) {
    if (const auto found = groups.find(address); found != groups.end()) return found->second;
    const auto node = std::make_shared<Node>(Node{Object(storage, address)});
    if (node->object.kind() != Object::Kind::group) return node;
    node->links = hdf5::links_of(storage, node->object);
    node->attributes = hdf5::attributes_of(storage, node->object);
    remembered += node->size();
    if (remembered > storage.size() + small) {
      groups.clear();
      remembered = node->size();
    }
    groups.emplace(address, node);
    return node;
  }

  std::string name;
  hdf5::Storage storage;
  std::unordered_map<std::uint64_t, std::shared_ptr<const Node>> groups;
  std::uint64_t remembered = 0;
  // How much was read of arrays: what the file has, once. Else many names of one array could make
  // memory of a file that it does not have.
  std::uint64_t stored = 0, unpacked = 0;
};

// ---- messages

void Hdf5Group::refuse(const std::string& name, const std::string& what) const {
  const std::string where = (path_ == "/" ? "" : path_) + (name.empty() ? "" : "/" + name);
  fail<IoError>("\"{}\": {}: {}", file_->name, where.empty() ? "/" : printable(where), what);
}

template <class F>
auto Hdf5Group::guarded(const std::string& name, F f) const {
  try {
    return f();
  } catch (const Damaged& problem) {
    refuse(name, problem.what());
  }
}

// ---- groups

std::shared_ptr<const Hdf5Group::Node> Hdf5Group::find(const std::string& name) const {
  std::shared_ptr<const Node> node = node_;
  for (const std::string& part : parts_of(name)) {
    if (part == "." || part == "..") refuse(name, "it is no name of a group or an array");
    const auto link =
        std::lower_bound(node->links.begin(), node->links.end(), part,
                         [](const hdf5::Link& a, const std::string& b) { return a.name < b; });
    if (link == node->links.end() || link->name != part) return nullptr;
    if (link->address == hdf5::undefined) {
      refuse(name, "it is a soft or external link, which is refused");
    }
    node = guarded(name, [&] { return file_->node(link->address); });
  }
  return node;
}

bool Hdf5Group::has_group(const std::string& name) const {
  const auto node = find(name);
  return node && node->object.kind() == Object::Kind::group;
}

bool Hdf5Group::has_array(const std::string& name) const {
  const auto node = find(name);
  return node && node->object.kind() == Object::Kind::array;
}

Hdf5Group Hdf5Group::group(const std::string& name) const {
  auto node = find(name);
  if (!node) refuse(name, "there is no such group");
  if (node->object.kind() != Object::Kind::group) refuse(name, "it is no group");
  if (parts_of(name).empty()) return *this;
  return {file_, (path_ == "/" ? "" : path_) + "/" + name, std::move(node)};
}

std::vector<std::string> Hdf5Group::children() const {
  std::vector<std::string> names;
  for (const hdf5::Link& link : node_->links) names.push_back(link.name);
  return names;
}

// ---- attributes

bool Hdf5Group::has_attribute(const std::string& name) const {
  return node_->attribute(name) != nullptr;
}

std::vector<std::string> Hdf5Group::read_texts(const std::string& name, bool scalar) const {
  const auto bad = [&](const std::string& what) {
    hdf5::damaged("attribute \"{}\": {}", name, what);
  };
  return guarded("", [&] {
    const hdf5::Attribute* attribute = node_->attribute(name);
    if (attribute == nullptr) bad("it is not there");
    const Datatype type = Datatype::parse(attribute->type);
    const std::uint64_t count = hdf5::Dataspace::parse(attribute->space).elements();
    if (scalar && count != 1) bad(fmt::format("it must be one text, but it has {}", count));
    std::vector<std::string> texts;
    if (count == 0) return texts;
    if (type.kind != Datatype::Kind::text && type.kind != Datatype::Kind::any_text) {
      bad("it is no text");
    }
    // A text takes more memory than its bytes in the file; lists that are honest have a group or an
    // array for each text.
    constexpr std::uint64_t some = 1 << 16, least = 16;
    if (count > some + file_->storage.size() / least) bad("it has more texts than can be");
    hdf5::TextHeaps heaps(file_->storage);
    hdf5::Cursor cursor(attribute->data, "an attribute's value");
    for (std::uint64_t i = 0; i < count; ++i) {
      const hdf5::Bytes bytes = cursor.take(type.size);
      texts.push_back(type.kind == Datatype::Kind::text
                          ? unpadded(bytes)
                          : heaps.text(hdf5::Cursor(bytes, "a reference to a text")));
    }
    return texts;
  });
}

std::optional<std::string> Hdf5Group::text(const std::string& name) const {
  if (!has_attribute(name)) return std::nullopt;
  return read_texts(name, true)[0];
}

std::vector<std::string> Hdf5Group::texts(const std::string& name) const {
  if (has_attribute(name)) return read_texts(name, false);
  std::vector<std::string> all;
  for (std::size_t chunk = 0;; ++chunk) {
    const std::string part = name + std::to_string(chunk);
    if (!has_attribute(part)) return all;
    const std::vector<std::string> some = read_texts(part, false);
    all.insert(all.end(), some.begin(), some.end());
  }
}

// ---- arrays

std::shared_ptr<const Hdf5Group::Node> Hdf5Group::find_array(const std::string& name) const {
  auto node = find(name);
  if (!node) refuse(name, "there is no such array");
  if (node->object.kind() != Object::Kind::array) refuse(name, "it is no array");
  return node;
}

namespace {

Shape shape_of(const hdf5::Array& array) {
  std::vector<std::int64_t> sizes;
  for (const std::uint64_t size : array.space().sizes) {
    // Of an array without elements, an axis can be of any size.
    if (size >> 62 != 0) hdf5::damaged("an axis of it has {} elements, more than can be", size);
    sizes.push_back(static_cast<std::int64_t>(size));
  }
  try {
    return Shape(sizes);
  } catch (const ShapeError& error) {
    hdf5::damaged("{}", error.what());
  }
}

}  // namespace

Shape Hdf5Group::shape(const std::string& name) const {
  const auto node = find_array(name);
  return guarded(name, [&] { return shape_of(hdf5::Array(file_->storage, node->object)); });
}

Tensor Hdf5Group::array(const std::string& name) const {
  const auto node = find_array(name);
  return guarded(name, [&] {
    const hdf5::Array array(file_->storage, node->object);
    const Datatype& type = array.type();
    if (!type.is_number() && type.kind != Datatype::Kind::bfloat16) {
      hdf5::damaged("{}", type.problem.empty() ? "its elements are no numbers" : type.problem);
    }
    file_->stored += array.stored();
    if (file_->stored > file_->storage.size()) {
      hdf5::damaged("the arrays claim more bytes than the file has");
    }
    const Shape shape = shape_of(array);
    if (array.is_compressed()) {
      file_->unpacked += static_cast<std::uint64_t>(shape.elements()) * sizeof(float);
      if (file_->unpacked > small && file_->unpacked / most_expansion > file_->storage.size()) {
        hdf5::damaged(
            "the arrays would unpack into more than a hundred times the file, which is refused");
      }
    }
    Tensor tensor(Type{DType::f32, shape});
    const auto numbers = tensor.data<float>();
    if (numbers.empty()) return tensor;
    if (array.is_plain_f32()) {
      array.read_plain(std::as_writable_bytes(numbers));
      return tensor;
    }
    array.read([&](std::uint64_t first, hdf5::Bytes elements) {
      hdf5::convert(type, elements,
                    numbers.subspan(static_cast<std::size_t>(first),
                                    static_cast<std::size_t>(elements.size() / type.size)));
    });
    return tensor;
  });
}

std::int64_t Hdf5Group::integer(const std::string& name) const {
  const auto node = find_array(name);
  return guarded(name, [&] {
    const hdf5::Array array(file_->storage, node->object);
    if (array.space().elements() != 1) hdf5::damaged("it is not one number");
    if (!array.type().is_number()) hdf5::damaged("it is no number");
    std::int64_t number = 0;
    array.read([&](std::uint64_t, hdf5::Bytes element) {
      number = hdf5::integer_of(array.type(), element);
    });
    return number;
  });
}

// ---- files

Hdf5File::Hdf5File(std::shared_ptr<Hdf5Group::Source> source)
    : root_(std::move(source), "/", nullptr) {
  Hdf5Group::Source& file = *root_.file_;
  try {
    root_.node_ = file.node(hdf5::find_root(file.storage));
    if (root_.node_->object.kind() != Object::Kind::group) hdf5::damaged("its root is no group");
  } catch (const Damaged& problem) {
    fail<IoError>("\"{}\" cannot be read as HDF5: {}", file.name, problem.what());
  }
}

Hdf5File Hdf5File::open(const fs::path& path) {
  return Hdf5File(std::make_shared<Hdf5Group::Source>(path.string(), path));
}

Hdf5File Hdf5File::open(std::span<const std::byte> bytes, const std::string& name) {
  return Hdf5File(std::make_shared<Hdf5Group::Source>(name, bytes));
}

}  // namespace weft
