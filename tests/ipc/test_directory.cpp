#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "ipc/directory.hpp"
#include "ipc/lock.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::ipc;
namespace fs = std::filesystem;

TEST_CASE("a missing directory is made for this user only, with its parents") {
  const test::TempDir temp;
  const fs::path path = temp.path() / "a/b/c";
  const Directory directory = Directory::open({path});
  CHECK(directory.path() == path);
  for (const fs::path& made : {path, path.parent_path()}) CHECK(fs::status(made).permissions() == fs::perms::owner_all);
}

TEST_CASE("a umask that takes everything away leaves directory and files to their owner") {
  const test::TempDir temp;
  const mode_t before = ::umask(0777);
  const Directory directory = Directory::open({temp.path() / "a/b"});
  CHECK(directory.open_file(kLogName, O_RDWR));
  ::umask(before);
  for (const fs::path& made : {temp.path() / "a", temp.path() / "a/b"})
    CHECK(fs::status(made).permissions() == fs::perms::owner_all);
  CHECK(fs::status(directory.path() / kLogName).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("nothing is made when one only looks") {
  const test::TempDir temp;
  CHECK(!Directory::open_existing({temp.path() / "a"}));
  CHECK(!fs::exists(temp.path() / "a"));
}

TEST_CASE("a directory that others may enter is refused, with the command that mends it") {
  const test::TempDir temp;
  for (const mode_t mode : {0777, 0750, 0701, 0710, 01777}) {
    CAPTURE(mode);
    const fs::path path = temp.path() / std::to_string(mode);
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK_THROWS_WITH_AS(Directory::open({path}), doctest::Contains(("chmod 700 " + path.string()).c_str()), Error);
  }
}

TEST_CASE("what stands in the directory's place is refused: link, dangling link, file, fifo") {
  const test::TempDir temp;
  fs::create_directory(temp.path() / "real");
  REQUIRE(::chmod((temp.path() / "real").c_str(), 0700) == 0);
  fs::create_symlink(temp.path() / "real", temp.path() / "link");
  fs::create_symlink(temp.path() / "nowhere", temp.path() / "dangling");
  temp.write("file", "");
  REQUIRE(::mkfifo((temp.path() / "fifo").c_str(), 0600) == 0);
  for (const char* name : {"link", "dangling", "file", "fifo"}) {
    CAPTURE(name);
    CHECK_THROWS_AS(Directory::open({temp.path() / name}), Error);
  }
  CHECK_THROWS_WITH_AS(Directory::open({temp.path() / "link"}), doctest::Contains("symbolic link"), Error);
}

// Only root can make one.
TEST_CASE("a directory of another user is refused" * doctest::skip(::geteuid() != 0)) {
  const test::TempDir temp;
  const fs::path path = temp.path() / "theirs";
  REQUIRE(::mkdir(path.c_str(), 0700) == 0);
  REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
  CHECK_THROWS_WITH_AS(Directory::open({path}), doctest::Contains("belongs to user 65534"), Error);
}

TEST_CASE("files are reached by a short path however long the directory's own is") {
  const test::TempDir temp;
  fs::path path = temp.path();
  while (path.string().size() < 1000) path /= std::string(100, 'x');
  const Directory directory = Directory::open({path});
  CHECK(directory.via_fd(kSocketName).size() < 41);
  std::FILE* file = std::fopen(directory.via_fd("a").c_str(), "w");
  REQUIRE(file != nullptr);
  std::fclose(file);
  CHECK(fs::exists(path / "a"));
}

TEST_CASE("one lock, one holder, until it ends") {
  const test::TempDir temp;
  const Directory directory = Directory::open({temp.path() / "run"});
  {
    Lock lock = Lock::acquire(directory, kWorkerLockName);
    CHECK(!Lock::try_acquire(directory, kWorkerLockName));
    lock.raise_above(200);
    CHECK(lock.fd() >= 200);
    CHECK(!Lock::try_acquire(directory, kWorkerLockName));
    CHECK(Lock::try_acquire(directory, kSpawnLockName));
  }
  CHECK(Lock::try_acquire(directory, kWorkerLockName));
}

TEST_CASE("opening and closing the lock's file elsewhere does not lose the lock") {
  const test::TempDir temp;
  const Directory directory = Directory::open({temp.path() / "run"});
  const Lock lock = Lock::acquire(directory, kWorkerLockName);
  test::read_file(directory.path() / kWorkerLockName);
  CHECK(!Lock::try_acquire(directory, kWorkerLockName));
}
