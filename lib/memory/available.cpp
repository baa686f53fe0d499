#include "memory/available.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace step1x {

namespace {

namespace fs = std::filesystem;

// What the two versions call the same things.
struct Names {
  const char* mount;
  const char* limit;
  const char* usage;
  // In memory.stat: pages of files, which the kernel drops before it refuses anybody.
  const char* inactive;
  const char* active;
};
constexpr Names kVersion1{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                          "total_inactive_file", "total_active_file"};
constexpr Names kVersion2{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", "active_file"};

std::optional<std::uint64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::string text;
  file >> text;  // "max" is no number
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The number after `key` in a file of lines "key number ..."; 0 where there is none.
std::uint64_t read_key(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return 0;
}

std::optional<std::uint64_t> headroom(const fs::path& group, const Names& names) {
  const auto limit = read_number(group / names.limit);
  const auto usage = read_number(group / names.usage);
  if (!limit || !usage) return std::nullopt;
  const fs::path stat = group / "memory.stat";
  const std::uint64_t files = read_key(stat, names.inactive) + read_key(stat, names.active);
  const std::uint64_t used = *usage - std::min(files, *usage);
  return *limit - std::min(used, *limit);
}

// This process's group in the hierarchy that has the memory controller: of version 1 if there is one, else of
// version 2.
struct Group {
  const Names* names = &kVersion2;
  fs::path path;  // relative to the mount
};
Group own_group(const fs::path& root) {
  std::ifstream file(root / "proc/self/cgroup");
  Group group;
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const fs::path path = fs::path(line.substr(second + 1)).relative_path();
    if (controllers.find(",memory,") != std::string::npos) return {&kVersion1, path};
    if (controllers == ",,") group.path = path;
  }
  return group;
}

// Calls `look` with the path of this process's group, and of each above it, where it is mounted. In a container the
// path may be the host's, which is not mounted here: then what there is of it above.
template <typename Look>
void for_own_groups(const fs::path& root, Look look) {
  const Group group = own_group(root);
  const fs::path mount = root / group.names->mount;
  for (fs::path path = group.path;; path = path.parent_path()) {
    look(mount / path, path, *group.names);
    if (path.empty()) return;
  }
}

}  // namespace

std::uint64_t available_memory(const fs::path& root) {
  std::uint64_t least = read_key(root / "proc/meminfo", "MemAvailable:") * 1024;
  for_own_groups(root, [&](const fs::path& folder, const fs::path&, const Names& names) {
    if (const auto room = headroom(folder, names)) least = std::min(least, *room);
  });
  return least;
}

std::optional<MemoryLimit> memory_limit(const fs::path& root) {
  // Version 1 writes a number near the greatest one where there is no limit.
  std::uint64_t least = read_key(root / "proc/meminfo", "MemTotal:") * 1024;
  std::optional<MemoryLimit> found;
  for_own_groups(root, [&](const fs::path& folder, const fs::path& path, const Names& names) {
    const auto limit = read_number(folder / names.limit);
    if (!limit || *limit >= least) return;
    least = *limit;
    found = MemoryLimit{*limit, "/" + path.string()};
  });
  return found;
}

}  // namespace step1x
