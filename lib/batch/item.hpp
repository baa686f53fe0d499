// One picture of a batch. Plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace step1x::batch {

// What an item has that differs from the batch's flags.
struct Overrides {
  std::optional<std::string> prompt;
  std::optional<std::string> negative_prompt;
  std::optional<std::int64_t> seed;
  std::optional<std::int64_t> size;
  std::optional<std::int64_t> steps;
  std::optional<double> guidance;
  std::optional<std::string> guidance_damping;
  std::optional<bool> vae_tiling;
  std::optional<std::string> output;  // relative to the output folder, instead of the template's
};

struct Item {
  // By which the journal knows it: the path below the input folder, or as it was named, with '/' between its parts.
  std::string key;
  std::filesystem::path input;
  Overrides own;
};

}  // namespace step1x::batch
