// The two system calls that move frames, as protocol.md section 1 asks: every read of every process is read_some(),
// every write is write_some(). Without state and non-blocking; the caller waits for readiness.
#pragma once

#include <cstddef>
#include <string_view>

#include "ipc/frame.hpp"

namespace step1x::ipc {

enum class ReadState { frame, more, would_block, end };

// One recvmsg(MSG_CMSG_CLOEXEC) of at most reader.want() bytes into the reader. `message` is set when the result is
// `frame`. EOF and a reset are `end`, in the middle of a frame or not. Throws Error(protocol) on whatever the protocol
// calls broken.
ReadState read_some(int socket, FrameReader& reader, Message& message);

enum class WriteState { written, would_block, end };

// One sendmsg of the bytes; fd (or -1) goes with the first of them. `written` is set to how many were taken. `end`: the
// other side is gone.
WriteState write_some(int socket, std::string_view bytes, int fd, std::size_t& written);

}  // namespace step1x::ipc
