// Takes the place of the library's own version and protocol number in the programs of another build.
#include "base/version.hpp"
#include "ipc/hello.hpp"

namespace step1x {
const char* const kVersion = "9.9.9";
const char* const kBuildId = SKEWED_BUILD;
}  // namespace step1x

#ifdef SKEWED_PROTOCOL
namespace step1x::ipc {
const int kProtocol = SKEWED_PROTOCOL;
}  // namespace step1x::ipc
#endif
