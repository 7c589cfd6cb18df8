// Arrays: what they declare is checked against what is stored; then their elements are read.
#include "io/hdf5/array.hpp"

#include <algorithm>

#include "io/hdf5/filters.hpp"

namespace weft::hdf5 {
namespace {

constexpr std::uint64_t most_expansion = 100;  // as of a member of a ZIP archive
constexpr std::uint64_t small = 1 << 20;       // bytes that are harmless whatever they expand to

// ---- messages

Layout parse_old_layout(Cursor cursor) {
  Layout layout;
  const unsigned rank = cursor.u8(), kind = cursor.u8();
  cursor.skip(5);
  if (kind != 0) layout.address = cursor.u64();
  std::vector<std::uint64_t> sizes;
  for (unsigned i = 0; i < rank; ++i) sizes.push_back(cursor.u32());
  if (kind == 0) {
    layout.kind = Layout::Kind::compact;
    const std::uint32_t size = cursor.u32();
    layout.data = cursor.take(size);
  } else if (kind == 2) {
    layout.kind = Layout::Kind::chunked;
    if (sizes.empty()) damaged("its chunks have no sizes");
    layout.element_size = sizes.back();  // which stands behind the axes
    sizes.pop_back();
    layout.chunk = std::move(sizes);
  } else if (kind != 1) {
    damaged("it is stored in an unknown way");
  }
  return layout;
}

void parse_index(Cursor& cursor, unsigned flags, Layout& layout) {
  constexpr unsigned filtered_single = 0x02;
  switch (cursor.u8()) {
    case 1:
      layout.index = Layout::Index::single;
      if ((flags & filtered_single) != 0) {
        layout.single_size = cursor.u64();
        layout.single_mask = cursor.u32();
      }
      break;
    case 2:
      layout.index = Layout::Index::implicit;
      break;
    case 3:
      layout.index = Layout::Index::fixed_array;
      cursor.skip(1);  // the index says itself how it is built
      break;
    case 4:
      layout.index = Layout::Index::extensible_array;
      cursor.skip(5);
      break;
    case 5:
      layout.index = Layout::Index::second_tree;
      cursor.skip(6);
      break;
    default:
      damaged("its chunks are listed in an unknown way");
  }
}

Layout parse_layout(Bytes message) {
  Cursor cursor(message, "where an array is stored");
  const unsigned version = cursor.u8();
  if (version < 1 || version > 4) damaged("how it is stored is said in version {}", version);
  if (version < 3) return parse_old_layout(cursor);
  Layout layout;
  const unsigned kind = cursor.u8();
  if (kind == 0) {
    layout.kind = Layout::Kind::compact;
    const std::uint16_t size = cursor.u16();
    layout.data = cursor.take(size);
  } else if (kind == 1) {
    layout.address = cursor.u64();
    layout.size = cursor.u64();
  } else if (kind == 2 && version == 3) {
    layout.kind = Layout::Kind::chunked;
    const unsigned rank = cursor.u8();
    layout.address = cursor.u64();
    for (unsigned i = 0; i + 1 < rank; ++i) layout.chunk.push_back(cursor.u32());
    layout.element_size = cursor.u32();
  } else if (kind == 2) {
    layout.kind = Layout::Kind::chunked;
    const unsigned flags = cursor.u8(), rank = cursor.u8(), width = cursor.u8();
    for (unsigned i = 0; i + 1 < rank; ++i) layout.chunk.push_back(cursor.number(width));
    layout.element_size = cursor.number(width);
    layout.plain_edges = (flags & 0x01) != 0;
    parse_index(cursor, flags, layout);
    layout.address = cursor.u64();
  } else if (kind == 3) {
    damaged("its elements lie in other files, which is refused");
  } else {
    damaged("it is stored in an unknown way");
  }
  return layout;
}

struct Filters {
  std::vector<Filter> filters;
  std::vector<std::uint64_t> shuffled;
};

Filters parse_filters(Bytes message) {
  Cursor cursor(message, "the filters of an array");
  const unsigned version = cursor.u8(), count = cursor.u8();
  if (version != 1 && version != 2) damaged("its filters are said in version {}", version);
  cursor.skip(version == 1 ? 6 : 0);
  Filters all;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned id = cursor.u16();
    constexpr unsigned first_named = 256;
    const std::uint64_t name = version == 1 || id >= first_named ? cursor.u16() : 0;
    cursor.skip(2);  // flags
    const unsigned values = cursor.u16();
    if (id < 1 || id > 3) damaged("it is compressed by filter {}, which is not known here", id);
    cursor.skip(version == 1 ? (name + 7) / 8 * 8 : name);
    std::uint64_t first = 0;
    for (unsigned value = 0; value < values; ++value) {
      const std::uint64_t read = cursor.u32();
      if (value == 0) first = read;
    }
    cursor.skip(version == 1 && values % 2 == 1 ? 4 : 0);
    const auto filter = static_cast<Filter>(id);
    if (std::find(all.filters.begin(), all.filters.end(), filter) != all.filters.end()) {
      damaged("it has gone through filter {} twice", id);
    }
    all.filters.push_back(filter);
    all.shuffled.push_back(first);
  }
  return all;
}

}  // namespace

