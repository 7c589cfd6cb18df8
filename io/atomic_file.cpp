#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "graph/error.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refused(const fs::path& file, const char* step) {
  fail<IoError>("write: cannot {} \"{}\": {}", step, file.string(), std::strerror(errno));
}

/// An open file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  explicit operator bool() const { return number_ >= 0; }
  int operator*() const { return number_; }

 private:
  int number_;
};

/// The file under its other name, removed unless it was renamed.
class Temporary {
 public:
  explicit Temporary(const fs::path& target) {
    static std::atomic<unsigned> count = 0;
    do {
      path_ = target;
      path_.replace_filename("." + target.filename().string() + "." + std::to_string(::getpid()) +
                             "." + std::to_string(count++) + ".tmp");
      // Not mkstemp: the file shall have the permissions that the user's umask asks for.
      if (Descriptor created(::open(path_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
          created) {
        return;
      }
    } while (errno == EEXIST);
    const int error = errno;
    path_.clear();
    errno = error;
    refused(target, "create");
  }
  ~Temporary() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  const fs::path& path() const { return path_; }
  void rename_to(const fs::path& target) {
    rename_durably(path_, target);
    path_.clear();
  }

 private:
  fs::path path_;
};

}  // namespace

void rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) refused(to, "replace");
  // The new name is in the folder, which is brought to the disk too where the file system can.
  const fs::path folder = to.has_parent_path() ? to.parent_path() : fs::path(".");
  if (const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); opened) {
    ::fsync(*opened);
  }
}

void write_atomically(const fs::path& file, const std::function<void(const fs::path&)>& write) {
  std::error_code error;
  const bool is_link = fs::is_symlink(file, error);
  const fs::path resolved = is_link ? fs::weakly_canonical(file, error) : file;
  const fs::path target = resolved.empty() ? file : resolved;

  Temporary temporary(target);
  write(temporary.path());
  {
    const Descriptor written(::open(temporary.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (!written) refused(target, "reopen");
    struct stat before {};
    if (::stat(target.c_str(), &before) == 0 && S_ISREG(before.st_mode)) {
      if (::fchmod(*written, before.st_mode & 07777) != 0) refused(target, "keep the mode of");
    }
    if (::fsync(*written) != 0) refused(target, "bring to the disk");
  }
  temporary.rename_to(target);
}

void write_atomically(const fs::path& file,
                      std::initializer_list<std::span<const std::byte>> parts) {
  write_atomically(file, [&](const fs::path& temporary) {
    const Descriptor out(::open(temporary.c_str(), O_WRONLY | O_CLOEXEC));
    if (!out) refused(file, "open");
    for (std::span<const std::byte> part : parts) {
      while (!part.empty()) {
        const ssize_t count = ::write(*out, part.data(), part.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) refused(file, "write");
        part = part.subspan(static_cast<std::size_t>(count));
      }
    }
  });
}

}  // namespace weft
