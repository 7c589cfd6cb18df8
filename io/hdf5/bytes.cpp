#include "io/hdf5/bytes.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "graph/error.hpp"

namespace weft::hdf5 {
namespace {

// What is read of a file's structure may be this many times the file; honest files are read about
// once. A small read counts as one of least_read bytes, since a call of the system costs as much.
constexpr std::uint64_t most_times = 32, least_read = 64, free_bytes = 4 << 20;

std::uint32_t word_at(Bytes bytes, std::size_t at) {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4 && at + i < bytes.size(); ++i) {
    word |= std::to_integer<std::uint32_t>(bytes[at + i]) << 8 * i;
  }
  return word;
}

/// Jenkins' lookup3 (Bob Jenkins, "lookup3.c", 2006), which the format uses as its checksum.
std::uint32_t checksum(Bytes bytes) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size()), b = a, c = a;
  const auto step = [](std::uint32_t& x, std::uint32_t& y, std::uint32_t& z, int bits) {
    x -= z;
    x ^= std::rotl(z, bits);
    z += y;
  };
  std::size_t at = 0;
  for (; bytes.size() - at > 12; at += 12) {
    a += word_at(bytes, at);
    b += word_at(bytes, at + 4);
    c += word_at(bytes, at + 8);
    step(a, b, c, 4), step(b, c, a, 6), step(c, a, b, 8);
    step(a, b, c, 16), step(b, c, a, 19), step(c, a, b, 4);
  }
  if (at == bytes.size()) return c;
  a += word_at(bytes, at);
  b += word_at(bytes, at + 4);
  c += word_at(bytes, at + 8);
  const auto last = [](std::uint32_t& x, std::uint32_t y, int bits) {
    x ^= y;
    x -= std::rotl(y, bits);
  };
  last(c, b, 14), last(a, c, 11), last(b, a, 25), last(c, b, 16);
  last(a, c, 4), last(b, a, 14), last(c, b, 24);
  return c;
}

}  // namespace

std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > (std::uint64_t{1} << 62) / b) damaged("a size in it is larger than can be");
  return a * b;
}

// ---- Cursor

Bytes Cursor::take(std::uint64_t size) {
  if (size > bytes_.size()) damaged("{} is shorter than its content", what_);
  const Bytes taken = bytes_.first(static_cast<std::size_t>(size));
  bytes_ = bytes_.subspan(static_cast<std::size_t>(size));
  return taken;
}

std::uint64_t Cursor::number(std::size_t size) {
  if (size < 1 || size > 8) damaged("{} has a number of {} bytes", what_, size);
  const Bytes digits = take(size);
  std::uint64_t number = 0;
  for (std::size_t i = size; i-- > 0;) {
    number = number << 8 | std::to_integer<std::uint64_t>(digits[i]);
  }
  return number;
}

void Cursor::expect(std::string_view signature) {
  if (left() < signature.size() ||
      std::memcmp(take(signature.size()).data(), signature.data(), signature.size()) != 0) {
    damaged("where {} should be, there is something else", what_);
  }
}

std::string Cursor::text() const {
  const char* first = reinterpret_cast<const char*>(bytes_.data());
  return {first, ::strnlen(first, bytes_.size())};
}

Bytes checked(Bytes structure, const char* what) {
  if (structure.size() < 4) damaged("{} is shorter than its content", what);
  const Bytes content = structure.first(structure.size() - 4);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // a fuzzer would never get past it
  if (checksum(content) != word_at(structure, content.size())) {
    damaged("the checksum of {} is wrong", what);
  }
#endif
  return content;
}

// ---- Storage

Storage::Storage(const std::filesystem::path& file) {
  file_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not block
  struct stat status {};
  const bool opened = file_ >= 0 && ::fstat(file_, &status) == 0;
  if (!opened || !S_ISREG(status.st_mode)) {
    const int error = errno;
    if (file_ >= 0) ::close(file_);
    if (opened) fail<IoError>("\"{}\" is a folder or a device, not a file", file.string());
    if (error == ENOENT) fail<IoError>("\"{}\": there is no such file", file.string());
    fail<IoError>("\"{}\" cannot be opened: {}", file.string(), std::strerror(error));
  }
  size_ = static_cast<std::uint64_t>(std::max<off_t>(status.st_size, 0));
}

Storage::~Storage() {
  if (file_ >= 0) ::close(file_);
}

std::uint64_t Storage::room(std::uint64_t address) const noexcept {
  const std::uint64_t all = size_ - std::min(base_, size_);
  return all - std::min(address, all);
}

void Storage::expect_within(std::uint64_t address, std::uint64_t size, const char* what) const {
  if (size > room(address) || (address == undefined && size == 0)) {
    damaged("{} lies beyond the end of the file", what);
  }
}

void Storage::read(std::uint64_t address, std::span<std::byte> to, const char* what) const {
  expect_within(address, to.size(), what);
  if (file_ < 0) {
    if (!to.empty()) std::memcpy(to.data(), memory_.data() + base_ + address, to.size());
    return;
  }
  for (auto at = static_cast<off_t>(base_ + address); !to.empty();) {
    const ssize_t count = ::pread(file_, to.data(), to.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) damaged("{} cannot be read: {}", what, std::strerror(errno));
    if (count == 0) damaged("the file became shorter while it was read");
    to = to.subspan(static_cast<std::size_t>(count));
    at += count;
  }
}

std::vector<std::byte> Storage::structure(std::uint64_t address, std::uint64_t size,
                                          const char* what) {
  expect_within(address, size, what);
  structures_ += std::max(size, least_read);
  if (structures_ > free_bytes + most_times * size_) {
    damaged("its structures overlap, or lead in a circle");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  read(address, bytes, what);
  return bytes;
}

std::vector<std::byte> Storage::structure(std::uint64_t address, std::size_t start,
                                          const std::function<std::uint64_t(Cursor)>& size_of,
                                          const char* what) {
  const std::vector<std::byte> first = structure(address, start, what);
  return structure(address, size_of(Cursor(first, what)), what);
}

}  // namespace weft::hdf5
