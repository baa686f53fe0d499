// A connected stream socket that carries frames, blocking. Owns the socket. One thread may send while another receives;
// not more.
#pragma once

#include <chrono>
#include <optional>

#include "base/fd.hpp"
#include "ipc/frame.hpp"

namespace step1x::ipc {

using Deadline = std::optional<std::chrono::steady_clock::time_point>;  // none: wait as long as it takes

// Waits for a descriptor. False: the deadline passed.
bool wait_for(int fd, short events, Deadline deadline);

class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }

  enum class Result { message, end, timed_out };

  // Sends one frame whole. False when the other side is gone. Throws Error(protocol) if it is too large.
  [[nodiscard]] bool send(const Json& body, int fd = -1,
                          Json::error_handler_t invalid_utf8 = Json::error_handler_t::replace);
  // Receives one frame whole into `message`. `end` is EOF or a reset, at a frame boundary or not.
  // Throws Error(protocol) when the other side breaks the protocol.
  Result receive(Message& message, Deadline deadline = std::nullopt);

 private:
  UniqueFd socket_;
  FrameReader reader_;
};

}  // namespace step1x::ipc
