#include "ipc/channel.hpp"

#include <poll.h>

#include <algorithm>
#include <string>

#include "base/error.hpp"
#include "ipc/socket_io.hpp"

namespace step1x::ipc {

bool wait_for(int fd, short events, Deadline deadline) {
  using namespace std::chrono;
  for (;;) {
    int timeout = -1;
    if (deadline) {
      const auto left = ceil<milliseconds>(*deadline - steady_clock::now()).count();
      timeout = static_cast<int>(std::clamp<long long>(left, 0, 1 << 30));
    }
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, timeout);
    if (ready > 0) return true;
    if (ready == 0 && timeout == 0) return false;
    if (ready < 0 && errno != EINTR) throw Error::format(ErrorCode::failure, "poll: {}", errno_text());
  }
}

bool Channel::send(const Json& body, int fd, Json::error_handler_t invalid_utf8) {
  const std::string frame = encode_frame(body, invalid_utf8);
  std::string_view rest = frame;
  while (!rest.empty()) {
    std::size_t written = 0;
    switch (write_some(socket_.get(), rest, fd, written)) {
      case WriteState::end:
        return false;
      case WriteState::would_block:
        wait_for(socket_.get(), POLLOUT, std::nullopt);
        break;
      case WriteState::written:
        rest.remove_prefix(written);
        fd = -1;
        break;
    }
  }
  return true;
}

Channel::Result Channel::receive(Message& message, Deadline deadline) {
  for (;;) {
    switch (read_some(socket_.get(), reader_, message)) {
      case ReadState::frame:
        return Result::message;
      case ReadState::end:
        return Result::end;
      case ReadState::more:
        break;
      case ReadState::would_block:
        if (!wait_for(socket_.get(), POLLIN, deadline)) return Result::timed_out;
        break;
    }
  }
}

}  // namespace step1x::ipc
