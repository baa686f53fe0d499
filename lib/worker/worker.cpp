#include "worker/worker.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/process.hpp"
#include "memory/available.hpp"
#include "memory/gpus.hpp"

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
      arena_({[] { return available_memory(); }, [this] { asio::post(io_, [this] { update(); }); }}),
      started_at_(boot_now()),
      idle_since_(started_at_),
      quiet_since_(started_at_) {
  slots_.push_back(std::make_unique<Slot>(io_, options_.engine_program, slot_events()));
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
  if (session.leased) idle_since_ = boot_now();
  if (!session.watches_only) quiet_since_ = boot_now();
  sessions_.remove_if([&](const auto& other) { return other.get() == &session; });
  update();
}

bool Worker::busy() const {
  return running() > 0 || !queue_.empty() ||
         std::any_of(sessions_.begin(), sessions_.end(), [](const auto& s) { return s->leased; });
}

// How long it still waits for clients of its own protocol that have come but not yet asked for anything, the one that
// started it included. Without that, clients of two protocols that come together would take each other's worker away
// before anybody has got anything. 0: for nobody.
Duration Worker::courtesy() const {
  constexpr std::chrono::seconds kCourtesy{2};
  std::optional<Duration> until;
  if (!greeted_one_) until = started_at_ + kCourtesy;
  for (const auto& session : sessions_) {
    if (session->greeted && !session->other_protocol && !session->asked)
      until = std::max(until.value_or(Duration::zero()), session->greeted_at + kCourtesy);
  }
  return until ? std::max(Duration::zero(), *until - boot_now()) : Duration::zero();
}

Situation Worker::situation() const {
  const Duration now = boot_now();
  Situation result;
  result.busy = busy() || !settled();
  result.location = location();
  result.engine = has_engine();
  result.arena = arena_.holds_model();
  result.only_on_device = !arena_.refusal().empty();
  result.connected = std::any_of(sessions_.begin(), sessions_.end(), [](const auto& s) { return !s->watches_only; });
  result.idle = now - idle_since_;
  result.quiet = now - std::max(quiet_since_, idle_since_);
  return result;
}

// Called after everything that happens: gives out work, or arms the timer for what comes next.
void Worker::update() {
  while (!leaving_ && dispatch()) {
  }
  // A device's engine that has ended leaves nothing behind; one slot stays for the next job.
  const auto unused = [this](const auto& slot) { return slots_.size() > 1 && slot->free() && slot->engine_pid() == 0; };
  for (auto it = slots_.begin(); it != slots_.end();) it = unused(*it) ? slots_.erase(it) : it + 1;
  watch_gpus();
  when_settled_.remove_if([](const auto& settled) { return settled(); });
  if (leaving_) return end_when_alone();
  if (!busy() && settled() && !when_idle_.empty()) {
    const auto action = std::move(when_idle_.front());
    when_idle_.pop_front();
    action();
    return update();
  }
  const bool unwelcome =
      std::any_of(sessions_.begin(), sessions_.end(), [](const auto& s) { return s->other_protocol; });
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

// True when it has done something.
bool Worker::dispatch() {
  if (queue_.empty()) return false;
  const std::shared_ptr<Job> job =
      queue_.pop(loaded_model_, boot_now(), [this](const Job& waiting) { return fit(waiting); });
  if (!job) return false;
  const std::size_t place = *place_for(*job);
  if (place == slots_.size()) slots_.push_back(std::make_unique<Slot>(io_, options_.engine_program, slot_events()));
  loaded_model_ = job->model;
  for (const auto& session : sessions_) {
    if (session->leased && session->leased_model.empty()) session->leased_model = job->model;
  }
  job->started_at = boot_now();
  if (const auto session = job->session.lock()) session->progress({{"event", "queued"}, {"position", 0}}, *job);
  slots_[place]->run(job);
  announce_positions();
  return true;
}

Queue::Fit Worker::fit(const Job& job) const {
  if (!place_for(job)) return Queue::Fit::no;
  // A lease keeps its model where it is: jobs for another one wait for its end, but for those of who holds it.
  const auto own = job.session.lock();
  const bool kept = std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& session) {
    return session->leased && session != own && !session->leased_model.empty() && session->leased_model != job.model;
  });
  if (kept) return Queue::Fit::no;
  // One arena: what computes now computes with the model that is loaded.
  return running() > 0 && job.model != loaded_model_ ? Queue::Fit::soon : Queue::Fit::now;
}

// Which slot can take the job now; one after the last: a new one. A slot without work changes over to the job's device;
// another engine is started only while all have work, for a device that the job names and that is surely none of
// theirs.
std::optional<std::size_t> Worker::place_for(const Job& job) const {
  constexpr std::size_t kMaxSlots = 16;
  const auto index = [this](auto it) { return static_cast<std::size_t>(it - slots_.begin()); };
  const auto own =
      std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot->serves(job.device); });
  // Which GPU that is says the engine alone.
  const auto vague = leaves_choice;
  if (own != slots_.end() && (!vague(job.device) || (*own)->free()))
    return (*own)->free() ? std::optional(index(own)) : std::nullopt;
  const auto free = std::find_if(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->free(); });
  if (free != slots_.end()) return index(free);
  // What is offloading or ending is free in a moment, which is less than the start of an engine takes.
  if (running() < slots_.size()) return std::nullopt;
  const bool may_be_it = std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
    return vague(slot->device()) && slot->engine_device().empty();
  });
  if (vague(job.device) || may_be_it || slots_.size() >= kMaxSlots) return std::nullopt;
  return slots_.size();
}

void Worker::act(Transition transition) {
  switch (transition) {
    case Transition::offload:
      return offload_all();
    case Transition::engine_exit:
      return end_all();
    case Transition::release:
      free_arena();
      return end_all();
    case Transition::worker_exit:
      return leave("nothing to do for a long time");
  }
}

void Worker::leave(const std::string& reason) {
  if (leaving_) return;
  log::info("leaving: {}", reason);
  leaving_ = true;
  server_.stop();
  timer_.cancel();
  signals_.cancel();
  // Whoever still waits for a job connects to the next worker; so does whose request comes too late to be read. To a
  // client of another protocol the end of the connection says the same.
  queue_.drain();
  for (const auto& session : sessions_) {
    if (!session->greeted || session->other_protocol) continue;
    for (const auto& [id, job] : session->jobs) session->answer({{"event", "restart"}}, id);
    if (session->jobs.empty()) session->answer({{"event", "restart"}}, 0);
  }
  end_all();
  // Who does not take its last words in this time does not get them.
  farewell_.expires_after(std::chrono::seconds(2));
  farewell_.async_wait([this](const boost::system::error_code& problem) {
    if (problem) return;
    const auto sessions = sessions_;
    for (const auto& session : sessions) session->connection->close();
  });
  asio::post(io_, [this] { end_when_alone(); });
}

// Engines first, then the arena, then the socket's file, then (when main returns) the lock: see lib/README.md, Starting
// and meeting.
void Worker::end_when_alone() {
  if (has_engine()) return;
  arena_.drop_and_wait();
  const auto sessions = sessions_;
  for (const auto& session : sessions) session->connection->close_when_sent();
  if (!sessions_.empty()) return;
  server_.unlink();
  io_.stop();
}

}  // namespace step1x::worker
