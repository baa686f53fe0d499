#include "ipc/hello.hpp"

namespace step1x::ipc {
const int kProtocol = 1;
}  // namespace step1x::ipc
