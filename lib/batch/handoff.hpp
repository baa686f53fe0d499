// Things on their way from one thread to another: at most `room` at a time, so that the faster side waits. Every end of
// use wakes whoever waits. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

namespace step1x::batch {

template <typename T>
class Handoff {
 public:
  // put_in: called, from the thread that puts, after each put() and after close(); may be empty.
  explicit Handoff(std::size_t room, std::function<void()> put_in = {}) : room_(room), put_in_(std::move(put_in)) {}

  // Waits for room. False: it was closed, and the thing is dropped.
  bool put(T thing) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return closed_ || things_.size() < room_; });
      if (closed_) return false;
      things_.push_back(std::move(thing));
    }
    tell();
    return true;
  }
  // Waits for a thing. nullopt: it was closed, and everything has been taken.
  std::optional<T> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !things_.empty(); });
    return pop();
  }
  std::optional<T> try_take() {
    const std::lock_guard lock(mutex_);
    return pop();
  }
  // No more is put in; what is there can still be taken.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    tell();
  }
  bool ended() const {
    const std::lock_guard lock(mutex_);
    return closed_ && things_.empty();
  }

 private:
  std::optional<T> pop() {
    if (things_.empty()) return std::nullopt;
    std::optional<T> thing(std::move(things_.front()));
    things_.pop_front();
    changed_.notify_all();
    return thing;
  }
  void tell() {
    changed_.notify_all();
    if (put_in_) put_in_();
  }

  const std::size_t room_;
  const std::function<void()> put_in_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> things_;
  bool closed_ = false;
};

}  // namespace step1x::batch
