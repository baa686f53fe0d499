#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "memory/available.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using step1x::test::TempDir;

namespace {

constexpr std::uint64_t kGibibyte = std::uint64_t{1} << 30;

// A machine with 8 GiB available, as its files say.
class Machine {
 public:
  Machine() { write("proc/meminfo", "MemTotal:  16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n"); }
  void write(const std::string& path, const std::string& text) const {
    const auto file = dir_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void group2(const std::string& path, const std::string& max, std::uint64_t current, std::uint64_t files) const {
    const std::string folder = "sys/fs/cgroup/" + path;
    write(folder + "/memory.max", max + "\n");
    write(folder + "/memory.current", std::to_string(current) + "\n");
    write(folder + "/memory.stat", "anon 5\ninactive_file " + std::to_string(files) + "\nactive_file 0\n");
  }
  std::uint64_t available() const { return available_memory(dir_.path()); }

 private:
  TempDir dir_;
};

}  // namespace

TEST_CASE("without a control group it is what the machine has") {
  const Machine machine;
  CHECK(machine.available() == 8 * kGibibyte);
  machine.write("proc/self/cgroup", "0::/\n");
  CHECK(machine.available() == 8 * kGibibyte);
}

TEST_CASE("version 2: the tightest of the own group and those above counts, and files of the page cache are no use") {
  const Machine machine;
  machine.write("proc/self/cgroup", "0::/slice/job\n");
  machine.group2("slice", std::to_string(6 * kGibibyte), 3 * kGibibyte, 0);
  machine.group2("slice/job", "max", kGibibyte, 0);
  CHECK(machine.available() == 3 * kGibibyte);
  machine.group2("slice/job", std::to_string(4 * kGibibyte), 3 * kGibibyte, kGibibyte);
  CHECK(machine.available() == 2 * kGibibyte);
  machine.group2("slice/job", std::to_string(kGibibyte), 3 * kGibibyte, 0);
  CHECK(machine.available() == 0);
}

TEST_CASE("version 1: the memory hierarchy counts") {
  const Machine machine;
  machine.write("proc/self/cgroup", "9:cpu,cpuacct:/other\n4:memory:/box\n0::/elsewhere\n");
  machine.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", std::to_string(2 * kGibibyte));
  machine.write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", std::to_string(kGibibyte));
  machine.write("sys/fs/cgroup/memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 1024\n");
  CHECK(machine.available() == kGibibyte + 1024);
}

TEST_CASE("in a container, where the path is the host's, the group that is mounted counts") {
  const Machine machine;
  machine.write("proc/self/cgroup", "0::/host/path/of/container\n");
  machine.group2("", std::to_string(kGibibyte), kGibibyte / 4, 0);
  CHECK(machine.available() == kGibibyte / 4 * 3);
}

TEST_CASE("here it is something") {
  CHECK(available_memory() > 0);
}