// ---- what is declared, and what is there

Array::Array(Storage& storage, const Object& object)
    : storage_(storage),
      type_(Datatype::parse(object.get(Tag::datatype, "type"))),
      space_(Dataspace::parse(object.get(Tag::dataspace, "sizes"))) {
  if (space_.sizes.size() > most_axes) {
    damaged("it has {} axes, more than {}", space_.sizes.size(), most_axes);
  }
  if (space_.is_null) damaged("it has no elements");
  if (object.find(Tag::external_files))
    damaged("its elements lie in other files, which is refused");
  space_.elements();
  layout_ = parse_layout(object.get(Tag::layout, "place"));
  if (const auto filters = object.find(Tag::filters)) {
    auto parsed = parse_filters(*filters);
    filters_ = std::move(parsed.filters);
    shuffled_ = std::move(parsed.shuffled);
  }
  if (layout_.kind == Layout::Kind::chunked) check_chunks();
  check_size();
}

void Array::check_size() {
  const std::uint64_t bytes = times(space_.elements(), type_.size);
  if (layout_.kind == Layout::Kind::compact) {
    stored_ = layout_.data.size();
  } else if (layout_.kind == Layout::Kind::contiguous) {
    const std::uint64_t size = std::min(layout_.size, bytes);
    stored_ = layout_.address == undefined ? 0 : size;
    if (stored_ > 0) storage_.expect_within(layout_.address, stored_, "its content");
  }
  if (filters_.empty() && bytes > stored_) {
    damaged("it declares {} bytes of numbers, but stores {}", bytes, stored_);
  }
  if (bytes > small && bytes / most_expansion > stored_) {
    damaged("it would unpack {} bytes into {}, more than a hundred times as many, which is refused",
            stored_, bytes);
  }
}

void Array::check_chunks() {
  if (layout_.chunk.size() != space_.sizes.size() || layout_.chunk.empty() ||
      layout_.element_size != type_.size) {
    damaged("its chunks have other axes or elements than it has");
  }
  for (const std::uint64_t size : layout_.chunk) {
    if (size == 0) damaged("its chunks have no elements");
  }
  constexpr std::uint64_t least_limit = 1 << 24;
  const std::uint64_t bytes = times(space_.elements(), type_.size);
  if (chunk_bytes() > std::max(2 * bytes, least_limit))
    damaged("its chunks are larger than all of it");
  if (space_.elements() == 0) return;
  std::uint64_t chunks = 1;
  for (std::size_t axis = 0; axis < space_.sizes.size(); ++axis) {
    chunks = times(chunks, chunks_along(axis));
  }
  // Each is stored for itself, with an entry in an index or as many bytes as it has elements.
  if (chunks > storage_.size()) damaged("it declares {} chunks, more than can be", chunks);
  std::vector<bool> seen(static_cast<std::size_t>(chunks));
  std::uint64_t count = 0;
  for_each_chunk([&](const Chunk& chunk) {
    std::uint64_t number = 0;
    for (std::size_t axis = 0; axis < space_.sizes.size(); ++axis) {
      if (chunk.place[axis] >= chunks_along(axis)) damaged("a chunk of it lies outside");
      number = number * chunks_along(axis) + chunk.place[axis];
    }
    if (seen[static_cast<std::size_t>(number)]) damaged("a chunk of it is there twice");
    seen[static_cast<std::size_t>(number)] = true;
    storage_.expect_within(chunk.address, chunk.size, "a chunk of it");
    if (filters_.empty() && chunk.size != chunk_bytes()) damaged("a chunk of it has another size");
    ++count;
    stored_ += chunk.size;
    if (stored_ > storage_.size()) damaged("its chunks claim more bytes than the file has");
  });
  if (count != chunks) damaged("it declares {} chunks, but stores {}", chunks, count);
}

