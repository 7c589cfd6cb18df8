// HDF5 files, as far as Keras' files need them: groups, text attributes, arrays of numbers.
//
// Files are read by code of Weft's own (io/hdf5/), since files come from anywhere and libhdf5
// trusts what a file says; docs/files.md gives the reasons. Whatever a file says of itself is
// checked against its size before memory is taken for it; links out of the file and unknown filters
// are refused. Files are written by libhdf5. For io/ alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/tensor.hpp"

namespace weft {

/// A group of an open file. Its functions throw IoError, naming file and place, for what is not
/// there, is of another kind, or is damaged. Names of groups and arrays are paths, "dense/kernel:0".
class Hdf5Group {
 public:
  const std::string& path() const noexcept { return path_; }  ///< "/model_weights/dense"

  bool has_attribute(const std::string& name) const;
  /// A text attribute, or nothing if there is none of that name.
  std::optional<std::string> text(const std::string& name) const;
  /// A list of texts, also one that was cut into name0, name1, ...; empty if there is none. A list
  /// without elements is one of any type.
  std::vector<std::string> texts(const std::string& name) const;
  bool has_group(const std::string& name) const;
  bool has_array(const std::string& name) const;
  Hdf5Group group(const std::string& name) const;
  /// Numbers as f32: floats of 2, 4 or 8 bytes, bfloat16 as Keras stores it, and integers.
  Tensor array(const std::string& name) const;
  /// Its sizes, before memory is taken for it.
  Shape shape(const std::string& name) const;
  /// Integers keep their value, which f32 may not: an iteration count.
  std::int64_t integer(const std::string& name) const;
  /// Names of what is directly below, sorted.
  std::vector<std::string> children() const;

 private:
  friend class Hdf5File;
  struct Source;  ///< the file, and how much was read of it
  struct Node;    ///< the group in it
  Hdf5Group(std::shared_ptr<Source> file, std::string path, std::shared_ptr<const Node> node)
      : file_(std::move(file)), path_(std::move(path)), node_(std::move(node)) {}

  template <class F>
  auto guarded(const std::string& name, F f) const;
  std::shared_ptr<const Node> find(const std::string& name) const;
  std::shared_ptr<const Node> find_array(const std::string& name) const;
  std::vector<std::string> read_texts(const std::string& name, bool scalar) const;
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const;

  std::shared_ptr<Source> file_;
  std::string path_;
  std::shared_ptr<const Node> node_;
};

/// An open file.
class Hdf5File {
 public:
  /// Throw IoError.
  static Hdf5File open(const std::filesystem::path& file);
  /// The bytes must live as long as the file and its groups. `name` is for messages.
  static Hdf5File open(std::span<const std::byte> bytes, const std::string& name);

  Hdf5Group root() const { return root_; }

 private:
  explicit Hdf5File(std::shared_ptr<Hdf5Group::Source> source);
  Hdf5Group root_;
};

/// An identifier of libhdf5, closed at the end of its scope.
class Hdf5Handle {
 public:
  using Close = int (*)(std::int64_t);
  Hdf5Handle() = default;
  Hdf5Handle(std::int64_t id, Close close) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept { *this = std::move(other); }
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  std::int64_t operator*() const noexcept { return id_; }
  explicit operator bool() const noexcept { return id_ >= 0; }

 private:
  std::int64_t id_ = -1;
  Close close_ = nullptr;
};

/// A group of a file that is being written. Its functions throw IoError.
class NewHdf5Group {
 public:
  NewHdf5Group create_group(const std::string& name) const;  ///< with those above it
  void set_text(const std::string& name, const std::string& text) const;
  /// As Keras writes it: an empty list is one of floats; one too long for a header is cut.
  void set_texts(const std::string& name, const std::vector<std::string>& texts) const;
  void set_integer(const std::string& name, std::int64_t number) const;  ///< an attribute
  void write(const std::string& name, const Tensor& tensor) const;       ///< f32
  void write_integer(const std::string& name, std::int64_t number) const;
  void write_seed(const std::string& name) const;  ///< u32[2] of zeros: a generator's state

 private:
  friend class NewHdf5File;
  NewHdf5Group(std::string file, std::string path, bool is_rehearsal, Hdf5Handle handle)
      : file_(std::move(file)),
        path_(std::move(path)),
        is_rehearsal_(is_rehearsal),
        handle_(std::move(handle)) {}
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const;
  void check_name(const std::string& name) const;
  void check_text(const std::string& name, const std::string& text) const;

  std::string file_, path_;
  bool is_rehearsal_;
  Hdf5Handle handle_;
};

/// A file that is being written. libhdf5 knows no threads: one file is written at a time in the
/// process, and a second thread waits.
class NewHdf5File {
 public:
  /// Throw IoError. `name` is for messages; by default, that of the file. The file is made in
  /// memory, and close() writes it: libhdf5 cannot close a file that a full disk does not take.
  static NewHdf5File create(const std::filesystem::path& file, const std::string& name = "");
  static NewHdf5File create_in_memory(const std::string& name);
  /// One that is thrown away, to see whether libhdf5 takes all names and texts. It has no numbers.
  static NewHdf5File rehearse(const std::string& name);

  NewHdf5Group root() const;
  /// Of a file in memory, all of it.
  std::vector<std::byte> bytes() const;
  /// Writes what is still to be written; throws IoError if that fails, where the destructor cannot.
  void close();

 private:
  using Lock = std::unique_lock<std::recursive_mutex>;
  NewHdf5File(std::string name, Lock lock) : name_(std::move(name)), lock_(std::move(lock)) {}

  std::string name_;
  std::filesystem::path target_;  // where close() writes it; empty: nowhere
  bool is_rehearsal_ = false;
  Lock lock_;  // before handle_, so that it is released after it
  Hdf5Handle handle_;
};

}  // namespace weft
