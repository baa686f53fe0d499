// That a configuration counts as many blocks as a checkpoint has. Before a table of tensors grows by such a number,
// which could be any; and a smaller one would leave out blocks in silence. Pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "weights/checkpoint.hpp"

namespace step1x {

struct BlockCount {
  std::string key;  // of the configuration: "dit.depth"
  std::int64_t count = 0;
  std::string prefix;  // "double_blocks.", before the block's number
};

// `config` is the file that says so; empty: none, these are the released dimensions. Throws Error(model_missing) that
// names it, the key, and how many there are.
void check_counts(const Checkpoint& checkpoint, const std::filesystem::path& config,
                  std::span<const BlockCount> counts);

}  // namespace step1x
