// How much memory this process may still take: what the machine has, and what the control groups it is in allow.
// Pure but for the files it reads; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace step1x {

// The least of MemAvailable and, for this process's memory group and each above it, its limit less what is used of it
// (files that could be dropped do not count as used). Version 1 and 2 of control groups. In bytes; 0 where nothing can
// be read. `root` is "/" but for tests.
std::uint64_t available_memory(const std::filesystem::path& root = "/");

// What this process may have at most, by its memory group and those above it, if one of them has a limit.
struct MemoryLimit {
  std::uint64_t bytes = 0;
  std::string group;  // that has it: its path, "/user.slice/batch.scope"
};
std::optional<MemoryLimit> memory_limit(const std::filesystem::path& root = "/");

}  // namespace step1x
