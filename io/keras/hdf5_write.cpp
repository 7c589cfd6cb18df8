// Writing files: groups, attributes and arrays, by libhdf5.
#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/atomic_file.hpp"
#include "io/keras/hdf5_library.hpp"
#include "io/quoted.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;
using namespace hdf5;

// libhdf5 keeps an object's attributes in a header of at most 64 KiB, and Keras cuts lists of names
// before they reach this.
constexpr std::size_t header_limit = 64512;

std::string below(const std::string& path, const std::string& name) {
  return (path == "/" ? "" : path) + (name.empty() ? "" : "/" + name);
}

}  // namespace

// ---- files

NewHdf5File NewHdf5File::create(const fs::path& path, const std::string& name) {
  NewHdf5File file = create_in_memory(name.empty() ? path.string() : name);
  file.target_ = path;
  return file;
}

NewHdf5File NewHdf5File::create_in_memory(const std::string& name) {
  NewHdf5File file(name, Lock(library()));
  const Hdf5Handle in_memory(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(*in_memory, std::size_t{1} << 20, 0);
  file.handle_ = Hdf5Handle(H5Fcreate("weft", H5F_ACC_TRUNC, H5P_DEFAULT, *in_memory), H5Fclose);
  if (!file.handle_) fail<IoError>("\"{}\" cannot be written: {}", name, complaint());
  return file;
}

NewHdf5File NewHdf5File::rehearse(const std::string& name) {
  NewHdf5File file = create_in_memory(name);
  file.is_rehearsal_ = true;
  return file;
}

NewHdf5Group NewHdf5File::root() const {
  Hdf5Handle group(H5Gopen2(*handle_, "/", H5P_DEFAULT), H5Gclose);
  if (!group) fail<IoError>("\"{}\" cannot be written: {}", name_, complaint());
  return {name_, "/", is_rehearsal_, std::move(group)};
}

std::vector<std::byte> NewHdf5File::bytes() const {
  const bool is_flushed = H5Fflush(*handle_, H5F_SCOPE_LOCAL) >= 0;
  const ssize_t size = H5Fget_file_image(*handle_, nullptr, 0);
  std::vector<std::byte> image(size < 0 ? 0 : static_cast<std::size_t>(size));
  if (!is_flushed || size < 0 || H5Fget_file_image(*handle_, image.data(), image.size()) < 0) {
    fail<IoError>("\"{}\" cannot be written: {}", name_, complaint());
  }
  return image;
}

void NewHdf5File::close() {
  std::vector<std::byte> all;
  if (!target_.empty()) all = bytes();
  handle_ = {};
  if (!target_.empty()) write_file(target_, all);
}

// ---- groups

void NewHdf5Group::refuse(const std::string& name, const std::string& what) const {
  fail<IoError>("\"{}\": {}: {}", file_, printable(below(path_, name)), what);
}

/// A path of names, each of which libhdf5 would otherwise cut at a NUL or take for something else.
void NewHdf5Group::check_name(const std::string& name) const {
  constexpr std::size_t most = 65000;  // what a header of an object can hold
  if (name.find('\0') != std::string::npos) refuse(name, "a name must not have a NUL in it");
  if (name.size() > most) {
    refuse(name,
           fmt::format("a name of {} bytes is too long; there is room for {}", name.size(), most));
  }
  for (std::size_t first = 0; first <= name.size();) {
    const std::size_t last = std::min(name.find('/', first), name.size());
    const std::string_view part = std::string_view(name).substr(first, last - first);
    if (part.empty() || part == "." || part == "..") {
      refuse(name, "a name must not be empty, \".\" or \"..\"");
    }
    first = last + 1;
  }
}

void NewHdf5Group::check_text(const std::string& name, const std::string& text) const {
  if (text.find('\0') != std::string::npos) {
    refuse("", fmt::format("attribute \"{}\": {} has a NUL in it, which the format cannot hold",
                           name, in_quotes(text)));
  }
}

NewHdf5Group NewHdf5Group::create_group(const std::string& name) const {
  check_name(name);
  const Hdf5Handle with_parents(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(*with_parents, 1);
  Hdf5Handle group(H5Gcreate2(*handle_, name.c_str(), *with_parents, H5P_DEFAULT, H5P_DEFAULT),
                   H5Gclose);
  if (!group) refuse(name, fmt::format("cannot create this group: {}", complaint()));
  return {file_, below(path_, name), is_rehearsal_, std::move(group)};
}

void NewHdf5Group::write(const std::string& name, const Tensor& tensor) const {
  check_name(name);
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
  if (!array ||
      (shape.elements() > 0 && !is_rehearsal_ &&
       H5Dwrite(*array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.bytes()) < 0)) {
    refuse(name, fmt::format("cannot write this array: {}", complaint()));
  }
}

void NewHdf5Group::write_integer(const std::string& name, std::int64_t number) const {
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

void NewHdf5Group::write_seed(const std::string& name) const {
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

void NewHdf5Group::set_text(const std::string& name, const std::string& text) const {
  check_text(name, text);
  const Hdf5Handle type = type_of_text(H5T_VARIABLE, H5T_CSET_UTF8);
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(*handle_, name.c_str(), *type, *space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const char* pointer = text.c_str();
  if (!attribute || H5Awrite(*attribute, *type, &pointer) < 0) {
    refuse("", fmt::format("cannot write attribute \"{}\": {}", name, complaint()));
  }
}

void NewHdf5Group::set_texts(const std::string& name, const std::vector<std::string>& texts) const {
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
  for (const std::string& text : texts) {
    check_text(name, text);
    longest = std::max(longest, text.size());
  }
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

void NewHdf5Group::set_integer(const std::string& name, std::int64_t number) const {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(*handle_, name.c_str(), H5T_STD_I64LE, *space, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
  if (!attribute || H5Awrite(*attribute, H5T_NATIVE_INT64, &number) < 0) {
    refuse("", fmt::format("cannot write attribute \"{}\": {}", name, complaint()));
  }
}

}  // namespace weft
