// The jobs that wait for an engine: interactive ones before those of a batch, each kind in the order of arrival, but
// those for the model that is loaded first: changing models costs as much as many edits. Nobody is passed over for
// long. Never interrupts what runs. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "worker/job.hpp"

namespace step1x::worker {

class Queue {
 public:
  static constexpr std::size_t kMaxWaiting = 512;
  // How often a job may be passed over by later ones for the loaded model, and until how long after it came.
  static constexpr int kMaxPassed = 8;
  static constexpr Duration kMaxPassing = std::chrono::seconds(60);

  // Throws Error(busy) when kMaxWaiting jobs wait already.
  void push(std::shared_ptr<Job> job);
  // Back to the head, for a retry: it has waited its turn.
  void push_front(std::shared_ptr<Job> job);
  // Whether a job may run: now, as soon as those for another model that run have ended, or not for the present.
  enum class Fit { now, soon, no };
  using FitOf = std::function<Fit(const Job&)>;
  // The next to run; null when there is none. `loaded`: the model that is in memory, or empty; `now`: boot_now().
  std::shared_ptr<Job> pop(const std::string& loaded, Duration now, const FitOf& fit);
  // All of them.
  std::deque<std::shared_ptr<Job>> drain() { return std::exchange(jobs_, {}); }
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
