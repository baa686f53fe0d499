// The jobs that wait for an engine: interactive ones before those of a batch, each kind in the order of arrival. Never
// interrupts what runs. Loop thread only.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "worker/job.hpp"

namespace step1x::worker {

class Queue {
 public:
  static constexpr std::size_t kMaxWaiting = 512;

  // Throws Error(busy) when kMaxWaiting jobs wait already.
  void push(std::shared_ptr<Job> job);
  // Back to the head, for a retry: it has waited its turn.
  void push_front(std::shared_ptr<Job> job);
  // Null when empty.
  std::shared_ptr<Job> pop();
  // Removes it; false when it is not waiting.
  bool remove(const Job& job);
  // Jobs before this one, 0 for the first.
  std::size_t position(const Job& job) const;
  const std::deque<std::shared_ptr<Job>>& jobs() const { return jobs_; }
  bool empty() const { return jobs_.empty(); }
  std::size_t size() const { return jobs_.size(); }

 private:
  std::deque<std::shared_ptr<Job>> jobs_;
};

}  // namespace step1x::worker
