// The engine's end of the socketpair. A thread of its own receives, so that a cancel is noticed in the middle of a step
// and EOF ends the process at once, whatever the other threads do: a GPU must not stay occupied by an engine without a
// worker. next(), arena() and send() belong to the main thread, cancelled() to any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "ipc/channel.hpp"

namespace step1x::engine {

class LifeLine {
 public:
  // Starts the thread, which lives as long as the process.
  explicit LifeLine(UniqueFd socket);

  // Says hello: from now on requests may come.
  void greet();

  // Waits for the next request other than `cancel`.
  ipc::Message next();
  void send(const ipc::Json& body, int fd = -1);
  // Waits for the worker's answer to an `arena` event.
  ipc::Message arena();
  // True when this job was cancelled.
  bool cancelled(std::int64_t id) const { return cancelled_.load() == id; }

 private:
  void receive_all();

  ipc::Channel channel_;
  std::mutex mutex_;  // guards requests_ and arena_
  std::condition_variable arrived_;
  std::deque<ipc::Message> requests_;
  std::optional<ipc::Message> arena_;
  // One job runs at a time, so the last cancel is the only one that matters.
  std::atomic<std::int64_t> cancelled_ = -1;
  std::thread receiver_;
};

}  // namespace step1x::engine
