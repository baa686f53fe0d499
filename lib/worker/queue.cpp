#include "worker/queue.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace step1x::worker {

void Queue::push(std::shared_ptr<Job> job) {
  if (jobs_.size() >= kMaxWaiting)
    throw Error::format(ErrorCode::busy, "{} jobs wait already: try again later", jobs_.size());
  const auto first_batch =
      std::find_if(jobs_.begin(), jobs_.end(), [](const auto& waiting) { return !waiting->interactive; });
  jobs_.insert(job->interactive ? first_batch : jobs_.end(), std::move(job));
}

void Queue::push_front(std::shared_ptr<Job> job) {
  jobs_.push_front(std::move(job));
}

std::shared_ptr<Job> Queue::pop(const std::string& loaded, Duration now, const FitOf& fit) {
  const auto first = std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& job) { return fit(*job) != Fit::no; });
  if (first == jobs_.end()) return nullptr;
  auto chosen = fit(**first) == Fit::now ? first : jobs_.end();
  if ((*first)->passed < kMaxPassed && now - (*first)->queued_at < kMaxPassing) {
    const auto suits = std::find_if(first, jobs_.end(), [&](const auto& job) {
      return job->model == loaded && job->interactive == (*first)->interactive && fit(*job) == Fit::now;
    });
    if (suits != jobs_.end()) chosen = suits;
  }
  if (chosen == jobs_.end()) return nullptr;
  if (chosen != first) ++(*first)->passed;
  std::shared_ptr<Job> job = std::move(*chosen);
  jobs_.erase(chosen);
  return job;
}

bool Queue::remove(const Job& job) {
  return std::erase_if(jobs_, [&](const auto& waiting) { return waiting.get() == &job; }) > 0;
}

std::size_t Queue::position(const Job& job) const {
  const auto found =
      std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& waiting) { return waiting.get() == &job; });
  return static_cast<std::size_t>(found - jobs_.begin());
}

}  // namespace step1x::worker
