// HDF5 files for tests, written by libhdf5 in every way that it has, and read by it beside our
// reader.
#pragma once

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace weft::test {

/// Opens the library as Weft does: at the end of the program it does nothing, since it would crash
/// after a write that failed; and it prints no errors.
inline void open_library() {
  H5dont_atexit();
  H5open();
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

/// An identifier of libhdf5, closed whatever it is of.
class Id {
 public:
  Id(hid_t id) : id_(id) {}  // NOLINT(google-explicit-constructor)
  ~Id() {
    if (id_ < 0) return;
    const H5I_type_t type = H5Iget_type(id_);
    if (type == H5I_FILE) {
      H5Fclose(id_);
    } else if (type != H5I_BADID) {
      H5Idec_ref(id_);
    }
  }
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor)

 private:
  hid_t id_;
};

/// Numbers of an array as libhdf5 reads them; `sizes` are its axes.
struct Numbers {
  std::vector<hsize_t> sizes;
  std::vector<float> values;
};

inline Numbers numbers_by_library(hid_t array) {
  const Id space(H5Dget_space(array));
  Numbers numbers;
  numbers.sizes.resize(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space)));
  H5Sget_simple_extent_dims(space, numbers.sizes.data(), nullptr);
  numbers.values.resize(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  if (!numbers.values.empty()) {
    H5Dread(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.values.data());
  }
  return numbers;
}

/// Texts of an attribute as libhdf5 reads them; nothing for one that is not of texts.
inline std::vector<std::string> texts_by_library(hid_t attribute) {
  const Id type(H5Aget_type(attribute)), space(H5Aget_space(attribute));
  const auto count = static_cast<std::size_t>(H5Sget_simple_extent_npoints(space));
  std::vector<std::string> texts;
  if (H5Tget_class(type) != H5T_STRING || count == 0) return texts;
  if (H5Tis_variable_str(type) > 0) {
    std::vector<char*> pointers(count);
    H5Aread(attribute, type, pointers.data());
    for (const char* text : pointers) texts.emplace_back(text == nullptr ? "" : text);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
    return texts;
  }
  const std::size_t size = H5Tget_size(type);
  std::vector<char> bytes(size * count);
  H5Aread(attribute, type, bytes.data());
  for (std::size_t i = 0; i < count; ++i) {
    std::string text(&bytes[i * size], ::strnlen(&bytes[i * size], size));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    texts.push_back(std::move(text));
  }
  return texts;
}

/// Names by the library: of what is in a group, in order.
inline std::vector<std::string> children_by_library(hid_t group) {
  std::vector<std::string> names;
  H5G_info_t info;
  H5Gget_info(group, &info);
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    std::array<char, 1024> name{};
    H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name.data(), name.size(),
                       H5P_DEFAULT);
    names.emplace_back(name.data());
  }
  return names;
}

/// Calls f with each attribute of an object.
inline void for_each_attribute(hid_t object,
                               const std::function<void(const std::string&, hid_t)>& f) {
  for (hsize_t i = 0;; ++i) {
    const Id attribute(
        H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT));
    if (attribute < 0) return;
    std::array<char, 1024> name{};
    H5Aget_name(attribute, name.size(), name.data());
    f(name.data(), attribute);
  }
}

/// How a file is written anew by copy_file.
struct Rewriting {
  bool latest = false;  ///< in the newest version of the format that the library has
  bool packed = false;  ///< arrays in chunks, shuffled, checked and compressed
};

inline void copy_attributes(hid_t from, hid_t to) {
  for_each_attribute(from, [&](const std::string& name, hid_t attribute) {
    const Id type(H5Aget_type(attribute)), space(H5Aget_space(attribute));
    const Id made(H5Acreate2(to, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT));
    std::vector<char> bytes(
        static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)) * H5Tget_size(type) + 1);
    H5Aread(attribute, type, bytes.data());
    H5Awrite(made, type, bytes.data());
    if (H5Tis_variable_str(type) > 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, bytes.data());
  });
}

inline void copy_array(hid_t from, hid_t group, const std::string& name, const Rewriting& how) {
  const Id type(H5Dget_type(from)), space(H5Dget_space(from)), plist(H5Pcreate(H5P_DATASET_CREATE));
  std::array<hsize_t, H5S_MAX_RANK> sizes{};
  const int rank = H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
  if (how.packed && rank > 0) {
    for (hsize_t& size : sizes) size = std::max<hsize_t>((size + 1) / 2, 1);
    H5Pset_chunk(plist, rank, sizes.data());
    H5Pset_shuffle(plist);
    H5Pset_fletcher32(plist);
    H5Pset_deflate(plist, 9);
  }
  const Id made(H5Dcreate2(group, name.c_str(), type, space, H5P_DEFAULT, plist, H5P_DEFAULT));
  std::vector<char> bytes(
      static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)) * H5Tget_size(type) + 1);
  H5Dread(from, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
  H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
  copy_attributes(from, made);
}

inline void copy_group(hid_t from, hid_t to, const Rewriting& how) {
  copy_attributes(from, to);
  for (const std::string& name : children_by_library(from)) {
    const Id object(H5Oopen(from, name.c_str(), H5P_DEFAULT));
    if (H5Iget_type(object) == H5I_GROUP) {
      const Id made(H5Gcreate2(to, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
      copy_group(object, made, how);
    } else {
      copy_array(object, to, name, how);
    }
  }
}

/// The same groups, attributes and arrays in a new file.
inline void copy_file(const std::filesystem::path& from, const std::filesystem::path& to,
                      const Rewriting& how) {
  open_library();
  const Id access(H5Pcreate(H5P_FILE_ACCESS));
  if (how.latest) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  const Id in(H5Fopen(from.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  const Id out(H5Fcreate(to.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
  const Id source(H5Gopen2(in, "/", H5P_DEFAULT)), target(H5Gopen2(out, "/", H5P_DEFAULT));
  copy_group(source, target, how);
}

}  // namespace weft::test
