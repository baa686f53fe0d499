#include "client/conversation.hpp"

#include <poll.h>

#include <algorithm>
#include <array>

#include "base/process.hpp"
#include "client/ask.hpp"
#include "ipc/fields.hpp"

namespace step1x::client {
namespace {

using Clock = std::chrono::steady_clock;

// Of a job that an engine had when its worker died: it may be what kills them.
constexpr int kAttempts = 2;
// Workers that leave one after the other, before any job is done.
constexpr int kRestarts = 3;
// To hear that a job that nobody wants any more has stopped; afterwards the end of the connection must do.
constexpr std::chrono::seconds kGrace{2};

bool wanted(const Job& job) {
  return job.state != JobState::cancelling && job.state != JobState::timed_out;
}

ipc::Deadline earlier(ipc::Deadline one, ipc::Deadline other) {
  if (!one || !other) return one ? one : other;
  return std::min(*one, *other);
}

int milliseconds_until(ipc::Deadline deadline) {
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 1 << 30));
}

}  // namespace

Conversation::Conversation(Options options, Listener& listener) : options_(std::move(options)), listener_(listener) {}

std::int64_t Conversation::add(ipc::Json request, int picture) {
  Job job;
  job.id = ++last_id_;
  job.request = std::move(request);
  job.request["id"] = job.id;
  job.picture = picture;
  if (options_.counted == Options::Counted::from_add) job.end = time_limit();
  jobs_.emplace(job.id, std::move(job));
  return last_id_;
}

void Conversation::turn(ipc::Deadline until) {
  try {
    send_waiting();
    wait(until);
    take_signals();
    receive();
    check_time();
  } catch (...) {
    jobs_.clear();
    client_.reset();
    throw;
  }
}

void Conversation::send_waiting() {
  for (auto& [id, job] : jobs_) {
    if (job.state != JobState::waiting) continue;
    if (!client_) connect();
    job.state = JobState::sent;
    send(job.request, job.picture);
  }
}

void Conversation::connect() {
  // Who says nothing to a cancel may not answer the next hello either.
  ipc::Deadline limit = silent_ ? time_limit() : std::nullopt;
  for (const auto& [id, job] : jobs_) limit = earlier(limit, job.end);
  ipc::ClientOptions options = options_.client;
  if (limit) options.timeout = std::max(Duration::zero(), std::chrono::ceil<Duration>(*limit - Clock::now()));
  try {
    const Signals::AtOnce nothing_to_cancel(signals_);
    client_.emplace(ipc::Client::connect_or_spawn(options));
  } catch (const Error& problem) {
    if (!limit || problem.code() != ErrorCode::timeout) throw;
    throw Error::format(ErrorCode::timeout, "{} after {} (--timeout)", problem.what(),
                        format_duration(options_.timeout));
  }
  silent_ = false;
  memory_kills_ = memory_kills();
  if (options_.lease) send(*options_.lease);
}

// A worker that has gone may have said more before: receive() hears that, and then the end.
void Conversation::send(const ipc::Json& body, int fd) {
  if (!client_) return;
  try {
    client_->send(body, fd);
  } catch (const Error& problem) {
    if (problem.code() != ErrorCode::worker_failed) throw;
  }
}

void Conversation::wait(ipc::Deadline until) const {
  for (const auto& [id, job] : jobs_) until = earlier(until, job.end);
  std::array<pollfd, 3> entries{pollfd{signals_.fd(), POLLIN, 0}, pollfd{options_.bell, POLLIN, 0},
                                pollfd{client_ ? client_->fd() : -1, POLLIN, 0}};
  ::poll(entries.data(), entries.size(), milliseconds_until(until));
}

void Conversation::take_signals() {
  const int signals = signals_.take();
  if (signals == 0) return;
  // A second one, or two at once: out, whatever is under way. The end of the connection cancels as well.
  if (interrupted_ || signals > 1) throw Error(ErrorCode::cancelled, "interrupted");
  interrupted_ = true;
  cancel_all();
}

void Conversation::receive() {
  while (client_) {
    std::optional<ipc::Message> message;
    try {
      // What has come in completely; a frame in the middle waits for the next turn.
      message = client_->receive(Clock::now());
    } catch (const Error& problem) {
      if (problem.code() != ErrorCode::worker_failed) throw;
      return worker_died();
    }
    if (!message) return;
    handle(std::move(*message));
  }
}

