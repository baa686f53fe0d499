#include <doctest/doctest.h>
#include <fcntl.h>

#include <random>

#include "base/error.hpp"
#include "ipc/frame.hpp"

using namespace step1x;
using namespace step1x::ipc;

namespace {

std::vector<UniqueFd> descriptors(int count) {
  std::vector<UniqueFd> fds;
  for (int i = 0; i < count; ++i) fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return fds;
}

std::string raw_frame(std::string_view body) {
  std::string text;
  for (int i = 0; i < 4; ++i) text.push_back(static_cast<char>(body.size() >> (8 * i)));
  return text + std::string(body);
}

// Feeds pieces as a socket would give them; descriptors come with the first byte.
std::optional<Message> feed(FrameReader& reader, std::string_view bytes, int fds = 0) {
  std::optional<Message> message;
  while (!bytes.empty()) {
    const std::size_t count = std::min(reader.want(), bytes.size());
    message = reader.feed(std::as_bytes(std::span(bytes.substr(0, count))), descriptors(std::exchange(fds, 0)));
    bytes.remove_prefix(count);
  }
  return message;
}

std::optional<Message> read(std::string_view bytes, int fds = 0) {
  FrameReader reader;
  return feed(reader, bytes, fds);
}

}  // namespace

TEST_CASE("what was encoded is read back") {
  const Json body = {{"op", "edit"}, {"prompt", "\u00e4 \"quoted\"\n"}, {"steps", 28}, {"guidance", 6.5}};
  const auto message = read(encode_frame(body));
  REQUIRE(message);
  CHECK(message->body == body);
  CHECK(!message->fd);
}

TEST_CASE("invalid UTF-8 in a body becomes replacement characters instead of an exception") {
  const auto message = read(encode_frame({{"message", "file \xff"}}));
  REQUIRE(message);
  CHECK(message->body["message"] == "file \ufffd");
}

TEST_CASE("a length out of range is refused before its body comes") {
  for (const std::uint32_t length : {0U, 1U, static_cast<std::uint32_t>(kMaxFrame) + 1, 0x7fffffffU, 0xffffffffU}) {
    CAPTURE(length);
    std::string head;
    for (int i = 0; i < 4; ++i) head.push_back(static_cast<char>(length >> (8 * i)));
    CHECK_THROWS_AS(read(head), Error);
  }
}

TEST_CASE("the largest frame is read, and nothing larger is sent") {
  const std::string text(kMaxFrame - 10, 'x');
  CHECK(read(encode_frame({{"a", text}})));
  CHECK_THROWS_AS(encode_frame({{"a", text + "0123456789"}}), Error);
}

TEST_CASE("bodies that are no object are refused") {
  for (const char* body : {"[]", "12", "null", "\"text\"", "{", "{}x", "nul", "{\"a\":}", "\xff\xfe", "{\"a\":1,}"}) {
    CAPTURE(body);
    CHECK_THROWS_AS(read(raw_frame(body)), Error);
  }
}

TEST_CASE("sixteen levels are read and a hundred thousand are refused without a crash") {
  const auto nested = [](int levels) {
    return "{\"a\":" + std::string(static_cast<std::size_t>(levels - 1), '[') +
           std::string(static_cast<std::size_t>(levels - 1), ']') + "}";
  };
  CHECK(read(raw_frame(nested(kMaxDepth))));
  CHECK_THROWS_AS(read(raw_frame(nested(kMaxDepth + 2))), Error);
  CHECK_THROWS_AS(read(raw_frame(nested(100'000))), Error);
}

TEST_CASE("a declared descriptor is handed on") {
  const auto message = read(encode_frame({{"op", "edit"}, {"fd", "image"}}), 1);
  REQUIRE(message);
  CHECK(message->fd);
}

TEST_CASE("a descriptor that is missing, undeclared, one too many or of an unknown kind is refused") {
  CHECK_THROWS_AS(read(encode_frame({{"fd", "image"}})), Error);
  CHECK_THROWS_AS(read(encode_frame({{"op", "ping"}}), 1), Error);
  CHECK_THROWS_AS(read(encode_frame({{"fd", "image"}}), 2), Error);
  CHECK_THROWS_AS(read(encode_frame({{"fd", "sound"}}), 1), Error);
}

TEST_CASE("a descriptor on another byte than the first is refused") {
  const std::string frame = encode_frame({{"fd", "image"}});
  for (std::size_t at = 1; at < frame.size(); ++at) {
    CAPTURE(at);
    FrameReader reader;
    const std::string_view head = std::string_view(frame).substr(0, at);
    feed(reader, head);
    const std::string_view next = std::string_view(frame).substr(at, 1);
    CHECK_THROWS_AS(reader.feed(std::as_bytes(std::span(next)), descriptors(1)), Error);
  }
}

TEST_CASE("one reader reads frame after frame, each descriptor with its own") {
  FrameReader reader;
  for (int i = 0; i < 3; ++i) {
    const auto with = feed(reader, encode_frame({{"fd", "result"}, {"n", i}}), 1);
    REQUIRE(with);
    CHECK(with->fd);
    CHECK(reader.at_boundary());
    const auto without = feed(reader, encode_frame({{"n", i}}));
    REQUIRE(without);
    CHECK(!without->fd);
  }
}

TEST_CASE("random bytes give messages or a protocol error, nothing else") {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = encode_frame({{"op", "ping"}, {"id", round}});
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    try {
      read(bytes, static_cast<int>(random() % 3));
    } catch (const Error& problem) {
      CHECK(problem.code() == ErrorCode::protocol);
    }
  }
}
