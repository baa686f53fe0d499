// What clients want done with the model, or with the worker itself, and when that may be.
#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "ipc/fields.hpp"
#include "worker/worker.hpp"

namespace step1x::worker {

std::string Worker::in_the_way() const {
  const std::size_t running = fleet_.running();
  if (running == 1) return fmt::format("a job is running and {} are waiting", queue_.size());
  if (running > 1) return fmt::format("{} jobs are running and {} are waiting", running, queue_.size());
  if (!queue_.empty()) return fmt::format("{} jobs are waiting", queue_.size());
  for (const auto& session : sessions_) {
    if (session->lease)
      return fmt::format("process {}{} holds a lease", session->peer.pid,
                         session->lease->label.empty() ? "" : " (" + session->lease->label + ")");
  }
  return fmt::format("the model is moving ({})", name(fleet_.state()));
}

void Worker::when_free(Action action, const std::string& op, const ipc::Json& body) {
  const std::string mode = ipc::Fields(body).text("mode", "refuse");
  if (mode != "refuse" && mode != "wait" && mode != "force")
    throw Error::format(ErrorCode::usage, "mode: {} is none of refuse, wait, force", ipc::shown(mode));
  if (mode == "refuse" && busy()) {
    const std::string why =
        fmt::format("cannot {} now: {}; --wait waits for the end, --force cancels the jobs", op, in_the_way());
    return action.session->error(ErrorCode::busy, why, action.id, {{"position", fleet_.running() + queue_.size()}});
  }
  if (mode == "force") {
    cancel_all();
    for (const auto& session : sessions_) session->lease.reset();
  }
  action.after_jobs = mode == "wait";
  actions_.push_back(std::move(action));
  update();
}

// What is forced waits for the engines to stop, as does what was not refused because the model moves by itself: either
// would wait for ever if they were given more. What has begun is not disturbed: a release would wait for the end of the
// next job's engine.
bool Worker::held() const {
  return !settling_.empty() || !std::ranges::all_of(actions_, &Action::after_jobs);
}

bool Worker::run_next_action() {
  if (!fleet_.settled()) return false;
  const auto due =
      std::ranges::find_if(actions_, [this](const Action& action) { return !action.after_jobs || !busy(); });
  if (due == actions_.end()) return false;
  const Action action = std::move(*due);
  actions_.erase(due);
  (this->*action.run)(action);
  return true;
}

void Worker::offload(const Action& action) {
  fleet_.offload_all();
  settling_.push_back({action.session, action.id, [this] { return fleet_.location() != Location::gpu; }});
}

void Worker::release(const Action& action) {
  fleet_.release();
  settling_.push_back(
      {action.session, action.id, [this] { return !fleet_.has_engine() && !fleet_.arena().freeing(); }});
}

void Worker::shutdown(const Action& action) {
  action.session->answer({{"event", "ok"}}, action.id);
  leave("asked to");
}

void Worker::answer_settled() {
  settling_.remove_if([](const Settling& each) {
    if (!each.settled()) return false;
    each.session->answer({{"event", "ok"}}, each.id);
    return true;
  });
}

}  // namespace step1x::worker
