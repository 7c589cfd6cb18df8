// Files and their groups.
#include "io/keras/hdf5.hpp"

#include <hdf5_hl.h>

#include <algorithm>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/atomic_file.hpp"
#include "io/keras/hdf5_library.hpp"
#include "io/keras/trial.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;
using namespace hdf5;

constexpr std::uint64_t least_name = 8;  // bytes that a name takes in a file

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t first = 0; first <= path.size();) {
    const std::size_t last = std::min(path.find('/', first), path.size());
    if (last > first) parts.push_back(path.substr(first, last - first));
    first = last + 1;
  }
  return parts;
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
  Hdf5File file = create_in_memory(path.string());
  file.target_ = path;
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
  const bool is_flushed = H5Fflush(*handle_, H5F_SCOPE_LOCAL) >= 0;
  const ssize_t size = H5Fget_file_image(*handle_, nullptr, 0);
  std::vector<std::byte> image(size < 0 ? 0 : static_cast<std::size_t>(size));
  if (!is_flushed || size < 0 || H5Fget_file_image(*handle_, image.data(), image.size()) < 0) {
    fail<IoError>("\"{}\" cannot be written: {}", source_->name, complaint());
  }
  return image;
}

void Hdf5File::close() {
  if (target_.empty()) {
    handle_ = {};
    return;
  }
  const std::vector<std::byte> all = bytes();
  handle_ = {};
  write_file(target_, all);
}

}  // namespace weft
