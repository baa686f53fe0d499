// The secret of who may come in from elsewhere.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace step1x::http {

// From the file, or else from STEP1X_TOKEN; empty: there is none. Throws Error(usage) where the file can be read by
// others than its owner, or it is no token: 16 to 4096 characters of which none is a space.
std::string read_token(const std::optional<std::filesystem::path>& file);

}  // namespace step1x::http
