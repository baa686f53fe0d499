// Frames of ipc/protocol.md, section 1. Pure: no descriptor is read or written here, so that any byte sequence can be
// tried on it. FrameReader is a state machine that says how many bytes it wants next; not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"

namespace step1x::ipc {

using Json = nlohmann::json;

inline constexpr std::size_t kMaxFrame = 1 << 20;
inline constexpr int kMaxDepth = 16;

struct Message {
  Json body;    // always an object
  UniqueFd fd;  // set exactly when body declares one
};

// The bytes of a frame. Throws Error(protocol) when the body is over the limit. What is no UTF-8 (a file's name in an
// error message, say) has a replacement character for each wrong byte, since it must not end the connection that
// reports it; in a request it would mean another thing than was meant: `strict` throws Error(usage).
std::string encode_frame(const Json& body, Json::error_handler_t invalid_utf8 = Json::error_handler_t::replace);
// The descriptor kind that a body declares, if it is a known one.
std::optional<std::string> declared_fd(const Json& body);

class FrameReader {
 public:
  // How many bytes the next feed() may bring at most: 1, then 3, then the body. Never 0.
  std::size_t want() const { return wanted_ - buffer_.size(); }
  // Takes 1..want() bytes and the descriptors that came with them. Returns a message when the frame is complete.
  // Throws Error(protocol) on anything the protocol calls broken; the reader is of no use afterwards.
  std::optional<Message> feed(std::span<const std::byte> bytes, std::vector<UniqueFd> fds);
  // True between two frames: EOF here is a clean end.
  bool at_boundary() const { return !have_length_ && buffer_.empty(); }

 private:
  Message finish();

  std::vector<std::byte> buffer_;
  std::size_t wanted_ = 1;
  bool have_length_ = false;
  UniqueFd fd_;
};

}  // namespace step1x::ipc