std::uint64_t Array::chunk_bytes() const {
  std::uint64_t bytes = layout_.element_size;
  for (const std::uint64_t size : layout_.chunk) bytes = times(bytes, size);
  return bytes;
}

std::uint64_t Array::chunks_along(std::size_t axis) const {
  const std::uint64_t size = space_.sizes[axis], chunk = layout_.chunk[axis];
  return size / chunk + (size % chunk != 0 ? 1 : 0);
}

// ---- elements

bool Array::is_plain_f32() const {
  return layout_.kind == Layout::Kind::contiguous && type_.kind == Datatype::Kind::real &&
         type_.size == sizeof(float) && !type_.is_big_endian;
}

void Array::read_plain(std::span<std::byte> to) const {
  storage_.read(layout_.address, to, "its content");
}

void Array::read(const std::function<void(std::uint64_t, Bytes)>& take) const {
  const std::uint64_t elements = space_.elements();
  if (elements == 0) return;
  if (layout_.kind == Layout::Kind::chunked) {
    return for_each_chunk([&](const Chunk& chunk) { read_chunk(chunk, take); });
  }
  const std::uint64_t bytes = times(elements, type_.size);
  if (layout_.kind == Layout::Kind::compact) {
    return take(0, layout_.data.first(static_cast<std::size_t>(bytes)));
  }
  constexpr std::uint64_t most_buffer = 1 << 18;
  const std::uint64_t run = std::max<std::uint64_t>(most_buffer / type_.size, 1);
  std::vector<std::byte> buffer;
  for (std::uint64_t first = 0; first < elements; first += run) {
    buffer.resize(static_cast<std::size_t>(std::min(run, elements - first) * type_.size));
    storage_.read(layout_.address + first * type_.size, buffer, "its content");
    take(first, buffer);
  }
}

std::vector<std::byte> Array::unpacked(const Chunk& chunk) const {
  std::uint32_t mask = chunk.mask;
  for (std::size_t axis = 0; axis < layout_.chunk.size() && layout_.plain_edges; ++axis) {
    const std::uint64_t end = (chunk.place[axis] + 1) * layout_.chunk[axis];
    if (end > space_.sizes[axis]) mask = ~std::uint32_t{0};
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(chunk.size));
  storage_.read(chunk.address, bytes, "a chunk of it");
  const std::uint64_t size = chunk_bytes();
  for (std::size_t i = filters_.size(); i-- > 0;) {
    if ((mask >> i & 1) != 0) continue;
    // A checksum that comes before it makes a chunk longer.
    const bool has_sum =
        std::find(filters_.begin(), filters_.begin() + static_cast<std::ptrdiff_t>(i),
                  Filter::fletcher32) != filters_.begin() + static_cast<std::ptrdiff_t>(i);
    if (filters_[i] == Filter::deflate) {
      bytes = inflated(bytes, size + (has_sum ? 4 : 0));
    } else if (filters_[i] == Filter::fletcher32) {
      bytes = without_fletcher32(std::move(bytes));
    } else {
      bytes = unshuffled(bytes, static_cast<std::size_t>(shuffled_[i]));
    }
  }
  if (bytes.size() != size)
    damaged("a chunk of it unpacks into {} bytes, not {}", bytes.size(), size);
  return bytes;
}

void Array::read_chunk(const Chunk& chunk,
                       const std::function<void(std::uint64_t, Bytes)>& take) const {
  const std::vector<std::byte> bytes = unpacked(chunk);
  const std::size_t rank = space_.sizes.size(), last = rank - 1;
  Place size{}, at{};  // how much of the chunk is in the array; a row of it
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const std::uint64_t first = chunk.place[axis] * layout_.chunk[axis];
    size[axis] = std::min(layout_.chunk[axis], space_.sizes[axis] - first);
  }
  for (;;) {
    std::uint64_t from = 0, to = 0;
    for (std::size_t axis = 0; axis < rank; ++axis) {
      from = from * layout_.chunk[axis] + at[axis];
      to = to * space_.sizes[axis] + chunk.place[axis] * layout_.chunk[axis] + at[axis];
    }
    take(to, Bytes(bytes).subspan(static_cast<std::size_t>(from * type_.size),
                                  static_cast<std::size_t>(size[last] * type_.size)));
    std::size_t axis = last;
    while (axis > 0 && ++at[axis - 1] == size[axis - 1]) at[--axis] = 0;
    if (axis == 0) return;
  }
}

}  // namespace weft::hdf5
