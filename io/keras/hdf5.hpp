// HDF5 files through libhdf5, and no more of it than Keras' files need: groups, text attributes,
// arrays of numbers. Whatever a file says of itself is checked against what is there before memory
// is taken for it; links out of the file, plugins and unknown filters are refused. For io/ alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/tensor.hpp"

namespace weft {

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

/// A group of an open file. All that it is asked for throws IoError, naming file and place, if it
/// is not there, not what it should be, or damaged.
class Hdf5Group {
 public:
  const std::string& path() const noexcept { return path_; }  ///< "/model_weights/dense"

  // ---- reading; names of groups and arrays are paths, "dense/kernel:0"

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
  /// Names of what is directly below.
  std::vector<std::string> children() const;

  // ---- writing

  Hdf5Group create_group(const std::string& name) const;  ///< with those above it
  void set_text(const std::string& name, const std::string& text) const;
  /// As Keras writes it: an empty list is one of floats; one too long for a header is cut.
  void set_texts(const std::string& name, const std::vector<std::string>& texts) const;
  void set_integer(const std::string& name, std::int64_t number) const;  ///< an attribute
  void write(const std::string& name, const Tensor& tensor) const;       ///< f32
  void write_integer(const std::string& name, std::int64_t number) const;
  void write_seed(const std::string& name) const;  ///< u32[2] of zeros: a generator's state

 private:
  friend class Hdf5File;
  /// The file, for messages, and how much more may be read of it: what it has, once. Else many
  /// names of one array could make memory of a file that it does not have.
  struct Source {
    std::string name;
    std::uint64_t size = 0;
    std::uint64_t stored = 0;             ///< bytes of arrays that were read
    std::uint64_t unpacked = 0;           ///< what was made of those that are compressed
    std::span<const std::byte> memory{};  ///< where it lies, if it is no file on disk
    std::uint64_t begin = 0;              ///< what addresses in it count from
  };
  Hdf5Group(std::shared_ptr<Source> file, std::string path, Hdf5Handle handle)
      : file_(std::move(file)), path_(std::move(path)), handle_(std::move(handle)) {}

  enum class Kind { nothing, group, array, other };
  Kind kind(const std::string& name) const;
  Hdf5Handle open_array(const std::string& name) const;
  Shape shape_of(const Hdf5Handle& array, const std::string& name) const;
  void count(const Hdf5Handle& array, const std::string& name) const;
  std::vector<std::string> read_texts(const std::string& name, bool scalar) const;
  std::vector<std::string> read_heap(std::int64_t attribute, std::size_t count) const;
  void rehearse(std::set<std::uint64_t>& seen) const;
  void rehearse_array(const std::string& name) const;
  std::string place(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const;

  std::shared_ptr<Source> file_;
  std::string path_;
  Hdf5Handle handle_;
};

/// An open file. libhdf5 knows no threads: one file is open at a time in the process, and a second
/// thread waits.
///
/// Nor does libhdf5 1.10 know how to doubt: a damaged header makes it read beyond its memory. So
/// whatever is opened for reading is read once in a process of its own before (io/keras/trial.hpp),
/// all of its headers, texts and compressed arrays; where that ends in a crash, the file is
/// refused.
class Hdf5File {
 public:
  /// Throw IoError.
  static Hdf5File open(const std::filesystem::path& file);
  /// The bytes must live as long as the file. `name` is for messages.
  static Hdf5File open(std::span<const std::byte> bytes, const std::string& name);
  /// It is made in memory, and close() writes it, so that libhdf5 never meets a full disk: a file
  /// that it cannot write, it cannot close either.
  static Hdf5File create(const std::filesystem::path& file);
  static Hdf5File create_in_memory(const std::string& name);

  Hdf5Group root() const;
  /// Of a file in memory, all of it.
  std::vector<std::byte> bytes() const;
  /// Writes what is still to be written; throws IoError if that fails, where the destructor cannot.
  void close();

 private:
  using Lock = std::unique_lock<std::recursive_mutex>;
  Hdf5File(const std::string& name, std::uint64_t size, Lock lock)
      : source_(std::make_shared<Hdf5Group::Source>(Hdf5Group::Source{name, size})),
        lock_(std::move(lock)) {}

  void look_into();
  static void rehearse(const std::string& name, const std::function<Hdf5File(Lock)>& open);

  std::shared_ptr<Hdf5Group::Source> source_;
  Lock lock_;  // before handle_, so that it is released after it
  Hdf5Handle handle_;
  std::filesystem::path target_;  // that close() writes; empty: none
};

}  // namespace weft
