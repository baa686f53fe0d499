// HTTP/1.1 over TCP and Unix sockets: connections, their limits, and who may come in (http/access.hpp). It knows
// nothing of what is asked for. One thread, that of `io`; the handler is called there too, and hands over what blocks.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "http/access.hpp"
#include "http/address.hpp"
#include "http/message.hpp"

namespace step1x::http {

struct Limits {
  std::uint32_t head = 16U << 10U;
  std::uint64_t body = 64U << 10U;
  std::size_t connections = 256;
  std::chrono::milliseconds first_byte{10'000};
  // For the rest of a request, for an answer that nobody takes, and between two requests.
  std::chrono::milliseconds idle{30'000};
};

class Server {
 public:
  // What it throws is answered too: an Error with what it says (error_response()), anything else with 500.
  using Handler = std::function<boost::asio::awaitable<Response>(Request)>;

  Server(boost::asio::io_context& io, Access access, Handler handler, Limits limits = {});
  // REQUIRES: the loop does not run.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes connections from here on. A Unix socket is made anew, with mode 0600, and its name removed by stop(); one
  // that somebody listens at is not replaced. Returns where it is: a URL, or "unix:PATH". Throws Error(usage) where the
  // address cannot be had.
  std::string listen(const Address& address);

  // Takes no more connections, ends those that wait for a request, and the others after their answer. `gone` is called
  // in the loop when the last one has ended.
  void stop(std::function<void()> gone);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace step1x::http
