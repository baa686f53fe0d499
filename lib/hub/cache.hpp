// The local cache of the Hugging Face hub, read in place: which folder holds a model that some program has downloaded.
// Nothing is written, moved or downloaded here, and no network is used. The layout is that of huggingface_hub:
//   CACHE/models--ORG--NAME/refs/REVISION              the commit that a branch or tag points to
//   CACHE/models--ORG--NAME/snapshots/COMMIT/...       the files, usually links to ../../blobs
// A snapshot may be incomplete: whether what is needed is there is for its reader to check.
// Pure but for the file system and the environment. Errors: Error(model_missing), Error(usage) for a malformed name.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace step1x {

// A variable's value; nothing when it is not set.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;
EnvironmentLookup process_environment();

// The cache folder, absolute: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, where HF_HOME is
// XDG_CACHE_HOME/huggingface and that ~/.cache/huggingface if not set. Variables that are set to nothing count as not
// set; ~ and $NAME in them are expanded. The folder need not exist.
std::filesystem::path hub_cache_folder(const EnvironmentLookup& environment = process_environment());

// True for "name" and "organisation/name" as the hub allows them; also false for what looks like a path (./x, a/b/c).
bool is_hub_id(std::string_view text);

// The snapshot folder of a model. `revision` is a branch, a tag or a commit of 40 hexadecimal digits.
std::filesystem::path find_snapshot(const std::filesystem::path& cache, std::string_view id,
                                    std::string_view revision = "main");

}  // namespace step1x
