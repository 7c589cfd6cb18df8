// FolderLock: a folder that one training at a time uses.
#pragma once

#include <filesystem>
#include <string_view>

namespace weft {

/// Holds a folder, which is made if need be, by a lock of the system on the file "lock" in it. The
/// system lets go of it when the process ends, however it ends. The destructor removes the file, and
/// the folder if nothing else is in it. Where the file system knows no locks, nothing is held.
class FolderLock {
 public:
  /// Throws IoError that names the folder and the process that holds it, this one or another; and
  /// if the folder cannot be made.
  ///   who  begins the message
  FolderLock(std::string_view who, std::filesystem::path folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  bool take(std::string_view who);

  std::filesystem::path folder_, file_;
  int descriptor_ = -1, owner_ = 0;
};

}  // namespace weft
