#include "ipc/frame.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"

namespace step1x::ipc {
namespace {

constexpr std::size_t kLengthSize = 4;

Error broken(const std::string& what) {
  return Error(ErrorCode::protocol, "protocol broken by the other side: " + what);
}

Json parse_body(std::span<const std::byte> bytes) {
  const char* begin = reinterpret_cast<const char*>(bytes.data());
  // The parser itself does not recurse, but everything that walks the result would.
  const auto check_depth = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw broken(fmt::format("JSON nested more than {} levels", kMaxDepth));
    return true;
  };
  Json body;
  try {
    body = Json::parse(begin, begin + bytes.size(), check_depth);
  } catch (const Json::exception& problem) {
    throw broken(fmt::format("no JSON in a frame of {} bytes: {}", bytes.size(), problem.what()));
  }
  if (!body.is_object()) throw broken(fmt::format("a frame holds a JSON {} instead of an object", body.type_name()));
  return body;
}

}  // namespace

std::string encode_frame(const Json& body, Json::error_handler_t invalid_utf8) {
  std::string text;
  try {
    text = body.dump(-1, ' ', false, invalid_utf8);
  } catch (const Json::type_error&) {
    throw Error(ErrorCode::usage, "a text in the request is not valid UTF-8: the worker can be told of no other");
  }
  if (text.size() > kMaxFrame) {
    throw Error::format(ErrorCode::protocol, "a message of {} bytes is over the limit of {}", text.size(), kMaxFrame);
  }
  std::string frame;
  frame.reserve(kLengthSize + text.size());
  for (std::size_t i = 0; i < kLengthSize; ++i) frame.push_back(static_cast<char>((text.size() >> (8 * i)) & 0xff));
  return frame += text;
}

std::optional<std::string> declared_fd(const Json& body) {
  static constexpr std::array kKinds{"image", "result", "arena"};
  const auto member = body.find("fd");
  if (member == body.end() || !member->is_string()) return std::nullopt;
  for (const char* kind : kKinds) {
    if (*member == kind) return kind;
  }
  return std::nullopt;
}

std::optional<Message> FrameReader::feed(std::span<const std::byte> bytes, std::vector<UniqueFd> fds) {
  if (bytes.empty() || bytes.size() > want()) throw std::logic_error("FrameReader::feed: size");
  if (fds.size() > 1) throw broken(fmt::format("{} descriptors at once", fds.size()));
  if (!fds.empty()) {
    if (!at_boundary()) throw broken("a descriptor on another byte than a frame's first");
    fd_ = std::move(fds.front());
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (buffer_.size() < wanted_) return std::nullopt;
  if (have_length_) return finish();
  if (wanted_ == 1) {
    wanted_ = kLengthSize;
    return std::nullopt;
  }
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < kLengthSize; ++i) length |= std::to_integer<std::uint32_t>(buffer_[i]) << (8 * i);
  if (length < 2 || length > kMaxFrame)
    throw broken(fmt::format("a frame of {} bytes (2 to {} are allowed)", length, kMaxFrame));
  buffer_.clear();
  wanted_ = length;
  have_length_ = true;
  return std::nullopt;
}

Message FrameReader::finish() {
  Message message{parse_body(buffer_), std::move(fd_)};
  if (declared_fd(message.body) && !message.fd) throw broken("a declared descriptor is missing");
  if (!declared_fd(message.body) && message.fd) throw broken("a descriptor that the frame does not declare");
  // The buffer grows with what was really received, so its capacity is not an attacker's to choose; a large one is
  // given back.
  buffer_ = {};
  wanted_ = 1;
  have_length_ = false;
  return message;
}

}  // namespace step1x::ipc
