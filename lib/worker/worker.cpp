#include "worker/worker.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/process.hpp"

namespace step1x::worker {

namespace asio = boost::asio;

Worker::Worker(asio::io_context& io, const ipc::Directory& directory, const ipc::Lock& lock, WorkerOptions options)
    : io_(io),
      directory_(directory),
      options_(std::move(options)),
      server_(io, directory, lock, [this](UniqueFd socket) { connect(std::move(socket)); }),
      signals_(io, SIGTERM, SIGINT, SIGHUP),
      timer_(io),
      farewell_(io),
      fleet_(io, options_.engine_program, fleet_events()),
      started_at_(boot_now()),
      idle_since_(started_at_),
      quiet_since_(started_at_) {
  leave_at_signals();
  server_.watch([this] {
    log::warn("the socket's file is gone or replaced: leaving when there is nothing to do");
    unreachable_ = true;
    update();
  });
  if (options_.until_pid != 0) leave_with_process(options_.until_pid);
  update();
}

void Worker::leave_at_signals() {
  signals_.async_wait([this](const boost::system::error_code& problem, int signal) {
    if (problem) return;
    cancel_all();
    leave(fmt::format("signal {}", signal));
  });
}

void Worker::leave_with_process(pid_t pid) {
  UniqueFd fd = open_pidfd(pid);
  if (!fd) return asio::post(io_, [this] { leave("the process it was started for is gone"); });
  auto process = std::make_shared<asio::posix::stream_descriptor>(io_, fd.release());
  process->async_wait(asio::posix::stream_descriptor::wait_read,
                      [this, process, pid](const boost::system::error_code& problem) {
                        if (problem) return;
                        // See Engine::watch_process().
                        pollfd ended{process->native_handle(), POLLIN, 0};
                        if (::poll(&ended, 1, 0) == 0) return leave_with_process(pid);
                        cancel_all();
                        leave("the process it was started for has ended");
                      });
}

void Worker::connect(UniqueFd socket) {
  auto session = std::make_shared<Session>();
  const std::weak_ptr<Session> weak = session;
  session->connection = ipc::Connection::start(io_, std::move(socket),
                                               {[this, weak](ipc::Message message) {
                                                  if (const auto self = weak.lock()) receive(self, std::move(message));
                                                },
                                                [this, session](const std::string& why) {
                                                  if (!why.empty()) log::warn("client {}: {}", session->peer.pid, why);
                                                  disconnect(*session);
                                                }});
  sessions_.push_back(std::move(session));
}

void Worker::disconnect(Session& session) {
  // A copy: cancelling takes jobs out of the map.
  const auto jobs = session.jobs;
  for (const auto& [id, job] : jobs) cancel(*job);
  if (session.lease) idle_since_ = boot_now();
  if (session.state == Session::State::served) quiet_since_ = boot_now();
  actions_.remove_if([&](const Action& action) { return action.session.get() == &session; });
  settling_.remove_if([&](const Settling& each) { return each.session.get() == &session; });
  sessions_.remove_if([&](const auto& other) { return other.get() == &session; });
  update();
}

bool Worker::busy() const {
  return fleet_.running() > 0 || !queue_.empty() ||
         std::ranges::any_of(sessions_, [](const auto& session) { return session->lease.has_value(); });
}

// How long it still waits for clients of its own protocol that have come but not yet asked for anything, the one that
// started it included. Without that, clients of two protocols that come together would take each other's worker away
// before anybody has got anything. 0: for nobody.
Duration Worker::courtesy() const {
  constexpr std::chrono::seconds kCourtesy{2};
  std::optional<Duration> until;
  if (phase_ == Phase::expecting) until = started_at_ + kCourtesy;
  for (const auto& session : sessions_) {
    if (session->state == Session::State::greeted)
      until = std::max(until.value_or(Duration::zero()), session->greeted_at + kCourtesy);
  }
  return until ? std::max(Duration::zero(), *until - boot_now()) : Duration::zero();
}

Situation Worker::situation() const {
  const Duration now = boot_now();
  Situation result;
  result.busy = busy() || !fleet_.settled();
  result.location = fleet_.location();
  result.engine = fleet_.has_engine();
  result.arena = fleet_.arena().holds_model();
  result.only_on_device = !fleet_.arena().refusal().empty();
  result.connected =
      std::ranges::any_of(sessions_, [](const auto& session) { return session->state == Session::State::served; });
  result.idle = now - idle_since_;
  result.quiet = now - std::max(quiet_since_, idle_since_);
  return result;
}

// Called after everything that happens: gives out work, or arms the timer for what comes next.
void Worker::update() {
  answer_settled();
  while (phase_ != Phase::leaving && !held() && dispatch()) {
  }
  fleet_.tidy();
  if (phase_ == Phase::leaving) return end_when_alone();
  if (run_next_action()) return update();
  const bool unwelcome =
      std::ranges::any_of(sessions_, [](const auto& session) { return session->state == Session::State::refused; });
  if (unwelcome && !busy()) {
    const Duration left = courtesy();
    if (left == Duration::zero()) return leave("a client of another protocol waits");
    return timer_.set(left, [this] { update(); });
  }
  if (unreachable_ && !busy() && !situation().connected) return leave("nobody can reach it");
  const auto next = next_transition(timers_, situation());
  if (!next) return timer_.cancel();
  if (next->in == Duration::zero()) {
    timer_.cancel();
    return act(next->transition);
  }
  timer_.set(next->in, [this] { update(); });
}

std::vector<LeaseView> Worker::leases() const {
  std::vector<LeaseView> leases;
  for (const auto& session : sessions_) {
    if (session->lease) leases.push_back({session.get(), session->lease->model});
  }
  return leases;
}

// True when it has done something.
bool Worker::dispatch() {
  if (queue_.empty()) return false;
  const FleetView fleet = fleet_.view();
  const std::vector<LeaseView> kept = leases();
  const std::shared_ptr<Job> job = queue_.pop(fleet.loaded_model, boot_now(), [&](const Job& waiting) {
    return fit({waiting.model, waiting.device, waiting.session.lock().get()}, fleet, kept);
  });
  if (!job) return false;
  for (const auto& session : sessions_) {
    if (session->lease && session->lease->model.empty()) session->lease->model = job->model;
  }
  job->started_at = boot_now();
  if (const auto session = job->session.lock()) session->progress({{"event", "queued"}, {"position", 0}}, *job);
  fleet_.run(job);
  announce_positions();
  return true;
}

void Worker::act(Transition transition) {
  switch (transition) {
    case Transition::offload:
      return fleet_.offload_all();
    case Transition::engine_exit:
      return fleet_.end_all();
    case Transition::release:
      return fleet_.release();
    case Transition::worker_exit:
      return leave("nothing to do for a long time");
  }
}

void Worker::leave(const std::string& reason) {
  if (phase_ == Phase::leaving) return;
  log::info("leaving: {}", reason);
  phase_ = Phase::leaving;
  server_.stop();
  timer_.cancel();
  signals_.cancel();
  // Whoever still waits for a job connects to the next worker; so does whose request comes too late to be read. To a
  // client of another protocol the end of the connection says the same.
  queue_.drain();
  for (const auto& session : sessions_) {
    if (session->state == Session::State::silent || session->state == Session::State::refused) continue;
    for (const auto& [id, job] : session->jobs) session->answer({{"event", "restart"}}, id);
    if (session->jobs.empty()) session->answer({{"event", "restart"}}, 0);
  }
  fleet_.end_all();
  // Who does not take its last words in this time does not get them.
  farewell_.expires_after(std::chrono::seconds(2));
  farewell_.async_wait([this](const boost::system::error_code& problem) {
    if (problem) return;
    const auto sessions = sessions_;
    for (const auto& session : sessions) session->connection->close();
  });
  asio::post(io_, [this] { end_when_alone(); });
}

// Engines first, then the arena, then the socket's file, then (when main returns) the lock: the order of design
// section 4.
void Worker::end_when_alone() {
  if (fleet_.has_engine()) return;
  fleet_.drop_arena();
  const auto sessions = sessions_;
  for (const auto& session : sessions) session->connection->close_when_sent();
  if (!sessions_.empty()) return;
  server_.unlink();
  io_.stop();
}

}  // namespace step1x::worker
