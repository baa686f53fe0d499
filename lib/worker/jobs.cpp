// What becomes of a job once an engine has it: progress, result, failure, and the one retry.
#include <boost/asio/post.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/version.hpp"
#include "ipc/fields.hpp"
#include "worker/worker.hpp"

namespace step1x::worker {
Slot::Events Worker::slot_events() {
  Slot::Events events;
  events.progress = [](const Job& job, const ipc::Json& event) {
    if (const auto session = job.session.lock()) session->progress(event, job);
  };
  events.ended = [this](Slot& slot, const std::shared_ptr<Job>& job, ipc::Message message) {
    job_ended(slot, job, std::move(message));
  };
  events.died = [this](Slot& slot, std::shared_ptr<Job> job, const std::string& how) {
    job_died(slot, std::move(job), how);
  };
  events.arena_wanted = [this](Slot& slot, const std::string& key, std::uint64_t bytes) {
    want_arena(slot, key, bytes);
  };
  events.arena_filled = [this](Slot&, std::uint64_t huge_bytes) {
    arena_.filled(huge_bytes);
    serve_waiting();
  };
  events.moved = [this](Slot& slot, Location from, bool on_purpose) {
    count_move(slot, from, on_purpose);
    watch_gpus();
  };
  events.other_build = [this](const ipc::Peer& peer) {
    leave(fmt::format("the installed engine is of build {}, this worker of build {}", peer.build, kBuildId));
  };
  // Never from within the slot's own call: what is decided then may change it.
  events.changed = [this] { boost::asio::post(io_, [this] { update(); }); };
  return events;
}

void Worker::forget(const Job& job) {
  if (const auto session = job.session.lock()) session->jobs.erase(job.id);
  idle_since_ = boot_now();
  boost::asio::post(io_, [this] { update(); });
}

void Worker::job_ended(Slot& slot, const std::shared_ptr<Job>& job, ipc::Message message) {
  filler_ended(slot);
  relocate(/*on_purpose=*/true);
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

void Worker::job_died(Slot& slot, std::shared_ptr<Job> job, const std::string& how) {
  ++statistics_.engine_deaths;
  filler_ended(slot);
  relocate(/*on_purpose=*/false);
  const auto session = job->session.lock();
  if (leaving_ || !session || job->cancelled) {
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

// A second device comes to have what another one has already, or leaves it: the model as a whole does not move.
void Worker::count_move(const Slot& slot, Location from, bool on_purpose) {
  const Location before = location_;
  relocate(on_purpose);
  if (before != Location::gpu || location_ != Location::gpu || slot.location() == from) return;
  if (slot.location() == Location::gpu) ++(arena_.holds_model() ? statistics_.cpu_to_gpu : statistics_.total_loads);
  if (from == Location::gpu && on_purpose) ++statistics_.gpu_to_cpu;
}

// Counts where the model has gone since the last time. `on_purpose`: not because an engine died.
void Worker::relocate(bool on_purpose) {
  const Location to = location();
  // On its way to the device it passes through the arena, which is not a place where it has been.
  if (to != Location::gpu && state() == Slot::State::loading) return;
  const Location from = std::exchange(location_, to);
  if (from == to) return;
  log::info("model: {} -> {}", name(from), name(to));
  if (to == Location::unloaded && running() == 0) loaded_model_.clear();
  // To the GPU, or where that is the device, to the memory of the CPU.
  if (from == Location::unloaded) ++statistics_.total_loads;
  if (from == Location::cpu && to == Location::gpu) ++statistics_.cpu_to_gpu;
  if (from == Location::gpu && to == Location::cpu && on_purpose) ++statistics_.gpu_to_cpu;
  if (to == Location::unloaded && on_purpose) ++statistics_.full_releases;
  quiet_since_ = boot_now();
}

void Worker::free_arena() {
  if (!arena_.holds_model()) return;
  arena_.drop();
  relocate(/*on_purpose=*/true);
}

// Tells those who wait how many are before them, the running job included, when that has changed: once after however
// many changes, or a long queue that comes or goes would cost its length squared.
void Worker::announce_positions() {
  if (std::exchange(announcing_, true)) return;
  boost::asio::post(io_, [this] {
    announcing_ = false;
    auto before = static_cast<int>(running());
    for (const auto& job : queue_.jobs()) {
      const auto session = job->session.lock();
      if (session && std::exchange(job->announced, before) != before)
        session->progress({{"event", "queued"}, {"position", before}}, *job);
      ++before;
    }
  });
}

}  // namespace step1x::worker
