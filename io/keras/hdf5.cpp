#include "io/keras/hdf5.hpp"

#include <hdf5.h>
#include <hdf5_hl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <optional>
#include <unordered_map>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/keras/trial.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

static_assert(sizeof(hid_t) == sizeof(std::int64_t), "libhdf5 before 1.10");

// libhdf5 keeps an object's attributes in a header of at most 64 KiB, and Keras cuts lists of names
// before they reach this.
constexpr std::size_t header_limit = 64512;
constexpr std::uint64_t most_expansion = 100;  // as of a member of a ZIP archive
constexpr std::uint64_t small = 1 << 20;       // bytes, of which no harm comes
constexpr std::uint64_t least_name = 8;        // bytes that a name takes in a file

// A text of any length is kept in a heap of the file, and where it belongs is a reference to it.
// What libhdf5 1.10 does with a damaged one is undefined, so that references are taken as they are,
// by a conversion that converts nothing, and followed here.

constexpr std::size_t reference_size = 16;  // length, 4 bytes; address of the heap, 8; index, 4

herr_t keep_reference(hid_t, hid_t, H5T_cdata_t* data, std::size_t, std::size_t, std::size_t, void*,
                      void*, hid_t) {
  data->need_bkg = H5T_BKG_NO;
  return 0;
}

Hdf5Handle type_of_reference() { return {H5Tcreate(H5T_OPAQUE, reference_size), H5Tclose}; }

void register_references() {
  const Hdf5Handle opaque = type_of_reference();
  const Hdf5Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(*text, H5T_VARIABLE);
  H5Tregister(H5T_PERS_SOFT, "weft reference", *text, *opaque, keep_reference);
}

/// A little-endian number.
std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = size; i-- > 0;) {
    number = number << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
  }
  return number;
}

/// One of the heaps: "GCOL", a version, its size; then objects, each an index, a count of
/// references, a size, and its bytes, up to one of index 0.
class Heap {
 public:
  static constexpr std::size_t header = 16;
  explicit Heap(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {
    for (std::size_t at = header; at + header <= bytes_.size();) {
      const std::uint64_t index = number_at(bytes_, at, 2), size = number_at(bytes_, at + 8, 8);
      at += header;
      if (index == 0 || size > bytes_.size() - at) break;
      objects_.emplace(index, std::span(bytes_).subspan(at, size));
      at += std::min<std::size_t>((size + 7) / 8 * 8, bytes_.size() - at);
    }
  }
  /// Nothing if there is none, or it is shorter.
  std::optional<std::string> text(std::uint64_t index, std::uint64_t length) const {
    const auto found = objects_.find(index);
    if (found == objects_.end() || found->second.size() < length) return std::nullopt;
    const char* first = reinterpret_cast<const char*>(found->second.data());
    return std::string(first, ::strnlen(first, length));
  }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
  std::unordered_map<std::uint64_t, std::span<const std::byte>> objects_;
};

std::recursive_mutex& library() {
  static std::recursive_mutex mutex;
  static const bool ready = [] {
    H5dont_atexit();  // after a write that failed, its own end of the program crashes
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors are exceptions here, not text
    H5PLset_loading_state(0);                     // no file loads code
    register_references();
    return true;
  }();
  static_cast<void>(ready);
  return mutex;
}

/// What libhdf5 says of its last error: the innermost message.
std::string complaint() {
  std::string text;
  const auto walk = [](unsigned, const H5E_error2_t* error, void* data) -> herr_t {
    *static_cast<std::string*>(data) = error->desc == nullptr ? "" : error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, walk, &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "it is damaged" : text;
}

Hdf5Handle type_of_text(std::size_t size, H5T_cset_t charset) {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(*type, size);
  H5Tset_cset(*type, charset);
  if (size != H5T_VARIABLE) H5Tset_strpad(*type, H5T_STR_NULLPAD);
  return type;
}

/// Trailing NULs, and blanks, are padding.
std::string unpadded(const char* text, std::size_t size) {
  std::string result(text, ::strnlen(text, size));
  while (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t first = 0; first <= path.size();) {
    const std::size_t last = std::min(path.find('/', first), path.size());
    if (last > first) parts.push_back(path.substr(first, last - first));
    first = last + 1;
  }
  return parts;
}

/// 16 bits of a bfloat16 are the upper half of an f32.
float from_bfloat16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float number = 0;
  std::memcpy(&number, &wide, sizeof number);
  return number;
}

}  // namespace

