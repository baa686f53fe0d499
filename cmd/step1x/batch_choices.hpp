// What part of a batch is done, until when, and on what: from flags and environment. Errors: Error(usage).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "batch/shard.hpp"

namespace step1x::cli {

// That of --shard, else that of the task of a Slurm array, else all.
batch::Shard choose_shard(const std::optional<std::string>& flag);

// The earlier one of both, if there is any: --deadline in local time, --max-runtime from now.
std::optional<std::chrono::system_clock::time_point> choose_deadline(const std::optional<std::string>& deadline,
                                                                     const std::optional<std::string>& max_runtime);

// --devices: "all", or names with commas between them; none for an empty text.
std::vector<std::string> choose_devices(const std::string& text);

}  // namespace step1x::cli
