#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "base/error.hpp"
#include "ipc/channel.hpp"

using namespace step1x;
using namespace step1x::ipc;

namespace {

struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    a.emplace(UniqueFd(ends[0]));
    b.emplace(UniqueFd(ends[1]));
  }
  std::optional<Channel> a;
  std::optional<Channel> b;
};

}  // namespace

TEST_CASE("messages and descriptors arrive in order, also when they do not fit the socket's buffer") {
  Pair pair;
  constexpr int kMessages = 200;
  const std::string padding(20'000, 'x');
  std::thread sender([&] {
    for (int i = 0; i < kMessages; ++i) {
      const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      const Json body = i % 3 == 0 ? Json{{"n", i}, {"fd", "image"}, {"p", padding}} : Json{{"n", i}, {"p", padding}};
      CHECK(pair.a->send(body, i % 3 == 0 ? fd.get() : -1));
    }
  });
  for (int i = 0; i < kMessages; ++i) {
    Message message;
    REQUIRE(pair.b->receive(message) == Channel::Result::message);
    CHECK(message.body["n"] == i);
    CHECK(static_cast<bool>(message.fd) == (i % 3 == 0));
    if (message.fd) CHECK((::fcntl(message.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  sender.join();
}

TEST_CASE("the end of the other side is an end, and sending to it is told") {
  Pair pair;
  pair.a.reset();
  Message message;
  CHECK(pair.b->receive(message) == Channel::Result::end);
  CHECK(!pair.b->send({{"op", "ping"}}));
}

TEST_CASE("a deadline in the past takes what is there and waits for nothing") {
  Pair pair;
  Message message;
  const auto now = std::chrono::steady_clock::now();
  CHECK(pair.b->receive(message, now) == Channel::Result::timed_out);
  REQUIRE(pair.a->send({{"op", "ping"}}));
  CHECK(pair.b->receive(message, now) == Channel::Result::message);
}
