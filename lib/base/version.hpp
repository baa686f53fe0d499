// Which build this is. The version is for people; the build id tells two builds of one version apart and is what
// client, worker and engine compare (ipc/protocol.md, "Hello").
#pragma once

namespace step1x {
extern const char* const kVersion;
extern const char* const kBuildId;
}  // namespace step1x
