#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

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

/// Where process ids mean what they mean here: this machine, and its namespace of processes. In a
/// folder that containers or machines share, a process of another place cannot be asked about.
std::string this_place() {
  std::array<char, 256> host{}, processes{};
  ::gethostname(host.data(), host.size() - 1);
  if (::readlink("/proc/self/ns/pid", processes.data(), processes.size() - 1) < 0) processes[0] = 0;
  const std::string text = std::string(host.data()) + ' ' + processes.data();
  return fmt::format("{:08x}", crc32(0, reinterpret_cast<const Bytef*>(text.data()),
                                     static_cast<uInt>(text.size())));
}

/// ".m.h5.weft-0badcafe-4711-3.tmp": the third that the process 4711 of that place writes, to become
/// m.h5.
std::string name_of_temporary(const fs::path& target, unsigned number) {
  return fmt::format(".{}.weft-{}-{}-{}.tmp", target.filename().string(), this_place(), ::getpid(),
                     number);
}

/// The process that writes a file of that name, if it is a name as above and of this place. (libzip
/// writes one beside it, with six letters more.)
std::optional<pid_t> writer_of(const std::string& name) {
  static const std::regex form(
      R"(\..+\.weft-([0-9a-f]{8})-([1-9][0-9]{0,8})-[0-9]{1,10}\.tmp(\.[0-9a-z]{6})?)");
  std::smatch parts;
  if (name.find(".tmp") == name.npos) return std::nullopt;
  if (!std::regex_match(name, parts, form) || parts[1] != this_place()) return std::nullopt;
  return static_cast<pid_t>(std::stol(parts[2]));
}

/// Removes what processes that are gone have left in a folder; once, when this process first writes
/// there.
void remove_abandoned(const fs::path& folder) {
  static std::mutex mutex;
  static std::set<fs::path> done;
  {
    const std::lock_guard lock(mutex);
    if (!done.insert(folder).second) return;
  }
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    const auto writer = writer_of(at->path().filename().string());
    if (!writer || fs::symlink_status(at->path(), ignored).type() != fs::file_type::regular)
      continue;
    if (::kill(*writer, 0) != 0 && errno == ESRCH) fs::remove(at->path(), ignored);
  }
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

/// The file under its other name, removed unless it was renamed.
class Temporary {
 public:
  explicit Temporary(const fs::path& target) {
    static std::atomic<unsigned> count = 0;
    remove_abandoned(folder_of(target));
    do {
      path_ = target;
      path_.replace_filename(name_of_temporary(target, count++));
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

void write_all(int out, std::span<const std::byte> bytes, const fs::path& file) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(out, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refused(file, "write");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

/// What must not be replaced by a file: a pipe, /dev/stdout.
bool is_device(const fs::path& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

void copy_into(const fs::path& from, const fs::path& device) {
  const Descriptor in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  const Descriptor out(::open(device.c_str(), O_WRONLY | O_CLOEXEC));
  if (!in || !out) refused(device, "open");
  std::vector<std::byte> part(1 << 16);
  for (;;) {
    const ssize_t count = ::read(*in, part.data(), part.size());
    if (count < 0) refused(device, "write");
    if (count == 0) return;
    write_all(*out, std::span(part).first(static_cast<std::size_t>(count)), device);
  }
}

/// Where the file will be: no link and no folder.
fs::path prepared(const fs::path& file) {
  std::error_code error;
  const bool is_link = fs::is_symlink(file, error);
  const fs::path resolved = is_link ? fs::weakly_canonical(file, error) : file;
  const fs::path target = resolved.empty() ? file : resolved;
  if (!target.has_filename() || fs::is_directory(target, error)) {
    fail<IoError>("write: \"{}\" is {}, and must be a file's name", file.string(),
                  file.empty() ? "empty" : "a folder");
  }
  return target;
}

}  // namespace

void rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) refused(to, "replace");
  // The new name is in the folder, which is brought to the disk too where the file system can.
  const fs::path folder = folder_of(to);
  if (const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); opened) {
    ::fsync(*opened);
  }
}

void write_atomically(const fs::path& file, const std::function<void(const fs::path&)>& write) {
  if (is_device(file)) {
    std::error_code error;
    const Temporary temporary(fs::temp_directory_path(error) / "weft");
    write(temporary.path());
    return copy_into(temporary.path(), file);
  }
  const fs::path target = prepared(file);
  Temporary temporary(target);
  write(temporary.path());
  {
    const Descriptor written(::open(temporary.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (!written) refused(target, "reopen");
    struct stat before {};
    if (::stat(target.c_str(), &before) == 0) {
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
    for (const std::span<const std::byte> part : parts) write_all(*out, part, file);
  });
}

void write_file(const fs::path& file, std::span<const std::byte> bytes) {
  const Descriptor out(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!out) refused(file, "open");
  write_all(*out, bytes, file);
}

void expect_writable(const fs::path& file) {
  if (!is_device(file)) {
    const Temporary temporary(prepared(file));
  } else if (::access(file.c_str(), W_OK) != 0) {
    refused(file, "write");
  }
}

}  // namespace weft
