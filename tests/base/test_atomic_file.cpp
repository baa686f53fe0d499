#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include "base/atomic_file.hpp"
#include "base/fd.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using test::read_file;
using test::TempDir;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::set<std::string> entries(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.insert(entry.path().filename().string());
  return names;
}

std::string error_of(const fs::path& path, Replace replace = Replace::always) {
  try {
    write_file_atomically(path, bytes("new"), replace);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::failure);
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, std::string_view part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

mode_t mode(const fs::path& path) {
  struct stat st{};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  return st.st_mode & 07777;
}

}  // namespace

TEST_CASE("a new file holds the bytes and has the mode that the umask leaves") {
  const TempDir dir;
  const mode_t old = ::umask(027);
  write_file_atomically(dir.path() / "a", bytes("new"), Replace::never);
  write_file_atomically(dir.path() / "b", bytes("new"), Replace::always);
  ::umask(old);
  CHECK(read_file(dir.path() / "a") == "new");
  CHECK(read_file(dir.path() / "b") == "new");
  CHECK(mode(dir.path() / "a") == 0640);
  CHECK(mode(dir.path() / "b") == 0640);
  CHECK(entries(dir.path()) == std::set<std::string>{"a", "b"});
}

TEST_CASE("an empty file can be written") {
  const TempDir dir;
  write_file_atomically(dir.path() / "a", {}, Replace::always);
  CHECK(read_file(dir.path() / "a").empty());
}

TEST_CASE("a name relative to the working directory works, with and without a folder") {
  const TempDir dir;
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  fs::create_directory("sub");
  write_file_atomically("a", bytes("1"), Replace::never);
  write_file_atomically("sub/b", bytes("2"), Replace::always);
  fs::current_path(before);
  CHECK(read_file(dir.path() / "a") == "1");
  CHECK(read_file(dir.path() / "sub/b") == "2");
}

TEST_CASE("a name of 255 bytes, the longest there is, can be written") {
  const TempDir dir;
  const fs::path file = dir.path() / std::string(255, 'n');
  write_file_atomically(file, bytes("old"), Replace::never);
  write_file_atomically(file, bytes("new"), Replace::always);
  CHECK(read_file(file) == "new");
  CHECK(contains(error_of(dir.path() / std::string(256, 'n')), "File name too long"));
}

TEST_CASE("Replace::always replaces and keeps the mode; an open reader goes on reading the old file") {
  const TempDir dir;
  const fs::path file = dir.write("a", "old");
  fs::permissions(file, fs::perms(0604));
  const UniqueFd reader(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  write_file_atomically(file, bytes("new"), Replace::always);
  CHECK(read_file(file) == "new");
  CHECK(mode(file) == 0604);
  char old[8] = "";
  CHECK(::read(reader.get(), old, sizeof old) == 3);
  CHECK(std::string(old) == "old");
}

TEST_CASE("Replace::never leaves whatever has the name and says so by a type of its own") {
  const TempDir dir;
  const fs::path file = dir.write("a", "old");
  fs::create_symlink("nowhere", dir.path() / "dangling");
  fs::create_directory(dir.path() / "folder");
  CHECK_THROWS_AS(write_file_atomically(file, bytes("new"), Replace::never), FileExists);
  CHECK_THROWS_AS(write_file_atomically(dir.path() / "dangling", bytes("new"), Replace::never), FileExists);
  CHECK(read_file(file) == "old");
  CHECK(entries(dir.path()) == std::set<std::string>{"a", "dangling", "folder"});
}

TEST_CASE("of many writers of one name with Replace::never exactly one wins") {
  const TempDir dir;
  std::atomic<int> won = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 16; ++i) {
    writers.emplace_back([&, text = std::to_string(i)] {
      try {
        write_file_atomically(dir.path() / "a", bytes(text), Replace::never);
        ++won;
      } catch (const FileExists&) {
      }
    });
  }
  for (std::thread& w : writers) w.join();
  CHECK(won == 1);
  CHECK(entries(dir.path()) == std::set<std::string>{"a"});
}

TEST_CASE("a symbolic link stays, and what it points to is replaced or made") {
  const TempDir dir;
  fs::create_directory(dir.path() / "sub");
  dir.write("sub/real", "old");
  fs::create_symlink("sub/second", dir.path() / "first");
  fs::create_symlink("real", dir.path() / "sub/second");
  fs::create_symlink("sub/made", dir.path() / "dangling");
  write_file_atomically(dir.path() / "first", bytes("new"), Replace::always);
  write_file_atomically(dir.path() / "dangling", bytes("new"), Replace::always);
  CHECK(fs::is_symlink(dir.path() / "first"));
  CHECK(fs::is_symlink(dir.path() / "sub/second"));
  CHECK(fs::is_symlink(dir.path() / "dangling"));
  CHECK(read_file(dir.path() / "sub/real") == "new");
  CHECK(read_file(dir.path() / "sub/made") == "new");
}

