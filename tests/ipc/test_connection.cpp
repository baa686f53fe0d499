#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "base/error.hpp"
#include "ipc/channel.hpp"
#include "ipc/connection.hpp"

using namespace step1x;
using namespace step1x::ipc;

namespace {

constexpr std::chrono::milliseconds kShortPatience{50};  // for the tests that wait until it has passed
constexpr std::chrono::minutes kPatience{10};            // for all others: a machine may be slow

// A connection on a loop, and a plain channel at its other end.
struct Scene {
  explicit Scene(std::chrono::milliseconds patience = kPatience) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    far.emplace(UniqueFd(ends[1]));
    connection = Connection::start(io, UniqueFd(ends[0]),
                                   {[this](Message message) { on_message(std::move(message.body)); },
                                    [this](const std::string& reason) {
                                      ++ends_seen;
                                      why = reason;
                                    }},
                                   patience);
  }
  void on_message(Json body) {
    if (body.contains("throw")) throw std::out_of_range("what nobody thought of");
    received.push_back(std::move(body));
  }
  // Everything that happens within this time.
  void run_for(std::chrono::milliseconds time) {
    io.restart();
    io.run_for(time);
  }
  // Everything that can happen without waiting.
  void settle() {
    io.restart();
    while (io.poll() > 0) {
    }
  }

  boost::asio::io_context io{1};
  std::optional<Channel> far;
  std::shared_ptr<Connection> connection;
  std::vector<Json> received;
  int ends_seen = 0;
  std::string why;
};

Json next(Channel& channel) {
  Message message;
  REQUIRE(channel.receive(message, std::chrono::steady_clock::now()) == Channel::Result::message);
  return message.body;
}

}  // namespace

TEST_CASE("frames come in and go out") {
  Scene scene;
  REQUIRE(scene.far->send({{"op", "ping"}}));
  scene.settle();
  REQUIRE(scene.received.size() == 1);
  scene.connection->send({{"event", "pong"}});
  scene.settle();
  CHECK(next(*scene.far)["event"] == "pong");
}

TEST_CASE("the end comes once, whoever ends it") {
  Scene by_far;
  by_far.settle();
  by_far.far.reset();
  by_far.settle();
  CHECK(by_far.ends_seen == 1);
  CHECK(by_far.why.empty());
  by_far.connection->close();
  by_far.settle();
  CHECK(by_far.ends_seen == 1);

  Scene by_us;
  by_us.settle();
  by_us.connection->close("a reason");
  by_us.settle();
  CHECK(by_us.ends_seen == 1);
  CHECK(by_us.why == "a reason");
}

TEST_CASE("who breaks the protocol is disconnected with the reason") {
  Scene scene;
  REQUIRE(::send(scene.far->fd(), "\xff\xff\xff\xff", 4, 0) == 4);
  scene.settle();
  CHECK(scene.ends_seen == 1);
  CHECK(scene.why.find("protocol broken") != std::string::npos);
}

