// The words for guidance_damping in a request (protocol.md section 4), in one place for all who check them. Pure, any
// thread.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace step1x::ipc {

inline constexpr std::array<std::string_view, 3> kGuidanceDampings{"all", "early", "off"};

inline bool is_guidance_damping(std::string_view text) {
  return std::ranges::find(kGuidanceDampings, text) != kGuidanceDampings.end();
}

}  // namespace step1x::ipc
