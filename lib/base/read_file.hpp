// Opening and reading files whose names come from outside. A name may lead to a pipe or a device, of which a read never
// ends; only regular files are opened here, and without waiting. Any thread.
//
// Errors: Error with the code that is asked for, "cannot read PATH: why".
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace step1x {

// For reading; links are followed.
UniqueFd open_regular_file(const std::filesystem::path& path, ErrorCode code);

// The whole file. One that is longer than `most` bytes is an error.
std::string read_regular_file(const std::filesystem::path& path, std::size_t most, ErrorCode code);

// A descriptor to its end, pipes and devices too; more than `most` bytes are an error. `name` is for messages.
std::string read_to_end(int fd, const std::string& name, std::size_t most, ErrorCode code);

}  // namespace step1x
