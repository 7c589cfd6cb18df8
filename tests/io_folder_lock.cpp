#include "io/folder_lock.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "graph/error.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

/// A child that does something, says so, and waits until it is killed.
template <class F>
class Child {
 public:
  explicit Child(F f) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    id = ::fork();
    REQUIRE(id >= 0);
    if (id == 0) {
      f([&] {
        if (::write(ends[1], "x", 1) != 1) ::_exit(1);
        while (true) ::pause();
      });
      ::_exit(0);
    }
    ::close(ends[1]);
    char letter = 0;
    REQUIRE(::read(ends[0], &letter, 1) == 1);
    ::close(ends[0]);
  }
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void kill() {
    if (id == 0) return;
    ::kill(id, SIGKILL);
    ::waitpid(id, nullptr, 0);
    id = 0;
  }

  pid_t id = 0;
};

TEST_CASE("folder lock: one at a time in a process, and the folder goes with it if it is empty") {
  const TemporaryFolder parent;
  const fs::path folder = parent / "deep" / "st";
  const auto take = [&] { return FolderLock("me", folder); };
  {
    std::optional<FolderLock> lock;
    lock.emplace("me", folder);
    check_message<IoError>(
        [&] { take(); }, {"me: the folder \"" + folder.string() + "\" is in use by this process"});
    // The refusal lost nothing.
    check_message<IoError>([&] { take(); }, {"is in use by this process"});
    CHECK_NOTHROW(FolderLock("me", parent / "other"));
    lock.reset();
    CHECK(!fs::exists(folder));
    CHECK_NOTHROW(take());
    lock.emplace("me", folder);
    put(folder / "kept", "x");
  }
  CHECK(content(folder / "kept") == "x");
  CHECK(!fs::exists(folder / "lock"));
  put(parent / "file", "x");
  check_message<IoError>([&] { FolderLock("me", parent / "file"); },
                         {"me: ", "file\" cannot be made"});
}

TEST_CASE("folder lock: another process is named, and its death lets go") {
  const TemporaryFolder parent;
  const fs::path folder = parent / "st";
  Child other([&](auto&& wait) {
    const FolderLock lock("child", folder);
    wait();
  });
  check_message<IoError>(
      [&] { FolderLock("me", folder); },
      {fmt::format("\"{}\" is in use by the process {}:", folder.string(), other.id),
       "take another folder"});
  other.kill();
  CHECK(fs::exists(folder / "lock"));  // which is nobody's
  CHECK_NOTHROW(FolderLock("me", folder));
  CHECK(!fs::exists(folder));
}

TEST_CASE("folder lock: a child of the owner neither holds it nor lets it go") {
  const TemporaryFolder parent;
  const fs::path folder = parent / "st";
  std::optional<FolderLock> lock;
  lock.emplace("me", folder);
  const Child ended([&](auto&& wait) {
    lock.reset();
    wait();
  });
  CHECK(fs::exists(folder / "lock"));
  const Child other([&](auto&& wait) {
    try {
      FolderLock("child", folder);
    } catch (const IoError& error) {
      if (std::string(error.what()).find(fmt::format("process {}:", ::getppid())) !=
          std::string::npos) {
        wait();
      }
    }
  });
  lock.reset();
  CHECK_NOTHROW(lock.emplace("me", folder));
}

}  // namespace
}  // namespace weft::test
