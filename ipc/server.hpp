// The worker's listening socket: binds it (REQUIRES: the worker lock is held), accepts connections of this user only,
// and hands each to its owner. Before the descriptor table is full accepting pauses, and goes on when there is room
// again. One thread, the loop's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>

#include "ipc/directory.hpp"
#include "ipc/lock.hpp"

namespace step1x::ipc {

class Server {
 public:
  using OnConnection = std::function<void(UniqueFd)>;

  // Unlinks a stale socket and binds a new one. `lock` is proof, not used otherwise.
  // Throws Error(worker_failed) naming the path and why.
  Server(boost::asio::io_context& io, const Directory& directory, const Lock& lock, OnConnection on_connection);

  // Calls `gone` once when the socket's file is removed or replaced, after which nobody new can connect.
  void watch(std::function<void()> gone);
  // Takes no more connections. Those in the backlog get EOF before hello when the process ends, and start over.
  void stop();
  // True while the socket's file is still the one that this server bound.
  bool reachable() const;
  // Removes the socket's file. REQUIRES: the lock is still held.
  void unlink();

 private:
  boost::asio::awaitable<void> accept_all();
  bool descriptors_left();
  void accept_one(UniqueFd socket);
  // Where the path leads now, not where the opened directory is.
  std::optional<ino_t> inode() const;

  const Directory& directory_;
  boost::asio::posix::stream_descriptor listener_;
  boost::asio::posix::stream_descriptor changes_;  // inotify
  boost::asio::steady_timer pause_;
  OnConnection on_connection_;
  ino_t inode_ = 0;
};

}  // namespace step1x::ipc
