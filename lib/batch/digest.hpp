// SHA-256 of files and bytes, as 64 hexadecimal digits. Any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <stop_token>
#include <string>

namespace step1x::batch {

std::string sha256(std::span<const std::byte> bytes);
// Of a regular file. Throws Error(failure) with the path and why it cannot be read, and Error(cancelled) soon after a
// stop is asked for.
std::string sha256_file(const std::filesystem::path& path, const std::stop_token& stop = {});

}  // namespace step1x::batch