void Conversation::handle(ipc::Message message) {
  const ipc::Fields fields(message.body);
  const std::string event = fields.text("event", "");
  if (event == "restart") return restart();
  const auto found = jobs_.find(fields.integer_or("id", 0, INT64_MAX, 0));
  if (found == jobs_.end()) return;  // `leased`, or the last words about a job
  Job& job = found->second;
  if (event == "done" || event == "error") {
    deaths_in_a_row_ = 0;
    restarts_in_a_row_ = 0;
    if (event == "error") return fail(job.id, error_of(message.body));
    // One that comes late is dropped: the job ends as its state says.
    const bool makes_picture = job.request.value("op", "") != "load";
    if ((makes_picture && !message.fd) || !wanted(job))
      return fail(job.id, Error(ErrorCode::protocol, "the worker says that it is done but sends no picture"));
    const Job ended = std::move(jobs_.extract(found).mapped());
    return listener_.done(ended,
                          {std::move(message.body), std::move(message.fd), client_->worker(), client_->spawned()});
  }
  // Any of them may be left out in favour of a later one.
  const bool runs = event == "loading" || event == "step" ||
                    (event == "queued" && fields.integer_or("position", 0, INT64_MAX, 1) == 0);
  if (runs && job.state == JobState::sent) {
    job.state = JobState::begun;
    if (options_.counted == Options::Counted::from_begun) job.end = time_limit();
  }
  listener_.progress(job, message.body);
}

// The job ends without a picture; with `problem` where it was still wanted.
void Conversation::fail(std::int64_t id, const Error& problem) {
  const auto node = jobs_.extract(id);
  if (node.empty()) return;
  const Job& job = node.mapped();
  switch (job.state) {
    case JobState::cancelling:
      return listener_.cancelled(job);
    case JobState::timed_out:
      return listener_.failed(job, Error::format(ErrorCode::timeout, "no picture after {} (--timeout): cancelled",
                                                 format_duration(options_.timeout)));
    case JobState::waiting:
    case JobState::sent:
    case JobState::begun:
      return listener_.failed(job, problem);
  }
}

void Conversation::cancel_all() {
  cancel({JobState::waiting, JobState::sent, JobState::begun});
}

void Conversation::cancel_unbegun() {
  cancel({JobState::waiting, JobState::sent});
}

void Conversation::cancel(std::initializer_list<JobState> those) {
  std::vector<std::int64_t> unsent;
  for (auto& [id, job] : jobs_) {
    if (std::ranges::find(those, job.state) == those.end()) continue;
    if (job.state == JobState::waiting) unsent.push_back(id);
    stop(job, JobState::cancelling);
  }
  for (const std::int64_t id : unsent) fail(id, Error(ErrorCode::cancelled, "cancelled"));
}

void Conversation::stop(Job& job, JobState state) {
  if (job.state != JobState::waiting) send({{"op", "cancel"}, {"id", job.id}});
  job.state = state;
  job.end = Clock::now() + kGrace;
}

void Conversation::check_time() {
  const auto now = Clock::now();
  std::vector<std::int64_t> unsent;
  bool silent = false;
  for (auto& [id, job] : jobs_) {
    if (!job.end || now < *job.end) continue;
    // The worker was told, and has not said that it has stopped.
    if (!wanted(job)) {
      silent = true;
      continue;
    }
    if (job.state == JobState::waiting) unsent.push_back(id);
    stop(job, JobState::timed_out);
  }
  for (const std::int64_t id : unsent) fail(id, Error(ErrorCode::timeout, "timed out"));
  if (!silent) return;
  silent_ = true;
  part();
}

// The worker leaves in good order.
void Conversation::restart() {
  part();
  if (jobs_.empty() || ++restarts_in_a_row_ <= kRestarts) return;
  throw Error::format(
      ErrorCode::version_mismatch,
      "{} workers in a row have left before the job was done; are step1xd and step1x-engine of one build?",
      restarts_in_a_row_);
}

void Conversation::worker_died() {
  if (jobs_.empty()) return client_.reset();
  const int pid = client_->worker().pid;
  const char* why = memory_kills() > memory_kills_
                        ? "; the kernel's memory killer has been at work: there was too little memory"
                        : "";
  const Error again =
      Error::format(ErrorCode::worker_failed, "worker {} died in the middle of the job, as the one before{}", pid, why);
  part(&again);
  if (jobs_.empty()) return;
  if (++deaths_in_a_row_ > options_.more_workers) throw Error(again);
  listener_.worker_died(fmt::format("worker {} died in the middle of the job{}", pid, why));
}

// There is no worker now: what nobody wants any more has ended with that, all else waits for the next one. `death`:
// what a job ends with that has seen one too many.
void Conversation::part(const Error* death) {
  client_.reset();
  std::vector<std::int64_t> over;
  for (auto& [id, job] : jobs_) {
    const bool suspect = death != nullptr && job.state == JobState::begun;
    if (!wanted(job) || (suspect && job.attempts == kAttempts)) {
      over.push_back(id);
      continue;
    }
    if (suspect) ++job.attempts;
    job.state = JobState::waiting;
    if (options_.counted == Options::Counted::from_begun) job.end.reset();
  }
  const Error unwanted(ErrorCode::cancelled, "cancelled");
  for (const std::int64_t id : over) fail(id, death != nullptr ? *death : unwanted);
}

ipc::Deadline Conversation::time_limit() const {
  if (options_.end) return options_.end;
  return options_.timeout < Duration::zero() ? ipc::Deadline() : Clock::now() + options_.timeout;
}

}  // namespace step1x::client
