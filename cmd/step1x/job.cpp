#include "job.hpp"

#include <poll.h>

#include <algorithm>
#include <array>

#include "base/process.hpp"
#include "client/ask.hpp"
#include "client/signals.hpp"
#include "ipc/fields.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

using Clock = std::chrono::steady_clock;

// The worker is leaving in good order; not an error.
struct Restart {};

class Attempt {
 public:
  Attempt(ipc::Client& client, const JobOptions& options, ipc::Deadline deadline, Progress& progress)
      : client_(client), options_(options), deadline_(deadline), progress_(progress) {}

  ipc::Message run(const ipc::Json& request, int picture) {
    try {
      return follow(request, picture);
    } catch (const Restart&) {
      throw_if_unwanted();
      throw;
    } catch (const Error& problem) {
      // Nobody wants it done by another worker any more.
      if (problem.code() == ErrorCode::worker_failed) throw_if_unwanted();
      throw;
    }
  }

 private:
  ipc::Message follow(const ipc::Json& request, int picture) {
    send(request, picture);
    for (;;) {
      wait();
      // What has come in completely; a frame in the middle waits for the next turn.
      while (std::optional<ipc::Message> message = client_.receive(Clock::now())) {
        if (handle(message->body)) return std::move(*message);
      }
    }
  }

  void send(const ipc::Json& request, int picture) {
    try {
      client_.send(request, picture);
    } catch (const Error&) {
      // It was leaving, and may have said so before it closed the connection.
      while (const std::optional<ipc::Message> message = client_.receive()) handle(message->body);
      throw;
    }
  }

  void wait() {
    std::array<pollfd, 2> entries{pollfd{client_.fd(), POLLIN, 0}, pollfd{signals_.fd(), POLLIN, 0}};
    ::poll(entries.data(), entries.size(), milliseconds_left());
    const int signals = signals_.take();
    if (signals > 0) {
      // A second one, or two at once: the end of the connection cancels as well.
      if (interrupted_ || signals > 1) throw Error(ErrorCode::cancelled, "interrupted");
      interrupted_ = true;
      cancel();
    }
    if (milliseconds_left() == 0) {
      if (timed_out_) throw_timeout();
      timed_out_ = true;
      // Time to hear that it has stopped; afterwards the end of the connection must do.
      deadline_ = Clock::now() + std::chrono::seconds(2);
      cancel();
    }
  }

  int milliseconds_left() const {
    if (!deadline_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 1 << 30));
  }

  void cancel() { client_.send({{"op", "cancel"}}); }

  [[noreturn]] void throw_timeout() const {
    throw Error::format(ErrorCode::timeout, "no picture after {} (--timeout): cancelled",
                        format_duration(options_.timeout));
  }

  void throw_if_unwanted() const {
    if (timed_out_) throw_timeout();
    if (interrupted_) throw Error(ErrorCode::cancelled, "interrupted");
  }

  // True for `done`.
  bool handle(const ipc::Json& event) {
    const std::string name = ipc::Fields(event).text("event", "");
    if (name == "done") {
      throw_if_unwanted();
      return true;
    }
    if (name == "restart") throw Restart{};
    if (name == "error") {
      throw_if_unwanted();
      throw client::error_of(event);
    }
    if (name == "retry" && options_.verbose) {
      progress_.clear();
      say("step1x: trying once more: " + ipc::Fields(event).text("reason", "the engine died"));
    }
    progress_.show(event);
    return false;
  }

  ipc::Client& client_;
  const JobOptions& options_;
  ipc::Deadline deadline_;
  Progress& progress_;
  client::Signals signals_;
  bool interrupted_ = false;
  bool timed_out_ = false;
};

ipc::Client connect(ipc::ClientOptions client, ipc::Deadline deadline, Duration timeout) {
  client.timeout =
      deadline ? std::max(Duration::zero(), std::chrono::ceil<Duration>(*deadline - Clock::now())) : kNever;
  try {
    return ipc::Client::connect_or_spawn(client);
  } catch (const Error& problem) {
    if (problem.code() != ErrorCode::timeout) throw;
    throw Error::format(ErrorCode::timeout, "{} after {} (--timeout)", problem.what(), format_duration(timeout));
  }
}

}  // namespace

JobResult run_job(const ipc::Json& request, int picture, const JobOptions& options, Progress& progress) {
  constexpr int kRestarts = 3;
  const ipc::Deadline deadline = options.timeout < Duration::zero() ? ipc::Deadline() : Clock::now() + options.timeout;
  int restarts = 0;
  bool died_before = false;
  for (;;) {
    ipc::Client client = connect(options.client, deadline, options.timeout);
    const std::uint64_t kills = memory_kills();
    try {
      ipc::Message message = Attempt(client, options, deadline, progress).run(request, picture);
      if (!message.fd) throw Error(ErrorCode::protocol, "the worker says that it is done but sends no picture");
      return {std::move(message.body), std::move(message.fd), client.worker(), client.spawned()};
    } catch (const Restart&) {
      if (++restarts > kRestarts) {
        throw Error::format(
            ErrorCode::version_mismatch,
            "{} workers in a row have left before the job was done; are step1xd and step1x-engine of one build?",
            restarts);
      }
    } catch (const Error& problem) {
      if (problem.code() != ErrorCode::worker_failed) throw;
      progress.clear();
      const std::string why =
          memory_kills() > kills ? "; the kernel's memory killer has been at work: there was too little memory" : "";
      if (died_before)
        throw Error::format(ErrorCode::worker_failed, "worker {} died in the middle of the job, as the one before{}",
                            client.worker().pid, why);
      died_before = true;
      say_error(fmt::format("worker {} died in the middle of the job{}; trying once more", client.worker().pid, why));
    }
  }
}

}  // namespace step1x::cli
