// A file that grows as training goes on, and holds whole pieces alone: lines, records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace weft::nn {

class AppendedFile {
 public:
  /// Nothing is open.
  explicit AppendedFile(std::string owner) : who_(std::move(owner)) {}
  ~AppendedFile() { close(); }
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;

  /// Makes its folder and the file, or goes on at its end. Throws IoError.
  void open(std::filesystem::path file, bool at_end = false);
  bool is_open() const noexcept { return descriptor_ >= 0; }
  /// Writes all of it, or throws IoError and leaves the file as it was: a disk may be full.
  void append(std::string_view bytes);
  std::uint64_t size() const noexcept { return size_; }
  const std::filesystem::path& path() const noexcept { return file_; }
  void close() noexcept;

 private:
  std::string who_;  // begins messages
  std::filesystem::path file_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace weft::nn
