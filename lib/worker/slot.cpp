#include "worker/slot.hpp"

#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/process.hpp"
#include "base/version.hpp"
#include "ipc/fields.hpp"

namespace step1x::worker {
namespace {

constexpr std::string_view kFake = "fake:";
constexpr std::int64_t kMostBytes = 1LL << 50;
// What a user waits for at most. An engine that computes for longer without looking is ended: the weights are in the
// arena, and the next one has them in seconds.
constexpr std::chrono::seconds kPatienceWithCancel{2};
// Of one that loads: to open files and to make a GPU's context takes seconds, in which it cannot look.
constexpr std::chrono::seconds kPatienceWhileLoading{5};
// A busy driver takes its time.
constexpr std::chrono::seconds kPatienceWithOffload{60};

Location location_from(const std::string& text) {
  for (const Location location : {Location::unloaded, Location::cpu, Location::gpu}) {
    if (text == name(location)) return location;
  }
  throw Error::format(ErrorCode::protocol, "an engine names the location '{}'", text);
}

}  // namespace

std::string_view name(Slot::State state) {
  switch (state) {
    case Slot::State::idle:
      return "Idle";
    case Slot::State::starting:
    case Slot::State::replacing:
      return "Starting";
    case Slot::State::loading:
      return "Loading";
    case Slot::State::working:
      return "Working";
    case Slot::State::offloading:
    case Slot::State::ending:
      break;
  }
  return "Offloading";
}

Slot::Slot(boost::asio::io_context& io, std::string engine_program, Events events)
    : io_(io), engine_program_(std::move(engine_program)), events_(std::move(events)), patience_(io) {}

void Slot::run(std::shared_ptr<Job> job) {
  job_ = std::move(job);
  ++job_->attempts;
  if (device_ != job_->device) {
    engine_device_.clear();
    gpu_uuid_.clear();
  }
  device_ = job_->device;
  if (!engine_) return start_engine();
  if (launch_key_ != job_->launch_key) engine_->end();
  if (engine_->ending())
    state_ = State::replacing;
  else if (engine_->said_hello())
    send_job();
}

void Slot::start_engine() {
  state_ = State::starting;
  launch_key_ = job_->launch_key;
  std::vector<std::string> arguments{engine_program_, "--fd", "3"};
  if (job_->model.starts_with(kFake)) arguments.insert(arguments.end(), {"--fake", job_->model.substr(kFake.size())});
  const std::string home = home_directory();
  // An engine shares the machine. By itself OpenMP spins for milliseconds where threads wait for each other, which
  // takes the processor from those that are waited for as soon as anybody else computes too: three engines on two
  // processors took 3.4 times as long as with this bound, and one alone takes no less.
  std::vector<std::string> environment{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + (home.empty() ? "/" : home),
                                       "LANG=C.UTF-8", "GOMP_SPINCOUNT=3000"};
  environment.insert(environment.end(), job_->environment.begin(), job_->environment.end());
  try {
    engine_ = Engine::start(io_, arguments, environment,
                            {[this](const ipc::Peer& peer) {
                               if (peer.build != kBuildId) return events_.other_build(peer);
                               if (job_) return send_job();
                               state_ = State::idle;
                               events_.changed();
                             },
                             [this](ipc::Message message) { on_message(std::move(message)); },
                             [this](const std::string& how) { on_exit(how); }});
    log::info("engine {} started for {}", engine_->pid(), device_);
  } catch (const Error& problem) {
    on_exit(fmt::format("did not start: {}", problem.what()));
  }
}

void Slot::send_job() {
  model_ = job_->model;
  state_ = location_ == Location::gpu ? State::working : State::loading;
  engine_->send(job_->request, job_->image.get());
  events_.changed();
}

void Slot::cancel() {
  if (!job_ || job_->cancelled) return;
  job_->cancelled = true;
  if (!engine_has_job()) return cancelled_before_start();
  engine_->send({{"op", "cancel"}, {"id", job_->number}});
  const auto patience = state_ == State::working ? kPatienceWithCancel : kPatienceWhileLoading;
  kill_unless("a cancel", patience, [this, number = job_->number] { return !job_ || job_->number != number; });
}

void Slot::cancelled_before_start() {
  if (state_ == State::replacing) state_ = State::ending;
  ipc::Message answer{
      {{"event", "error"}, {"code", name(ErrorCode::cancelled)}, {"message", "cancelled"}, {"retryable", true}}, {}};
  events_.ended(*this, std::move(job_), std::move(answer));
}

void Slot::offload() {
  state_ = State::offloading;
  engine_->send({{"op", "offload"}});
  kill_unless("an offload", kPatienceWithOffload, [this] { return state_ != State::offloading; });
}

void Slot::kill_unless(const char* what, std::chrono::seconds patience, std::function<bool()> answered) {
  patience_.expires_after(patience);
  patience_.async_wait([this, what, answered = std::move(answered)](const boost::system::error_code& problem) {
    if (problem || !engine_ || answered()) return;
    log::error("engine {} does not answer {}: killing it", engine_pid(), what);
    engine_->kill();
  });
}

void Slot::end() {
  if (!engine_) return;
  if (!job_ || state_ == State::replacing) state_ = State::ending;
  engine_->end();
}

void Slot::on_message(ipc::Message message) {
  const std::string event = ipc::Fields(message.body).text("event", "");
  if (event == "memory") return on_memory(message.body);
  if (event == "arena") {
    const ipc::Fields fields(message.body);
    return events_.arena_wanted(*this, fields.text("key"),
                                static_cast<std::uint64_t>(fields.integer("bytes", 1, kMostBytes)));
  }
  if (event == "arena_filled")
    return events_.arena_filled(
        *this, static_cast<std::uint64_t>(ipc::Fields(message.body).integer("huge_bytes", 0, kMostBytes)));
  if (event == "ok") {
    if (state_ == State::offloading) {
      state_ = State::idle;
      patience_.cancel();
    }
    return events_.changed();
  }
  const bool about_job =
      job_ && engine_has_job() &&
      ipc::Fields(message.body).integer_or("id", 0, INT64_MAX, -1) == static_cast<std::int64_t>(job_->number);
  if (!about_job) return;  // the last words of a job that has ended already
  if (event == "loading" || event == "step") {
    state_ = event == "step" ? State::working : State::loading;
    return events_.progress(*job_, message.body);
  }
  if (event == "done" || event == "error") {
    patience_.cancel();
    state_ = State::idle;
    events_.ended(*this, std::move(job_), std::move(message));
  }
}

void Slot::on_memory(const ipc::Json& body) {
  const ipc::Fields fields(body);
  allocated_bytes_ = fields.integer("allocated_bytes", 0, kMostBytes);
  reserved_bytes_ = fields.integer("reserved_bytes", 0, kMostBytes);
  plan_ = body.value("plan", ipc::Json());
  copies_ = body.value("copies", ipc::Json());
  engine_device_ = fields.text("device", "");
  gpu_uuid_ = fields.text("uuid", "");
  const Location location = location_from(fields.text("location"));
  if (state_ == State::loading && location != Location::unloaded) state_ = State::working;
  locate(location, /*on_purpose=*/true);
}

void Slot::locate(Location location, bool on_purpose) {
  const Location from = std::exchange(location_, location);
  events_.moved(*this, from, on_purpose);
}

void Slot::give_arena(const HostArena::Grant& grant) {
  if (!engine_ || engine_->ending()) return;
  ipc::Json answer = {{"op", "arena"}, {"filled", grant.filled}};
  if (grant.fd >= 0) answer["fd"] = "arena";
  engine_->send(answer, grant.fd);
}

void Slot::on_exit(const std::string& how) {
  const bool expected = !engine_ || state_ == State::ending || state_ == State::replacing;
  log::write(expected ? log::Level::info : log::Level::error, fmt::format("engine {} {}", engine_pid(), how));
  engine_.reset();
  model_.clear();
  engine_device_.clear();
  gpu_uuid_.clear();
  allocated_bytes_ = 0;
  reserved_bytes_ = 0;
  plan_ = nullptr;
  copies_ = nullptr;
  patience_.cancel();
  locate(Location::unloaded, state_ == State::ending);
  const State before = std::exchange(state_, State::idle);
  if (!job_) return events_.changed();
  if (before == State::replacing) return start_engine();
  events_.died(*this, std::move(job_), how);
}

}  // namespace step1x::worker
