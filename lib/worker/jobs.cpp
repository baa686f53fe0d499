// What becomes of a job once an engine has it: progress, result, failure, and the one retry.
#include <boost/asio/post.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/version.hpp"
#include "ipc/fields.hpp"
#include "worker/worker.hpp"

namespace step1x::worker {

Fleet::Events Worker::fleet_events() {
  Fleet::Events events;
  events.progress = [](const Job& job, const ipc::Json& event) {
    if (const auto session = job.session.lock()) session->progress(event, job);
  };
  events.ended = [this](const std::shared_ptr<Job>& job, ipc::Message message) { job_ended(job, std::move(message)); };
  events.died = [this](std::shared_ptr<Job> job, const std::string& how) { job_died(std::move(job), how); };
  events.moved = [this](std::optional<Move> move) { count(move); };
  events.other_build = [this](const ipc::Peer& peer) {
    leave(fmt::format("the installed engine is of build {}, this worker of build {}", peer.build, kBuildId));
  };
  events.changed = [this] { update(); };
  return events;
}

void Worker::forget(const Job& job) {
  if (const auto session = job.session.lock()) session->jobs.erase(job.id);
  idle_since_ = boot_now();
  boost::asio::post(io_, [this] { update(); });
}

void Worker::job_ended(const std::shared_ptr<Job>& job, ipc::Message message) {
  const bool done = message.body.value("event", "") == "done";
  if (done) {
    ++statistics_.done;
    ipc::Json& timings = message.body["timings"];
    timings["queued"] = in_seconds(job->started_at - job->queued_at);
    timings["total"] = in_seconds(boot_now() - job->queued_at);
  } else if (job->cancelled) {
    ++statistics_.cancelled;
  } else {
    ++statistics_.failed;
    log::error("job {} failed: {}", job->number, message.body.value("code", ""));
    // The message may name files of the user's.
    log::debug("job {}: {}", job->number, message.body.value("message", ""));
  }
  if (const auto session = job->session.lock()) session->answer(message.body, job->id, std::move(message.fd));
  forget(*job);
}

void Worker::job_died(std::shared_ptr<Job> job, const std::string& how) {
  ++statistics_.engine_deaths;
  const auto session = job->session.lock();
  if (phase_ == Phase::leaving || !session || job->cancelled) {
    if (session && job->cancelled) session->error(ErrorCode::cancelled, "cancelled", job->id);
    if (job->cancelled) ++statistics_.cancelled;
    return forget(*job);
  }
  constexpr int kAttempts = 2;
  if (job->attempts < kAttempts) {
    session->answer({{"event", "retry"}, {"reason", "the engine " + how}}, job->id);
    job->announced = -1;
    queue_.push_front(std::move(job));
    return boost::asio::post(io_, [this] { update(); });
  }
  ++statistics_.failed;
  session->error(
      ErrorCode::engine_died,
      fmt::format("the engine died {} times in this job, the last time it {}; see: step1x worker log", kAttempts, how),
      job->id);
  forget(*job);
}

void Worker::count(std::optional<Move> move) {
  quiet_since_ = boot_now();
  if (!move) return;
  switch (*move) {
    case Move::load:
      ++statistics_.total_loads;
      break;
    case Move::to_gpu:
      ++statistics_.cpu_to_gpu;
      break;
    case Move::to_cpu:
      ++statistics_.gpu_to_cpu;
      break;
    case Move::release:
      ++statistics_.full_releases;
  }
}

// Tells those who wait how many are before them, the running job included, when that has changed: once after however
// many changes, or a long queue that comes or goes would cost its length squared.
void Worker::announce_positions() {
  if (std::exchange(announcing_, true)) return;
  boost::asio::post(io_, [this] {
    announcing_ = false;
    auto before = static_cast<int>(fleet_.running());
    for (const auto& job : queue_.jobs()) {
      const auto session = job->session.lock();
      if (session && std::exchange(job->announced, before) != before)
        session->progress({{"event", "queued"}, {"position", before}}, *job);
      ++before;
    }
  });
}

}  // namespace step1x::worker
