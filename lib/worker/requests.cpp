// The worker's answers to ipc/protocol.md, section 4.
#include "base/error.hpp"
#include "base/log.hpp"
#include "ipc/fields.hpp"
#include "worker/worker.hpp"

namespace step1x::worker {
namespace {

std::int64_t request_id(const ipc::Json& body) {
  return ipc::Fields(body).integer_or("id", 0, kMaxId, 0);
}

}  // namespace

void Worker::receive(const std::shared_ptr<Session>& session, ipc::Message message) {
  if (phase_ == Phase::leaving) {
    // Who has been greeted was told to start over when leaving began; to others the end of the connection says it.
    if (session->state == Session::State::silent) session->connection->close();
    return;
  }
  if (session->state == Session::State::silent) return greet(*session, message.body);
  // It was told to wait for the end of this connection.
  if (session->state == Session::State::refused) return;
  if (session->state == Session::State::greeted) session->state = Session::State::watching;
  std::int64_t id = 0;
  try {
    id = request_id(message.body);
    const std::string op = ipc::Fields(message.body).text("op");
    if (op != "status" && op != "ping") session->state = Session::State::served;
    handle(session, op, std::move(message));
  } catch (const Error& problem) {
    session->error(problem.code(), problem.what(), id);
  }
}

void Worker::greet(Session& session, const ipc::Json& body) {
  session.peer = ipc::read_hello(body, "op");
  session.greeted_at = boot_now();
  const bool refused = session.peer.protocol != ipc::kProtocol;
  session.state = refused ? Session::State::refused : Session::State::greeted;
  if (!refused) phase_ = Phase::serving;
  const bool leaves = refused && !busy() && courtesy() == Duration::zero();
  ipc::Json answer = ipc::hello("event");
  answer["capabilities"] = {"edit",    "generate", "load",  "cancel", "status",
                            "offload", "release",  "lease", "ping",   "shutdown"};
  answer["jobs"] = queue_.size() + fleet_.running();
  answer["leaving"] = leaves;
  session.connection->send(answer);
  if (refused)
    log::info("client {} (build {}) speaks protocol {}", session.peer.pid, session.peer.build, session.peer.protocol);
  if (leaves) return leave("a client of another protocol has come");
  // It may have to leave later without anything else happening.
  if (refused) update();
}

void Worker::handle(const std::shared_ptr<Session>& session, const std::string& op, ipc::Message message) {
  const std::int64_t id = request_id(message.body);
  if (op == "edit" || op == "generate" || op == "load") return enqueue(session, std::move(message));
  if (op == "status") return session->answer(status(), id);
  if (op == "ping") return session->answer({{"event", "pong"}}, id);
  if (op == "cancel") {
    if (const auto job = session->job(id)) cancel(*job);
    return;
  }
  if (op == "lease") {
    const ipc::Fields fields(message.body);
    session->lease =
        Session::Lease{fields.text("model", fleet_.loaded_model().c_str(), kMaxPath), fields.text("label", "", 200)};
    session->answer({{"event", "leased"}}, id);
    return update();
  }
  if (op == "offload") return when_free({&Worker::offload, session, id}, op, message.body);
  if (op == "release") return when_free({&Worker::release, session, id}, op, message.body);
  if (op == "shutdown") return when_free({&Worker::shutdown, session, id}, op, message.body);
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
  if (fleet_.cancel(job)) return;
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
  for (const auto& job : fleet_.jobs()) cancel(*job);
}

}  // namespace step1x::worker
