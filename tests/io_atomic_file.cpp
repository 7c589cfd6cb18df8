#include "io/atomic_file.hpp"

#include <sys/stat.h>

#include "graph/error.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST_CASE("write_atomically: writes parts, replaces, and leaves nothing else behind") {
  TemporaryFolder folder;
  write_atomically(folder / "a", {bytes_of("one "), bytes_of(""), bytes_of("two")});
  CHECK(content(folder / "a") == "one two");
  write_atomically(folder / "a", {bytes_of("three")});
  CHECK(content(folder / "a") == "three");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("write_atomically: when the writer throws, the old file stays") {
  TemporaryFolder folder;
  put(folder / "a", "old");
  const auto write = [&] {
    write_atomically(folder / "a", [](const fs::path& temporary) {
      put(temporary, "half of the n");
      throw std::runtime_error("no more");
    });
  };
  CHECK_THROWS_WITH_AS(write(), "no more", std::runtime_error);
  CHECK(content(folder / "a") == "old");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("write_atomically: follows links and keeps permissions") {
  TemporaryFolder folder;
  put(folder / "file", "old");
  REQUIRE(::chmod((folder / "file").c_str(), 0640) == 0);
  fs::create_symlink("file", folder / "link");
  write_atomically(folder / "link", {bytes_of("new")});
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(content(folder / "file") == "new");
  CHECK(fs::status(folder / "file").permissions() == static_cast<fs::perms>(0640));
  CHECK(entries(folder.path()) == 2);
}

TEST_CASE("write_atomically: says what the system refused") {
  TemporaryFolder folder;
  const fs::path missing = folder / "no folder" / "a";
  check_message<IoError>([&] { write_atomically(missing, {bytes_of("x")}); },
                         {"cannot create", "no folder/a", "No such file or directory"});
  fs::create_directory(folder / "d");
  check_message<IoError>([&] { write_atomically(folder / "d", {bytes_of("x")}); },
                         {"cannot replace", "/d\""});
  CHECK(entries(folder.path()) == 1);
}

}  // namespace
}  // namespace weft::test
