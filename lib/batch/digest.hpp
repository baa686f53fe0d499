// SHA-256 of files and bytes, as 64 hexadecimal digits. Any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace step1x::batch {

std::string sha256(std::span<const std::byte> bytes);
// Throws Error(failure) with the path and why it cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace step1x::batch