TEST_CASE("a circle of symbolic links is an error") {
  const TempDir dir;
  fs::create_symlink("b", dir.path() / "a");
  fs::create_symlink("a", dir.path() / "b");
  CHECK(contains(error_of(dir.path() / "a"), "Too many levels of symbolic links"));
}

TEST_CASE("devices, fifos and descriptors are written to, not replaced") {
  const TempDir dir;
  write_file_atomically("/dev/null", bytes("new"), Replace::always);
  CHECK(fs::is_character_file("/dev/null"));

  const fs::path fifo = dir.path() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  write_file_atomically(fifo, bytes("new"), Replace::always);
  char got[8] = "";
  CHECK(::read(reader.get(), got, sizeof got) == 3);
  CHECK(fs::is_fifo(fifo));

  const fs::path log = dir.write("log", "before ");
  const UniqueFd out(::open(log.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  for (const char* prefix : {"/dev/fd/", "/proc/self/fd/"}) {
    write_file_atomically(prefix + std::to_string(out.get()), bytes("new "), Replace::always);
  }
  CHECK(read_file(log) == "before new new ");
}

TEST_CASE("a directory, an empty name or a missing folder is an error that says so") {
  const TempDir dir;
  fs::create_directory(dir.path() / "folder");
  for (const char* name : {"folder", "folder/", "folder/.", "folder/.."}) {
    for (const Replace replace : {Replace::always, Replace::never}) {
      const std::string error = error_of(dir.path() / name, replace);
      CHECK(contains(error, (dir.path() / name).string()));
      CHECK(contains(error, "is a directory"));
    }
  }
  CHECK(contains(error_of(""), "empty"));
  const std::string error = error_of(dir.path() / "missing/a");
  CHECK(contains(error, (dir.path() / "missing/a").string()));
  CHECK(contains(error, "No such file or directory"));
}

namespace {

struct Faulted {
  const TempDir& dir;
  std::string replace;

  test::Finished write(const std::string& fault) const {
    return test::run_process(
        {STEP1X_WRITE_FILE, replace, (dir.path() / "a").string(), "n", "100000"},
        {"LD_PRELOAD=" STEP1X_FAULT_SHIM, "STEP1X_TEST_FAULT=" + fault,
         "STEP1X_TEST_FAULT_UNDER=" + dir.path().string(), "ASAN_OPTIONS=verify_asan_link_order=0"});
  }
};

const std::string kOld = "old";
const std::string kNew(100'000, 'n');

// Makes call 1, 2, 3... of the kind fail until none is left to fail, and returns how many there were.
int fail_every(const std::string& kind, const std::string& how, const std::string& text, const std::string& replace,
               const std::string& also = "") {
  for (int n = 1;; ++n) {
    REQUIRE(n < 100);
    const TempDir dir;
    const bool had_old = replace == "always";
    if (had_old) dir.write("a", kOld);
    const test::Finished done = Faulted{dir, replace}.write(kind + ":" + std::to_string(n) + ":" + how + also);
    INFO(kind << " " << n << " " << how << " " << replace << ": " << done.status << " " << done.err);
    const std::set<std::string> left = entries(dir.path());
    if (had_old || done.status == 0) {
      REQUIRE(left == std::set<std::string>{"a"});
    } else {
      REQUIRE((left.empty() || left == std::set<std::string>{"a"}));
    }
    const std::string content = left.empty() ? kOld : read_file(dir.path() / "a");
    REQUIRE((content == kOld || content == kNew));
    if (done.status == 0) {
      REQUIRE(content == kNew);
      return n - 1;
    }
    REQUIRE(done.status == 1);
    CHECK(contains(done.err, (dir.path() / "a").string()));
    CHECK(contains(done.err, text));
  }
}

}  // namespace

TEST_CASE("whichever call fails, once or for ever, there is the old file or the new one and nothing else") {
  for (const std::string replace : {"always", "never"}) {
    for (const std::string forever : {"", ":forever"}) {
      for (const auto& [how, text] : {std::pair{"ENOSPC", "No space left on device"}, {"EIO", "Input/output error"}}) {
        CHECK(fail_every("open", how + forever, text, replace) == 1);
        CHECK(fail_every("write", how + forever, text, replace) == 1);
        CHECK(fail_every("fsync", how + forever, text, replace) == 2);
        CHECK(fail_every("linkat", how + forever, text, replace) == 1);
        CHECK(fail_every("rename", how + forever, text, replace) == (replace == "always" ? 1 : 0));
        CHECK(fail_every("close", how + forever, text, replace) == 1);
      }
    }
  }
}

TEST_CASE("whichever call fails where there are no nameless files, it is the same") {
  const std::string also = ",open:1:EOPNOTSUPP";
  for (const std::string replace : {"always", "never"}) {
    for (const std::string how : {"EIO", "EIO:forever"}) {
      const std::string text = "Input/output error";
      CHECK(fail_every("write", how, text, replace, also) == 1);
      CHECK(fail_every("fsync", how, text, replace, also) == 2);
      CHECK(fail_every("linkat", how, text, replace, also) == (replace == "never" ? 1 : 0));
      CHECK(fail_every("rename", how, text, replace, also) == (replace == "always" ? 1 : 0));
      CHECK(fail_every("rename", how, text, replace, also + ",linkat:1:EPERM:forever") == 1);
      CHECK(fail_every("close", how, text, replace, also) == 1);
    }
  }
}

TEST_CASE("a short or interrupted write is carried on") {
  const TempDir dir;
  for (const char* fault : {"write:1:SHORT", "write:1:SHORT:forever", "write:1:EINTR", "fsync:1:EINTR"}) {
    const test::Finished done = Faulted{dir, "always"}.write(fault);
    INFO(fault << ": " << done.err);
    CHECK(done.status == 0);
    CHECK(read_file(dir.path() / "a") == kNew);
  }
}

TEST_CASE("a file system without nameless files or without links gives the same file") {
  for (const std::string replace : {"always", "never"}) {
    for (const char* fault : {"open:1:EOPNOTSUPP", "linkat:1:EPERM", "linkat:1:EPERM:forever", "linkat:1:ENOENT"}) {
      const TempDir dir;
      const test::Finished done = Faulted{dir, replace}.write(fault);
      INFO(replace << " " << fault << ": " << done.err);
      CHECK(done.status == 0);
      CHECK(read_file(dir.path() / "a") == kNew);
      CHECK(entries(dir.path()) == std::set<std::string>{"a"});
    }
  }
}

TEST_CASE("a file system without fsync gives the same file") {
  for (const char* fault : {"fsync:1:EINVAL:forever", "fsync:1:EOPNOTSUPP:forever"}) {
    const TempDir dir;
    const test::Finished done = Faulted{dir, "always"}.write(fault);
    INFO(fault << ": " << done.err);
    CHECK(done.status == 0);
    CHECK(read_file(dir.path() / "a") == kNew);
  }
}

TEST_CASE("Replace::never is kept where there are no links") {
  const TempDir dir;
  dir.write("a", kOld);
  for (const char* fault : {"open:1:EOPNOTSUPP", "linkat:1:EPERM", "linkat:1:EPERM:forever"}) {
    CHECK(Faulted{dir, "never"}.write(fault).status == 17);
    CHECK(read_file(dir.path() / "a") == kOld);
    CHECK(entries(dir.path()) == std::set<std::string>{"a"});
  }
}

TEST_CASE("an interrupt at any call leaves the old file or the new one and no hidden one") {
  for (const std::string also : {"", ",open:1:EOPNOTSUPP", ",linkat:1:EPERM:forever"}) {
    for (const std::string replace : {"always", "never"}) {
      for (const std::string kind : {"open", "write", "fsync", "linkat", "rename", "close"}) {
        for (int n = 1;; ++n) {
          const TempDir dir;
          if (replace == "always") dir.write("a", kOld);
          const test::Finished done = Faulted{dir, replace}.write(kind + ":" + std::to_string(n) + ":INT" + also);
          INFO(replace << " " << kind << " " << n << also << ": " << done.status);
          const std::set<std::string> left = entries(dir.path());
          if (replace == "always" || !left.empty()) REQUIRE(left == std::set<std::string>{"a"});
          const std::string content = left.empty() ? kOld : read_file(dir.path() / "a");
          CHECK((content == kOld || content == kNew));
          if (done.status == 0) break;
          CHECK(done.status == 128 + 2);
        }
      }
    }
  }
}

TEST_CASE(
    "kill -9 at any call leaves the old file or the new one, and where there was one at most one whole hidden file") {
  for (const auto& [replace, had_old] :
       {std::pair<std::string, bool>{"always", true}, {"always", false}, {"never", false}}) {
    for (const char* kind : {"open", "write", "fsync", "linkat", "rename", "close"}) {
      for (int n = 1;; ++n) {
        const TempDir dir;
        if (had_old) dir.write("a", kOld);
        const test::Finished done = Faulted{dir, replace}.write(std::string(kind) + ":" + std::to_string(n) + ":KILL");
        INFO(replace << " " << had_old << " " << kind << " " << n << ": " << done.status);
        std::set<std::string> left = entries(dir.path());
        if (left.erase("a") == 1) {
          const std::string content = read_file(dir.path() / "a");
          CHECK((content == kOld || content == kNew));
        } else {
          CHECK(!had_old);
        }
        const bool between_link_and_rename = had_old && (std::string(kind) == "rename" || std::string(kind) == "close");
        CHECK(left.size() == (done.status != 0 && between_link_and_rename ? 1 : 0));
        for (const std::string& hidden : left) CHECK(read_file(dir.path() / hidden) == kNew);
        if (done.status == 0) break;
        CHECK(done.status == 128 + 9);
      }
    }
  }
}
