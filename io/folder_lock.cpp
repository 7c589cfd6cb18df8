#include "io/folder_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "graph/error.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

// A lock by fcntl() belongs to a process: a child of it does not inherit the lock, which would then
// outlive its owner, and F_GETLK says who the owner is. But within a process it excludes nobody, and
// is lost as soon as any descriptor of the file is closed. So what this process holds stands here,
// by device and inode, and is not opened a second time. (By process id, too: a child has a copy of
// this table, and not the locks.)
using Place = std::pair<dev_t, ino_t>;
std::mutex mutex;
std::map<Place, pid_t> held;

bool is_held(const struct stat& file) {
  const auto found = held.find({file.st_dev, file.st_ino});
  return found != held.end() && found->second == ::getpid();
}

[[noreturn]] void refuse(std::string_view who, const fs::path& folder, pid_t owner) {
  const std::string process = owner == ::getpid() ? "this process, in another training"
                              : owner > 0         ? fmt::format("the process {}", owner)
                                                  : "another process";
  fail<IoError>(
      "{}: the folder \"{}\" is in use by {}: wait until that has ended, or take another folder",
      who, folder.string(), process);
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

FolderLock::FolderLock(std::string_view who, fs::path folder)
    : folder_(std::move(folder)), file_(folder_ / "lock") {
  const std::lock_guard guard(mutex);
  // Whoever held it may remove file and folder at any moment; then they are made anew.
  for (int tries = 0; tries < 100; ++tries) {
    if (take(who)) return;
  }
  refuse(who, folder_, 0);
}

/// Returns false if the file is gone meanwhile.
bool FolderLock::take(std::string_view who) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    fail<IoError>("{}: the folder \"{}\" cannot be made: {}", who, folder_.string(),
                  error.message());
  }
  struct stat there {};
  if (::stat(file_.c_str(), &there) == 0 && is_held(there)) {
    refuse(who, folder_, ::getpid());
  }
  const int opened = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (opened < 0) {
    if (errno == ENOENT) return false;
    fail<IoError>("{}: \"{}\" cannot be made: {}", who, file_.string(), std::strerror(errno));
  }
  struct flock lock = whole_file();
  if (::fcntl(opened, F_SETLK, &lock) != 0) {
    const bool is_taken = errno == EACCES || errno == EAGAIN;
    if (is_taken) {
      struct flock owner = whole_file();
      const bool is_known = ::fcntl(opened, F_GETLK, &owner) == 0 && owner.l_type != F_UNLCK;
      ::close(opened);
      if (!is_known) return false;  // it has just been let go
      refuse(who, folder_, owner.l_pid);
    }
  }
  struct stat locked {};
  if (::fstat(opened, &locked) != 0 || ::stat(file_.c_str(), &there) != 0 ||
      !same_file(locked, there)) {
    ::close(opened);
    return false;
  }
  held[{locked.st_dev, locked.st_ino}] = ::getpid();
  descriptor_ = opened;
  owner_ = ::getpid();
  return true;
}

FolderLock::~FolderLock() {
  if (::getpid() != owner_) {  // a child's copy of it holds nothing
    ::close(descriptor_);
    return;
  }
  const std::lock_guard guard(mutex);
  struct stat locked {};
  if (::fstat(descriptor_, &locked) == 0) held.erase({locked.st_dev, locked.st_ino});
  // Removed while it is held: who opens it now and waits for it, finds that it is gone.
  std::error_code ignored;
  fs::remove(file_, ignored);
  ::close(descriptor_);
  fs::remove(folder_, ignored);  // if it is empty
}

}  // namespace weft