// ---- groups

std::string Hdf5Group::place(const std::string& name) const {
  return (path_ == "/" ? "" : path_) + (name.empty() ? "" : "/" + name);
}

void Hdf5Group::refuse(const std::string& name, const std::string& what) const {
  const std::string where = place(name);
  fail<IoError>("\"{}\": {}: {}", file_->name, where.empty() ? "/" : where, what);
}

Hdf5Group::Kind Hdf5Group::kind(const std::string& name) const {
  // Every step of the way must be a link within this file.
  std::string path;
  for (const std::string& part : parts_of(name)) {
    if (part == "." || part == "..") refuse(name, "it is no name of a group or an array");
    path += (path.empty() ? "" : "/") + part;
    const htri_t exists = H5Lexists(*handle_, path.c_str(), H5P_DEFAULT);
    if (exists < 0) refuse(path, complaint());
    if (exists == 0) return Kind::nothing;
    H5L_info_t link;
    if (H5Lget_info(*handle_, path.c_str(), &link, H5P_DEFAULT) < 0) refuse(path, complaint());
    if (link.type != H5L_TYPE_HARD) refuse(path, "it is a soft or external link, which is refused");
  }
  if (path.empty()) return Kind::group;  // "/": the group itself
  H5O_info_t info;
  if (H5Oget_info_by_name2(*handle_, path.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0) {
    refuse(name, complaint());
  }
  if (info.type == H5O_TYPE_GROUP) return Kind::group;
  return info.type == H5O_TYPE_DATASET ? Kind::array : Kind::other;
}

bool Hdf5Group::has_group(const std::string& name) const { return kind(name) == Kind::group; }
bool Hdf5Group::has_array(const std::string& name) const { return kind(name) == Kind::array; }

Hdf5Group Hdf5Group::group(const std::string& name) const {
  const Kind found = kind(name);
  if (found == Kind::nothing) refuse(name, "there is no such group");
  if (found != Kind::group) refuse(name, "it is no group");
  const bool is_itself = parts_of(name).empty();
  Hdf5Handle handle(H5Gopen2(*handle_, is_itself ? "." : name.c_str(), H5P_DEFAULT), H5Gclose);
  if (!handle) refuse(name, complaint());
  return {file_, is_itself ? path_ : place(name), std::move(handle)};
}

std::vector<std::string> Hdf5Group::children() const {
  H5G_info_t info;
  if (H5Gget_info(*handle_, &info) < 0) refuse("", complaint());
  struct Names {
    std::size_t most;  // a damaged index may lead in a circle
    std::vector<std::string> all{};
  } found{file_->size / least_name};
  const auto append = [](hid_t, const char* name, const H5L_info_t*, void* data) -> herr_t {
    auto& names = *static_cast<Names*>(data);
    names.all.emplace_back(name);
    return names.all.size() > names.most ? -1 : 0;
  };
  hsize_t at = 0;
  if (H5Literate(*handle_, H5_INDEX_NAME, H5_ITER_INC, &at, append, &found) < 0) {
    refuse("", complaint());
  }
  return std::move(found.all);
}

// ---- attributes

bool Hdf5Group::has_attribute(const std::string& name) const {
  const htri_t exists = H5Aexists(*handle_, name.c_str());
  if (exists < 0) refuse("", fmt::format("attribute \"{}\": {}", name, complaint()));
  return exists > 0;
}

std::vector<std::string> Hdf5Group::read_heap(std::int64_t attribute, std::size_t count) const {
  const Hdf5Handle memory = type_of_reference();
  std::vector<std::byte> references(count * reference_size);
  if (H5Aread(attribute, *memory, references.data()) < 0) refuse("", complaint());
  std::ifstream in;
  if (file_->memory.empty()) in.open(file_->name, std::ios::binary);
  const auto bytes = [&](std::uint64_t address, std::uint64_t size) {
    const std::uint64_t room = file_->size - std::min(file_->begin, file_->size);
    if (address > room || size > room - address) {
      refuse("", "a text lies beyond the end of the file");
    }
    std::vector<std::byte> result(size);
    const std::uint64_t at = file_->begin + address;
    if (!file_->memory.empty()) {
      std::ranges::copy(file_->memory.subspan(at, size), result.begin());
    } else if (!in.seekg(static_cast<std::streamoff>(at)) ||
               !in.read(reinterpret_cast<char*>(result.data()),
                        static_cast<std::streamsize>(size))) {
      refuse("", "a text cannot be read");
    }
    return result;
  };
  std::unordered_map<std::uint64_t, Heap> heaps;
  std::uint64_t read = 0, length_of_all = 0;  // no heap overlaps another, and no text
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = i * reference_size;
    const std::uint64_t length = number_at(references, at, 4),
                        address = number_at(references, at + 4, 8),
                        index = number_at(references, at + 12, 4);
    if (length == 0 || address == 0) {
      texts.emplace_back();
      continue;
    }
    auto heap = heaps.find(address);
    if (heap == heaps.end()) {
      const std::vector<std::byte> start = bytes(address, Heap::header);
      const bool is_heap = std::memcmp(start.data(), "GCOL\1", 5) == 0;
      const std::uint64_t size = number_at(start, 8, 8);
      if (!is_heap || size < Heap::header || size > file_->size - read) {
        refuse("", "where a text should be there is something else");
      }
      read += size;
      heap = heaps.emplace(address, Heap(bytes(address, size))).first;
    }
    length_of_all += length;
    auto text = heap->second.text(index, length);
    if (!text || length_of_all > file_->size) refuse("", "a text is not there, or not all of it");
    texts.push_back(std::move(*text));
  }
  return texts;
}