TEST_CASE("to a reader that stops, progress is replaced by the latest and results are kept") {
  Scene scene;
  scene.settle();
  const std::string large(500'000, 'x');
  scene.connection->send({{"event", "filler"}, {"p", large}});
  for (int i = 0; i < 10'000; ++i) scene.connection->send_latest({{"event", "step"}, {"step", i}}, 7);
  scene.connection->send({{"event", "done"}});
  scene.settle();
  std::vector<std::string> events;
  Json last_step;
  for (Message message; events.empty() || events.back() != "done";) {
    scene.settle();
    const auto result = scene.far->receive(message, std::chrono::steady_clock::now());
    REQUIRE(result != Channel::Result::end);
    if (result != Channel::Result::message) continue;
    events.push_back(message.body["event"]);
    if (events.back() == "step") last_step = message.body;
  }
  CHECK(events.size() < 10);
  CHECK(last_step["step"] == 9999);
}

TEST_CASE("to a reader that stops, answers pile up to a bound and then it is disconnected") {
  Scene scene;
  scene.settle();
  const Json body = {{"event", "status"}, {"p", std::string(10'000, 'x')}};
  for (int i = 0; i < 10'000 && !scene.connection->closed(); ++i) scene.connection->send(body);
  CHECK(scene.connection->closed());
  scene.settle();
  CHECK(scene.ends_seen == 1);
}

TEST_CASE("an exception of any kind in a handler ends that connection and not the loop") {
  Scene scene;
  REQUIRE(scene.far->send({{"throw", true}}));
  scene.settle();
  CHECK(scene.ends_seen == 1);
  CHECK(scene.why == "what nobody thought of");
}

TEST_CASE("who sends without pause does not keep the others from their turn") {
  Scene scene;
  scene.settle();
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  Channel flood{UniqueFd(ends[1])};
  int flooded = 0;
  Connection::start(scene.io, UniqueFd(ends[0]), {[&](const Message&) { ++flooded; }, [](const std::string&) {}});
  scene.settle();
  const std::string ping = encode_frame({{"op", "ping"}});
  int sent = 0;
  while (::send(flood.fd(), ping.data(), ping.size(), MSG_DONTWAIT) == static_cast<ssize_t>(ping.size())) ++sent;
  REQUIRE(sent > 100);
  REQUIRE(scene.far->send({{"op", "ping"}}));
  scene.io.restart();
  while (scene.received.empty()) scene.io.poll_one();
  CHECK(flooded < sent / 2);
  scene.settle();
  CHECK(flooded == sent);
}

TEST_CASE("a frame that drips in byte by byte is not waited for longer than one that stops") {
  Scene scene(kShortPatience);
  const std::string frame = encode_frame({{"op", "ping"}, {"p", std::string(10'000, 'x')}});
  for (std::size_t i = 0; i < frame.size() && scene.ends_seen == 0; ++i) {
    // It may be closed already, with the last byte unread, and tell so in the next turn of the loop.
    if (::send(scene.far->fd(), &frame[i], 1, MSG_NOSIGNAL) != 1) CHECK((errno == EPIPE || errno == ECONNRESET));
    scene.run_for(kShortPatience / 10);
  }
  CHECK(scene.ends_seen == 1);
  CHECK(scene.received.empty());
  CHECK(scene.why.find("not ended") != std::string::npos);
}

TEST_CASE("a reader that takes nothing is disconnected, even while it goes on sending") {
  Scene scene(kShortPatience);
  scene.settle();
  scene.connection->send({{"event", "filler"}, {"p", std::string(900'000, 'x')}});
  for (int i = 0; i < 1000 && scene.ends_seen == 0; ++i) {
    // It may be closed already, and tell so in the next turn of the loop.
    (void)scene.far->send({{"op", "ping"}});
    scene.run_for(kShortPatience / 10);
  }
  CHECK(scene.ends_seen == 1);
  CHECK(scene.why.find("took nothing") != std::string::npos);
}

TEST_CASE("who sends and reads slowly but steadily keeps its connection") {
  Scene scene(std::chrono::seconds(1));  // half of what the test takes, and fifty times each of its pauses
  scene.settle();
  int answers = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string frame = encode_frame({{"op", "ping"}, {"i", i}});
    for (const std::string_view part : {std::string_view(frame).substr(0, 5), std::string_view(frame).substr(5)}) {
      REQUIRE(::send(scene.far->fd(), part.data(), part.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(part.size()));
      scene.run_for(std::chrono::milliseconds(10));
    }
    scene.connection->send({{"event", "pong"}});
    scene.settle();
    answers += next(*scene.far)["event"] == "pong" ? 1 : 0;
  }
  CHECK(scene.ends_seen == 0);
  CHECK(scene.received.size() == 100);
  CHECK(answers == 100);
}

TEST_CASE("a farewell is sent before the end") {
  Scene scene;
  scene.settle();
  scene.connection->send({{"event", "ok"}});
  scene.connection->close_when_sent();
  scene.settle();
  CHECK(next(*scene.far)["event"] == "ok");
  CHECK(scene.ends_seen == 1);
}
