// From what a user names to the works of a batch: pictures found, prompts and parameters chosen, names given.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "batch/names.hpp"
#include "batch/scan.hpp"
#include "batch/work.hpp"
#include "ipc/frame.hpp"

namespace step1x::cli {

struct BatchInputs {
  std::vector<std::string> inputs;  // folders, files, or "-" for a list on standard input
  std::optional<std::string> manifest;
  batch::Selection selection;
  bool nul = false;
  bool sidecar_prompts = false;
  std::filesystem::path output;
  std::string name = batch::kDefaultName;
  std::optional<std::string> format;
};

struct BatchWorks {
  std::vector<batch::Work> works;        // of all shards
  std::vector<std::string> passed_over;  // see batch::Found
};

// `members`: a request as job_members() makes it, from which the items' parameters are taken. `seed`: whether its seed
// is the user's. Throws Error(usage): nothing found, an item without a prompt, what batch::check_targets() throws, ...
// The n-th job of one picture has "#n" behind its key, from the second on, or the next number that no other key has.
BatchWorks make_works(const BatchInputs& inputs, const ipc::Json& members, bool seed);

// Throws Error(usage) as batch::check_targets() does. For the works of all shards: a picture must not replace another
// one's input either.
void check_outputs(const std::vector<batch::Work>& works, const std::filesystem::path& folder, bool ignore_case);

}  // namespace step1x::cli
