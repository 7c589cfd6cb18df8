#include "nn/appended_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "graph/error.hpp"

namespace weft::nn {

void AppendedFile::open(std::filesystem::path file, bool at_end) {
  close();
  file_ = std::move(file);
  std::error_code error;
  if (file_.has_parent_path()) std::filesystem::create_directories(file_.parent_path(), error);
  if (error) {
    fail<IoError>("{}: the folder of \"{}\" cannot be made: {}", who_, file_.string(),
                  error.message());
  }
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (at_end ? 0 : O_TRUNC);
  descriptor_ = ::open(file_.c_str(), flags, 0666);
  if (descriptor_ < 0) {
    fail<IoError>("{}: \"{}\" cannot be written: {}", who_, file_.string(), std::strerror(errno));
  }
  struct stat status {};
  size_ = ::fstat(descriptor_, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

void AppendedFile::append(std::string_view bytes) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t count = ::write(descriptor_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      // A part of it may be there. (A pipe or a terminal cannot take it back.)
      if (rest.size() < bytes.size() && ::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0) {
        size_ += bytes.size() - rest.size();
      }
      fail<IoError>("{}: \"{}\" cannot be written: {}", who_, file_.string(), std::strerror(error));
    }
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  size_ += bytes.size();
}

void AppendedFile::close() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace weft::nn
