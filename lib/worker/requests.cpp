// The worker's answers to ipc/protocol.md, section 4.
#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "ipc/fields.hpp"
#include "worker/worker.hpp"

namespace step1x::worker {
namespace {

constexpr std::int64_t kMaxId = 1LL << 53;
constexpr std::size_t kMaxPath = 4096;

std::int64_t request_id(const ipc::Json& body) {
  return ipc::Fields(body).integer_or("id", 0, kMaxId, 0);
}

}  // namespace

void Worker::receive(const std::shared_ptr<Session>& session, ipc::Message message) {
  if (leaving_) {
    // Who has been greeted was told to start over when leaving began; to others the end of the connection says it.
    if (!session->greeted) session->connection->close();
    return;
  }
  if (!session->greeted) return greet(*session, message.body);
  // It was told to wait for the end of this connection.
  if (session->other_protocol) return;
  session->asked = true;
  std::int64_t id = 0;
  try {
    id = request_id(message.body);
    const std::string op = ipc::Fields(message.body).text("op");
    if (op != "status" && op != "ping") session->watches_only = false;
    handle(session, op, std::move(message));
  } catch (const Error& problem) {
    session->error(problem.code(), problem.what(), id);
  }
}

void Worker::greet(Session& session, const ipc::Json& body) {
  session.peer = ipc::read_hello(body, "op");
  session.greeted = true;
  session.other_protocol = session.peer.protocol != ipc::kProtocol;
  session.greeted_at = boot_now();
  greeted_one_ = greeted_one_ || !session.other_protocol;
  const bool leaves = session.other_protocol && !busy() && courtesy() == Duration::zero();
  ipc::Json answer = ipc::hello("event");
  answer["capabilities"] = {"edit", "generate", "cancel", "status", "offload", "release", "lease", "ping", "shutdown"};
  answer["jobs"] = queue_.size() + running();
  answer["leaving"] = leaves;
  session.connection->send(answer);
  if (session.other_protocol)
    log::info("client {} (build {}) speaks protocol {}", session.peer.pid, session.peer.build, session.peer.protocol);
  if (leaves) return leave("a client of another protocol has come");
  // It may have to leave later without anything else happening.
  if (session.other_protocol) update();
}

void Worker::handle(const std::shared_ptr<Session>& session, const std::string& op, ipc::Message message) {
  const std::int64_t id = request_id(message.body);
  if (op == "edit" || op == "generate") return enqueue(session, std::move(message));
  if (op == "status") return session->answer(status(), id);
  if (op == "ping") return session->answer({{"event", "pong"}}, id);
  if (op == "cancel") {
    if (const auto job = session->job(id)) cancel(*job);
    return;
  }
  if (op == "lease") {
    session->leased = true;
    session->leased_model = ipc::Fields(message.body).text("model", loaded_model_.c_str(), kMaxPath);
    session->label = ipc::Fields(message.body).text("label", "", 200);
    session->answer({{"event", "leased"}}, id);
    return update();
  }
  const std::weak_ptr<Session> weak = session;
  if (op == "offload") return when_free(session, message.body, op, [this, weak, id] { offload(weak, id); });
  if (op == "release") return when_free(session, message.body, op, [this, weak, id] { release(weak, id); });
  if (op == "shutdown") {
    return when_free(session, message.body, op, [this, weak, id] {
      if (const auto self = weak.lock()) self->answer({{"event", "ok"}}, id);
      leave("asked to");
    });
  }
  throw Error::format(ErrorCode::usage, "op: {} is not known to this worker", ipc::shown(op));
}

void Worker::enqueue(const std::shared_ptr<Session>& session, ipc::Message message) {
  if (session->jobs.size() >= Session::kMaxJobs)
    throw Error::format(ErrorCode::busy, "this connection has {} jobs already", session->jobs.size());
  const ipc::Json timers = message.body.value("timers", ipc::Json::object());
  std::shared_ptr<Job> job = make_job(std::move(message), next_number_++);
  if (session->job(job->id))
    throw Error::format(ErrorCode::usage, "id: {} is the id of a job of this connection that has not ended", job->id);
  Timers wanted = timers_;
  wanted.read(timers);
  job->session = session;
  job->queued_at = boot_now();
  queue_.push(job);
  session->jobs[job->id] = job;
  timers_ = wanted;
  timers_set_by_ = session->peer.pid;
  log::debug("job {} of client {}: model {}", job->number, session->peer.pid, job->model);
  announce_positions();
  update();
}

void Worker::cancel(Job& job) {
  if (Slot* slot = slot_of(job)) {
    slot->cancel();
    // So that it learns of that now, and not when another one has filled the arena.
    serve_waiting();
    return;
  }
  const auto session = job.session.lock();
  if (!queue_.remove(job)) return;
  job.cancelled = true;
  ++statistics_.cancelled;
  if (session) session->error(ErrorCode::cancelled, "cancelled", job.id);
  announce_positions();
  forget(job);
}

void Worker::cancel_all() {
  const auto waiting = queue_.jobs();
  for (const auto& job : waiting) cancel(*job);
  for (const auto& slot : slots_) {
    if (const std::shared_ptr<Job> job = slot->job()) cancel(*job);
  }
}

std::string Worker::in_the_way() const {
  if (running() == 1) return fmt::format("a job is running and {} are waiting", queue_.size());
  if (running() > 1) return fmt::format("{} jobs are running and {} are waiting", running(), queue_.size());
  if (!queue_.empty()) return fmt::format("{} jobs are waiting", queue_.size());
  for (const auto& session : sessions_) {
    if (session->leased)
      return fmt::format("process {}{} holds a lease", session->peer.pid,
                         session->label.empty() ? "" : " (" + session->label + ")");
  }
  return fmt::format("the model is moving ({})", name(state()));
}

void Worker::when_free(const std::shared_ptr<Session>& session, const ipc::Json& body, const std::string& op,
                       std::function<void()> action) {
  const std::string mode = ipc::Fields(body).text("mode", "refuse");
  if (mode != "refuse" && mode != "wait" && mode != "force")
    throw Error::format(ErrorCode::usage, "mode: {} is none of refuse, wait, force", ipc::shown(mode));
  // Moving by itself ends by itself: nobody is refused for that.
  if (!busy() && settled()) return action();
  if (mode == "refuse" && busy()) {
    throw Error::format(ErrorCode::busy, "cannot {} now: {}; --wait waits for the end, --force cancels the jobs", op,
                        in_the_way());
  }
  if (mode == "force") {
    cancel_all();
    for (const auto& other : sessions_) other->leased = false;
  }
  const std::weak_ptr<Session> weak = session;
  when_idle_.push_back([weak, action = std::move(action)] {
    if (weak.lock()) action();
  });
  update();
}

void Worker::offload(const std::weak_ptr<Session>& session, std::int64_t id) {
  offload_all();
  when_settled_.push_back([this, session, id] {
    const auto self = session.lock();
    if (self && location() == Location::gpu) return false;
    if (self) self->answer({{"event", "ok"}}, id);
    return true;
  });
  update();
}

void Worker::release(const std::weak_ptr<Session>& session, std::int64_t id) {
  free_arena();
  end_all();
  when_settled_.push_back([this, session, id] {
    const auto self = session.lock();
    if (self && (has_engine() || arena_.freeing())) return false;
    if (self) self->answer({{"event", "ok"}}, id);
    return true;
  });
  update();
}

}  // namespace step1x::worker
