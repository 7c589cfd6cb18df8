#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iterator>
#include <set>
#include <stdexcept>
#include <utility>

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
                         {"/d\" is a folder"});
  check_message<IoError>([&] { write_atomically("", {bytes_of("x")}); }, {"is empty"});
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("write_atomically: a pipe or another device gets the bytes, and stays") {
  TemporaryFolder folder;
  const fs::path pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  write_atomically(pipe, {bytes_of("one "), bytes_of("two")});
  CHECK_THROWS_AS(write_atomically(pipe, [](const fs::path&) { throw std::runtime_error("no"); }),
                  std::runtime_error);
  char got[16];
  CHECK(std::string(got, static_cast<std::size_t>(::read(reader, got, sizeof got))) == "one two");
  ::close(reader);
  CHECK(fs::is_fifo(pipe));
  CHECK(entries(folder.path()) == 1);
  fs::create_symlink("/dev/full", folder / "full");  // a link, so that no mistake here replaces it
  check_message<IoError>([&] { write_atomically(folder / "full", {bytes_of("x")}); },
                         {"cannot write", "full", "No space left"});
  CHECK(fs::is_character_file("/dev/full"));
}

TEST_CASE("expect_writable: says what write_atomically would") {
  TemporaryFolder folder;
  put(folder / "old", "old");
  fs::create_directory(folder / "d");
  CHECK_NOTHROW(expect_writable(folder / "old"));
  CHECK_NOTHROW(expect_writable(folder / "new"));
  CHECK_NOTHROW(expect_writable("/dev/null"));
  check_message<IoError>([&] { expect_writable(folder / "none" / "a"); },
                         {"cannot create", "No such file or directory"});
  check_message<IoError>([&] { expect_writable(folder / "d"); }, {"is a folder"});
  CHECK(content(folder / "old") == "old");
  CHECK(entries(folder.path()) == 2);
}

/// A process that begins to write folder/"a", and then ends there, or waits until it is killed.
class Writer {
 public:
  Writer(const fs::path& folder, bool ends) {
    int ends_of_pipe[2];
    REQUIRE(::pipe(ends_of_pipe) == 0);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      write_atomically(folder / "a", [&](const fs::path&) {
        if (::write(ends_of_pipe[1], "x", 1) != 1 || ends) ::_exit(0);
        while (true) ::pause();
      });
    }
    ::close(ends_of_pipe[1]);
    char letter = 0;
    REQUIRE(::read(ends_of_pipe[0], &letter, 1) == 1);
    ::close(ends_of_pipe[0]);
    if (ends) ::waitpid(std::exchange(child_, 0), nullptr, 0);
  }
  ~Writer() {
    if (child_ == 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

 private:
  pid_t child_ = 0;
};

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

TEST_CASE("write_atomically: what dead processes began goes, and nothing else") {
  TemporaryFolder folder;
  const Writer alive(folder.path(), false);
  const std::string of_alive = *names_in(folder.path()).begin();
  const Writer dead(folder.path(), true);
  std::set<std::string> both = names_in(folder.path());
  REQUIRE(both.size() == 2);
  both.erase(of_alive);
  const std::string of_dead = *both.begin();
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string name = of_dead;
    return name.replace(name.find(from), from.size(), to);
  };
  const auto place_at = of_dead.find("weft-") + 5;
  std::string elsewhere = of_dead;
  elsewhere[place_at] = elsewhere[place_at] == '0' ? '1' : '0';
  // Of another place, or not quite of our form.
  const std::set<std::string> foreign{elsewhere,
                                      changed(".a.", "a."),
                                      changed(".a.", "."),
                                      changed(".tmp", ".tmp2"),
                                      changed(".tmp", ""),
                                      changed("weft-", "weft-0"),
                                      changed("weft-", ""),
                                      ".a.99999999.0.tmp",
                                      ".tmp"};
  for (const std::string& name : foreign) put(folder / name, "x");
  const std::string also_dead = changed(".a.", ".another name.h5.");
  put(folder / also_dead, "x");
  put(folder / changed(".tmp", ".tmp.0a1b2c"), "x");  // libzip's
  const std::string folder_of_that_name = changed(".a.", ".b.");
  fs::create_directory(folder / folder_of_that_name);

  write_atomically(folder / "c", {bytes_of("new")});
  std::set<std::string> left = foreign;
  left.insert({of_alive, folder_of_that_name, "c"});
  CHECK(names_in(folder.path()) == left);
}

}  // namespace
}  // namespace weft::test
