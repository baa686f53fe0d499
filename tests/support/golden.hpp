// Where the reference tensors lie: tests/golden.
#pragma once

#include <filesystem>

namespace step1x::test {

inline const std::filesystem::path kGolden = STEP1X_GOLDEN_DIR;

}  // namespace step1x::test
