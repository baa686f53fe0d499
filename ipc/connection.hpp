// One end of a framed stream socket on an Asio loop: the worker's connections to its clients and to its engines. Reads
// frames and hands them on, queues outgoing ones within bounds (protocol.md, sections 5 and 8). Everything runs on the
// loop's one thread. Created by start(), kept alive by its own pending operations until it is closed; handlers are
// called at most until on_end, which comes exactly once.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "ipc/frame.hpp"

namespace step1x::ipc {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Handlers {
    // A frame came in. Whatever it throws closes the connection.
    std::function<void(Message)> on_message;
    // The connection has ended, by EOF, by close(), or because the other side broke the protocol; `why` is empty for a
    // clean end.
    std::function<void(const std::string& why)> on_end;
  };

  // patience: how long a frame may stay begun, and a reader take nothing of what waits for it (up to twice as long).
  static std::shared_ptr<Connection> start(boost::asio::io_context& io, UniqueFd socket, Handlers handlers,
                                           std::chrono::milliseconds patience = std::chrono::seconds(60));

  // Queues a frame that is never dropped. Too much queued: the connection is closed.
  void send(const Json& body, UniqueFd fd = {});
  // Queues a frame that replaces an unsent one with the same key.
  void send_latest(const Json& body, std::uint64_t key);
  // Ends it at once; on_end follows from the loop.
  void close(const std::string& why = "");
  // Ends it when everything queued is written.
  void close_when_sent();
  bool closed() const { return closed_; }

 private:
  struct Outgoing {
    std::string bytes;
    UniqueFd fd;
    std::uint64_t key = 0;  // 0: never replaced
  };

  Connection(boost::asio::io_context& io, UniqueFd socket, Handlers handlers, std::chrono::milliseconds patience);
  boost::asio::awaitable<void> read_all();
  boost::asio::awaitable<void> write_all();
  boost::asio::awaitable<void> watch();
  void queue(Outgoing item);

  boost::asio::local::stream_protocol::socket socket_;
  std::chrono::milliseconds patience_;
  boost::asio::steady_timer watch_timer_;
  Handlers handlers_;
  FrameReader reader_;
  std::deque<Outgoing> outgoing_;
  std::size_t queued_bytes_ = 0;
  std::size_t sent_of_front_ = 0;
  std::uint64_t frames_read_ = 0;
  std::uint64_t bytes_written_ = 0;
  bool writing_ = false;
  bool watching_ = false;
  bool closed_ = false;
  bool closing_ = false;
  std::string why_;
};

}  // namespace step1x::ipc
