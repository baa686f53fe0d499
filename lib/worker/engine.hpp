// One engine process, as the worker sees it: started with a socketpair (protocol.md, section 7), ended by closing it.
// Its standard error goes to the worker's log. Loop thread only. The handlers are called from the loop; on_exit comes
// exactly once, after the last message.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ipc/connection.hpp"
#include "ipc/hello.hpp"

namespace step1x::worker {

class Engine : public std::enable_shared_from_this<Engine> {
 public:
  struct Handlers {
    std::function<void(const ipc::Peer&)> on_hello;
    std::function<void(ipc::Message)> on_message;
    // `how` completes "the engine ...": "was killed by signal 9 (Killed)".
    std::function<void(const std::string& how)> on_exit;
  };

  // Throws Error(failure) when the program cannot be started.
  static std::shared_ptr<Engine> start(boost::asio::io_context& io, const std::vector<std::string>& arguments,
                                       const std::vector<std::string>& environment, Handlers handlers);

  pid_t pid() const { return pid_; }
  bool said_hello() const { return said_hello_; }
  // REQUIRES: said_hello(). `fd` is duplicated.
  void send(const ipc::Json& body, int fd = -1);
  // True once end() was called, or its end of the life line is gone.
  bool ending() const { return connection_->closed(); }
  // Closes the life line; the engine ends by itself at once, or is killed five seconds later.
  void end();
  void kill();

 private:
  Engine(boost::asio::io_context& io, pid_t pid, UniqueFd process, UniqueFd log, Handlers handlers);
  void watch_process();
  void read_log();
  bool drain_log();
  void message(ipc::Message message);
  void finish();

  pid_t pid_;
  boost::asio::posix::stream_descriptor process_;  // a pidfd: no other process can get it, as it could a pid
  boost::asio::posix::stream_descriptor log_;
  boost::asio::steady_timer patience_;
  std::shared_ptr<ipc::Connection> connection_;
  Handlers handlers_;
  std::string log_line_;
  std::string how_;
  std::string broken_;  // why its connection was closed, if that was not a clean end
  std::uint64_t memory_kills_before_;
  bool said_hello_ = false;
  bool connection_ended_ = false;
  bool process_ended_ = false;
};

}  // namespace step1x::worker