std::vector<std::string> Hdf5Group::read_texts(const std::string& name, bool scalar) const {
  const auto bad = [&](const std::string& what) {
    refuse("", fmt::format("attribute \"{}\": {}", name, what));
  };
  const Hdf5Handle attribute(H5Aopen(*handle_, name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute) bad(complaint());
  const Hdf5Handle type(H5Aget_type(*attribute), H5Tclose);
  const Hdf5Handle space(H5Aget_space(*attribute), H5Sclose);
  if (!type || !space) bad(complaint());
  const hssize_t points = H5Sget_simple_extent_npoints(*space);
  if (points < 0) bad(complaint());
  if (scalar && points != 1) bad(fmt::format("it must be one text, but it has {}", points));
  if (points == 0) return {};
  const auto count = static_cast<std::uint64_t>(points);
  if (H5Tget_class(*type) != H5T_STRING) bad("it is no text");
  const htri_t variable = H5Tis_variable_str(*type);
  if (variable < 0) bad(complaint());
  if (variable > 0) {
    if (count > file_->size / reference_size) bad("it claims more texts than can be");
    return read_heap(*attribute, count);
  }
  const std::size_t size = H5Tget_size(*type);
  if (size == 0 || count > file_->size / size) bad("it claims more text than the file has");
  std::vector<std::string> texts;
  std::vector<char> bytes(size * count);
  const Hdf5Handle memory = type_of_text(size, H5Tget_cset(*type));
  if (H5Aread(*attribute, *memory, bytes.data()) < 0) bad(complaint());
  for (std::size_t i = 0; i < count; ++i) texts.push_back(unpadded(&bytes[i * size], size));
  return texts;
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

void Hdf5Group::set_text(const std::string& name, const std::string& text) const {
  const Hdf5Handle type = type_of_text(H5T_VARIABLE, H5T_CSET_UTF8);
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(*handle_, name.c_str(), *type, *space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const char* pointer = text.c_str();
  if (!attribute || H5Awrite(*attribute, *type, &pointer) < 0) {
    refuse("", fmt::format("cannot write attribute \"{}\": {}", name, complaint()));
  }
}

void Hdf5Group::set_texts(const std::string& name, const std::vector<std::string>& texts) const {
  const auto write = [&](const std::string& part, std::span<const std::string> some,
                         std::size_t size) {
    const bool empty = some.empty();
    const Hdf5Handle text = type_of_text(std::max<std::size_t>(size, 1), H5T_CSET_ASCII);
    const hid_t type = empty ? H5T_IEEE_F64LE : *text;
    const hsize_t count = some.size();
    const Hdf5Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
    const Hdf5Handle attribute(
        H5Acreate2(*handle_, part.c_str(), type, *space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    std::vector<char> bytes(std::max<std::size_t>(size, 1) * some.size() + 1);
    for (std::size_t i = 0; i < some.size(); ++i) {
      std::memcpy(&bytes[i * size], some[i].data(), some[i].size());
    }
    if (!attribute || (!empty && H5Awrite(*attribute, type, bytes.data()) < 0)) {
      refuse("", fmt::format("cannot write attribute \"{}\": {}", part, complaint()));
    }
  };
  std::size_t longest = 0;
  for (const std::string& text : texts) longest = std::max(longest, text.size());
  if (longest > header_limit) {
    refuse("", fmt::format("attribute \"{}\": a name of {} bytes is too long", name, longest));
  }
  const std::size_t count = texts.size();
  std::size_t chunks = 1;
  const auto chunk_of = [&] { return (count + chunks - 1) / chunks; };
  while (chunk_of() * longest > header_limit) ++chunks;
  if (chunks == 1) return write(name, texts, longest);
  for (std::size_t i = 0, first = 0; i < chunks; ++i) {
    const std::size_t size = count / chunks + (i < count % chunks ? 1 : 0);
    write(name + std::to_string(i), std::span(texts).subspan(first, size), longest);
    first += size;
  }
}

void Hdf5Group::set_integer(const std::string& name, std::int64_t number) const {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(*handle_, name.c_str(), H5T_STD_I64LE, *space, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
  if (!attribute || H5Awrite(*attribute, H5T_NATIVE_INT64, &number) < 0) {
    refuse("", fmt::format("cannot write attribute \"{}\": {}", name, complaint()));
  }
}

// ---- arrays

Hdf5Handle Hdf5Group::open_array(const std::string& name) const {
  const Kind found = kind(name);
  if (found == Kind::nothing) refuse(name, "there is no such array");
  if (found != Kind::array) refuse(name, "it is no array");
  Hdf5Handle array(H5Dopen2(*handle_, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (!array) refuse(name, complaint());
  return array;
}

namespace {

/// The sizes of an array, if they and the way it is stored are such that it can be read: what it
/// declares must be there. Else `problem` says why not.
std::vector<std::int64_t> sizes_of(const Hdf5Handle& array, std::string& problem) {
  const Hdf5Handle space(H5Dget_space(*array), H5Sclose);
  const Hdf5Handle plist(H5Dget_create_plist(*array), H5Pclose);
  const Hdf5Handle type(H5Dget_type(*array), H5Tclose);
  if (!space || !plist || !type) return problem = complaint(), std::vector<std::int64_t>{};
  const int rank = H5Sget_simple_extent_ndims(*space);
  if (rank < 0) return problem = complaint(), std::vector<std::int64_t>{};
  if (rank > static_cast<int>(Shape::max_rank)) {
    problem = fmt::format("it has {} axes, more than {}", rank, Shape::max_rank);
    return {};
  }
  std::array<hsize_t, H5S_MAX_RANK> sizes{};
  if (H5Sget_simple_extent_dims(*space, sizes.data(), nullptr) < 0) {
    return problem = complaint(), std::vector<std::int64_t>{};
  }
  const std::uint64_t element = std::max<std::size_t>(H5Tget_size(*type), 1);
  std::uint64_t bytes = element;
  for (int i = 0; i < rank; ++i) {
    if (sizes[static_cast<std::size_t>(i)] != 0 &&
        bytes > (std::uint64_t{1} << 62) / sizes[static_cast<std::size_t>(i)]) {
      return problem = "it declares more elements than can be", std::vector<std::int64_t>{};
    }
    bytes *= sizes[static_cast<std::size_t>(i)];
  }
  const H5D_layout_t layout = H5Pget_layout(*plist);
  if (layout == H5D_VIRTUAL || H5Pget_external_count(*plist) > 0) {
    return problem = "its elements lie in other files, which is refused",
           std::vector<std::int64_t>{};
  }
  const int filters = H5Pget_nfilters(*plist);
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(*plist, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, 0, nullptr, &config);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
        filter != H5Z_FILTER_FLETCHER32) {
      problem = fmt::format("it is compressed by filter {}, which is not known here", filter);
      return {};
    }
  }
  const std::uint64_t stored = H5Dget_storage_size(*array);
  if (filters > 0 && bytes > small && bytes / most_expansion > stored) {
    problem = fmt::format(
        "it would unpack {} bytes into {}, more than a hundred times as many, which is refused",
        stored, bytes);
    return {};
  }
  if (filters <= 0 && bytes > stored) {
    problem = fmt::format("it declares {} bytes of numbers, but stores {}", bytes, stored);
    return {};
  }
  if (layout == H5D_CHUNKED) {
    std::array<hsize_t, H5S_MAX_RANK> chunk{};
    const int axes = H5Pget_chunk(*plist, H5S_MAX_RANK, chunk.data());
    std::uint64_t chunk_bytes = element;
    for (int i = 0; i < axes; ++i) {
      const hsize_t size = std::max<hsize_t>(chunk[static_cast<std::size_t>(i)], 1);
      if (chunk_bytes > (std::uint64_t{1} << 40) / size)
        chunk_bytes = std::uint64_t{1} << 41;
      else
        chunk_bytes *= size;
    }
    if (axes < 0 || chunk_bytes > std::max<std::uint64_t>(2 * bytes, std::uint64_t{1} << 24)) {
      return problem = "its chunks are larger than all of it", std::vector<std::int64_t>{};
    }
  }
  return {sizes.begin(), sizes.begin() + rank};
}

}  // namespace

Shape Hdf5Group::shape_of(const Hdf5Handle& array, const std::string& name) const {
  std::string problem;
  const std::vector<std::int64_t> sizes = sizes_of(array, problem);
  if (!problem.empty()) refuse(name, problem);
  return Shape(sizes);
}

Shape Hdf5Group::shape(const std::string& name) const { return shape_of(open_array(name), name); }

/// Throws IoError if more than what the file has would be read of it.
void Hdf5Group::count(const Hdf5Handle& array, const std::string& name) const {
  const Hdf5Handle plist(H5Dget_create_plist(*array), H5Pclose);
  const std::uint64_t stored = H5Dget_storage_size(*array);
  if (stored > file_->size - file_->stored)
    refuse(name, "the arrays claim more bytes than the file has");
  file_->stored += stored;
  if (H5Pget_nfilters(*plist) <= 0) return;
  file_->unpacked += static_cast<std::uint64_t>(shape_of(array, name).elements()) * sizeof(float);
  if (file_->unpacked > small && file_->unpacked / most_expansion > file_->size) {
    refuse(name,
           "the arrays would unpack into more than a hundred times the file, which is refused");
  }
}

Tensor Hdf5Group::array(const std::string& name) const {
  const Hdf5Handle array = open_array(name);
  const Shape shape = shape_of(array, name);
  const Hdf5Handle type(H5Dget_type(*array), H5Tclose);
  const H5T_class_t kind = H5Tget_class(*type);
  count(array, name);
  Tensor tensor(Type{DType::f32, shape});
  if (tensor.shape().elements() == 0) return tensor;
  const auto numbers = tensor.data<float>();
  if (kind == H5T_OPAQUE && H5Tget_size(*type) == 2) {  // how Keras 3 stores bfloat16
    std::vector<std::uint16_t> bits(numbers.size());
    if (H5Dread(*array, *type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bits.data()) < 0) {
      refuse(name, complaint());
    }
    std::ranges::transform(bits, numbers.begin(), from_bfloat16);
    return tensor;
  }
  if (kind != H5T_FLOAT && kind != H5T_INTEGER) refuse(name, "its elements are no numbers");
  if (H5Dread(*array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()) < 0) {
    refuse(name, complaint());
  }
  return tensor;
}

std::int64_t Hdf5Group::integer(const std::string& name) const {
  const Hdf5Handle array = open_array(name);
  if (shape_of(array, name).elements() != 1) refuse(name, "it is not one number");
  const Hdf5Handle type(H5Dget_type(*array), H5Tclose);
  if (H5Tget_class(*type) != H5T_INTEGER && H5Tget_class(*type) != H5T_FLOAT) {
    refuse(name, "it is no number");
  }
  std::int64_t number = 0;
  if (H5Dread(*array, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &number) < 0) {
    refuse(name, complaint());
  }
  return number;
}

// ---- rehearsing

namespace {

template <class F>
void attempt(F f) {
  try {
    f();
  } catch (const Error&) {  // which the one who asks for it will get
  }
}

}  // namespace

void Hdf5Group::rehearse_array(const std::string& name) const {
  file_->stored = file_->unpacked = 0;
  const Hdf5Handle array = open_array(name);
  shape_of(array, name);
  const Hdf5Handle type(H5Dget_type(*array), H5Tclose);
  const Hdf5Handle plist(H5Dget_create_plist(*array), H5Pclose);
  // Numbers that lie there as they are needed are merely copied.
  const bool plain = H5Pget_layout(*plist) == H5D_CONTIGUOUS && H5Tequal(*type, H5T_IEEE_F32LE) > 0;
  if (!plain) this->array(name);
}

/// Reads all in this group and below that others might ask for.
void Hdf5Group::rehearse(std::set<std::uint64_t>& seen) const {
  std::vector<std::string> attributes;
  const auto append = [](hid_t, const char* name, const H5A_info_t*, void* data) -> herr_t {
    static_cast<std::vector<std::string>*>(data)->emplace_back(name);
    return 0;
  };
  hsize_t at = 0;
  H5Aiterate2(*handle_, H5_INDEX_NAME, H5_ITER_NATIVE, &at, append, &attributes);
  for (const std::string& name : attributes) attempt([&] { texts(name); });

  std::vector<std::string> names;
  attempt([&] { names = children(); });
  for (const std::string& name : names) {
    attempt([&] {
      const Kind found = kind(name);
      H5O_info_t info;
      if (found == Kind::nothing || found == Kind::other ||
          H5Oget_info_by_name2(*handle_, name.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 ||
          !seen.insert(info.addr).second) {
        return;
      }
      found == Kind::group ? group(name).rehearse(seen) : rehearse_array(name);
    });
  }
}

void Hdf5File::rehearse(const std::string& name, const std::function<Hdf5File(Lock)>& open) {
  const Lock lock(library());  // so that no other thread is in the middle of something
  const bool survived = survives([&] {
    std::set<std::uint64_t> seen;
    open(Lock(library(), std::defer_lock)).root().rehearse(seen);  // there is no other thread
  });
  if (!survived) {
    fail<IoError>("\"{}\" cannot be read as HDF5: it is damaged, so that reading it crashes", name);
  }
}

// ---- writing

Hdf5Group Hdf5Group::create_group(const std::string& name) const {
  const Hdf5Handle with_parents(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(*with_parents, 1);
  Hdf5Handle group(H5Gcreate2(*handle_, name.c_str(), *with_parents, H5P_DEFAULT, H5P_DEFAULT),
                   H5Gclose);
  if (!group) refuse(name, fmt::format("cannot create this group: {}", complaint()));
  return {file_, place(name), std::move(group)};
}

void Hdf5Group::write(const std::string& name, const Tensor& tensor) const {
  if (tensor.dtype() != DType::f32) {
    refuse(name, fmt::format("arrays of f32 are written, not of {}", tensor.dtype()));
  }
  const Shape& shape = tensor.shape();
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  const Hdf5Handle space(
      sizes.empty() ? H5Screate(H5S_SCALAR)
                    : H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
      H5Sclose);
  const Hdf5Handle with_parents(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(*with_parents, 1);
  const Hdf5Handle array(H5Dcreate2(*handle_, name.c_str(), H5T_IEEE_F32LE, *space, *with_parents,
                                    H5P_DEFAULT, H5P_DEFAULT),
                         H5Dclose);
  if (!array || (shape.elements() > 0 && H5Dwrite(*array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL,
                                                  H5P_DEFAULT, tensor.bytes()) < 0)) {
    refuse(name, fmt::format("cannot write this array: {}", complaint()));
  }
}

void Hdf5Group::write_integer(const std::string& name, std::int64_t number) const {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle with_parents(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(*with_parents, 1);
  const Hdf5Handle array(H5Dcreate2(*handle_, name.c_str(), H5T_STD_I64LE, *space, *with_parents,
                                    H5P_DEFAULT, H5P_DEFAULT),
                         H5Dclose);
  if (!array || H5Dwrite(*array, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &number) < 0) {
    refuse(name, fmt::format("cannot write this number: {}", complaint()));
  }
}

void Hdf5Group::write_seed(const std::string& name) const {
  const hsize_t count = 2;
  const std::array<std::uint32_t, 2> zeros{};
  const Hdf5Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const Hdf5Handle array(H5Dcreate2(*handle_, name.c_str(), H5T_STD_U32LE, *space, H5P_DEFAULT,
                                    H5P_DEFAULT, H5P_DEFAULT),
                         H5Dclose);
  if (!array ||
      H5Dwrite(*array, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros.data()) < 0) {
    refuse(name, fmt::format("cannot write this array: {}", complaint()));
  }
}

// ---- files

Hdf5File Hdf5File::open(const fs::path& path) {
  const auto open = [&](Lock lock) {
    std::error_code error;
    const std::uintmax_t size = fs::file_size(path, error);
    Hdf5File file(path.string(), error ? 0 : size, std::move(lock));
    file.handle_ = Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    if (!file.handle_) {
      fail<IoError>("\"{}\" cannot be read as HDF5: {}", path.string(), complaint());
    }
    file.look_into();
    return file;
  };
  std::error_code error;
  if (!fs::exists(path, error)) fail<IoError>("\"{}\": there is no such file", path.string());
  rehearse(path.string(), open);
  return open(Lock(library()));
}

Hdf5File Hdf5File::open(std::span<const std::byte> bytes, const std::string& name) {
  const auto open = [&](Lock lock) {
    Hdf5File file(name, bytes.size(), std::move(lock));
    // It is not written to: the library promises that of a file image that it does not own.
    void* image =
        const_cast<std::byte*>(bytes.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    file.handle_ =
        Hdf5Handle(H5LTopen_file_image(image, bytes.size(),
                                       H5LT_FILE_IMAGE_DONT_COPY | H5LT_FILE_IMAGE_DONT_RELEASE),
                   H5Fclose);
    if (!file.handle_) fail<IoError>("\"{}\" cannot be read as HDF5: {}", name, complaint());
    file.source_->memory = bytes;
    file.look_into();
    return file;
  };
  rehearse(name, open);
  return open(Lock(library()));
}

/// Where it begins, and that its addresses are of 8 bytes, as everybody's are.
void Hdf5File::look_into() {
  const Hdf5Handle plist(H5Fget_create_plist(*handle_), H5Pclose);
  hsize_t begin = 0;
  std::size_t address = 0, size = 0;
  if (!plist || H5Pget_userblock(*plist, &begin) < 0 || H5Pget_sizes(*plist, &address, &size) < 0) {
    fail<IoError>("\"{}\" cannot be read as HDF5: {}", source_->name, complaint());
  }
  if (address != 8 || size != 8) {
    fail<IoError>("\"{}\": addresses of {} bytes and sizes of {} are not known, but of 8",
                  source_->name, address, size);
  }
  source_->begin = begin;
}

Hdf5File Hdf5File::create(const fs::path& path) {
  Hdf5File file(path.string(), 0, Lock(library()));
  file.handle_ =
      Hdf5Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  if (!file.handle_) fail<IoError>("\"{}\" cannot be written: {}", path.string(), complaint());
  return file;
}

Hdf5File Hdf5File::create_in_memory(const std::string& name) {
  Hdf5File file(name, 0, Lock(library()));
  const Hdf5Handle in_memory(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(*in_memory, std::size_t{1} << 20, 0);
  file.handle_ = Hdf5Handle(H5Fcreate("weft", H5F_ACC_TRUNC, H5P_DEFAULT, *in_memory), H5Fclose);
  if (!file.handle_) fail<IoError>("\"{}\" cannot be written: {}", name, complaint());
  return file;
}

Hdf5Group Hdf5File::root() const {
  Hdf5Handle group(H5Gopen2(*handle_, "/", H5P_DEFAULT), H5Gclose);
  if (!group) fail<IoError>("\"{}\" cannot be read as HDF5: {}", source_->name, complaint());
  return {source_, "/", std::move(group)};
}

std::vector<std::byte> Hdf5File::bytes() const {
  H5Fflush(*handle_, H5F_SCOPE_LOCAL);
  const ssize_t size = H5Fget_file_image(*handle_, nullptr, 0);
  std::vector<std::byte> image(size < 0 ? 0 : static_cast<std::size_t>(size));
  if (size < 0 || H5Fget_file_image(*handle_, image.data(), image.size()) < 0) {
    fail<IoError>("\"{}\" cannot be written: {}", source_->name, complaint());
  }
  return image;
}

void Hdf5File::close() {
  if (H5Fflush(*handle_, H5F_SCOPE_LOCAL) < 0) {
    fail<IoError>("\"{}\" cannot be written: {}", source_->name, complaint());
  }
  handle_ = {};
}

}  // namespace weft
