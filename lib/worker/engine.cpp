#include "worker/engine.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <span>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/process.hpp"

namespace step1x::worker {
namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

constexpr std::size_t kLongestLogLine = 2000;

struct Pair {
  UniqueFd ours;
  UniqueFd theirs;
};

Pair checked(int problem, const std::array<int, 2>& ends, const char* what) {
  if (problem != 0) throw Error::format(ErrorCode::failure, "{}: {}", what, errno_text());
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

std::shared_ptr<Engine> Engine::start(asio::io_context& io, const std::vector<std::string>& arguments,
                                      const std::vector<std::string>& environment, Handlers handlers) {
  std::array<int, 2> ends{};
  Pair line = checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), ends, "socketpair");
  Pair log = checked(::pipe2(ends.data(), O_CLOEXEC), ends, "pipe");
  // Only our end: the engine writes blocking, and may wait for us.
  ::fcntl(log.ours.get(), F_SETFL, O_NONBLOCK);
  SpawnSpec spec;
  spec.arguments = arguments;
  spec.environment = environment;
  spec.stderr_fd = log.theirs.get();
  spec.fd3 = line.theirs.get();
  const pid_t pid = spawn_process(spec);
  UniqueFd process = open_pidfd(pid);
  if (!process) {
    const int error = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    throw Error::format(ErrorCode::failure, "pidfd_open: {}", errno_text(error));
  }
  std::shared_ptr<Engine> self(new Engine(io, pid, std::move(process), std::move(log.ours), std::move(handlers)));
  self->connection_ = ipc::Connection::start(io, std::move(line.ours),
                                             {[weak = std::weak_ptr(self)](ipc::Message message) {
                                                if (const auto engine = weak.lock())
                                                  engine->message(std::move(message));
                                              },
                                              [self](const std::string& why) {
                                                self->broken_ = why;
                                                self->connection_ended_ = true;
                                                // Without its life line it ends by itself; if it does not, it is stuck.
                                                self->end();
                                                self->finish();
                                              }});
  self->watch_process();
  self->read_log();
  return self;
}

Engine::Engine(asio::io_context& io, pid_t pid, UniqueFd process, UniqueFd log, Handlers handlers)
    : pid_(pid),
      process_(io, process.release()),
      log_(io, log.release()),
      patience_(io),
      handlers_(std::move(handlers)),
      memory_kills_before_(memory_kills()) {}

void Engine::message(ipc::Message message) {
  if (said_hello_) return handlers_.on_message(std::move(message));
  const ipc::Peer peer = ipc::read_hello(message.body, "event");
  said_hello_ = true;
  handlers_.on_hello(peer);
}

void Engine::send(const ipc::Json& body, int fd) {
  connection_->send(body, UniqueFd(fd >= 0 ? ::fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1));
}

void Engine::end() {
  connection_->close();
  if (process_ended_) return;
  patience_.expires_after(std::chrono::seconds(5));
  patience_.async_wait([self = shared_from_this()](const boost::system::error_code& problem) {
    if (problem || self->process_ended_) return;
    log::warn("engine {} does not end: killing it", self->pid_);
    self->kill();
  });
}

void Engine::kill() {
  if (!process_ended_) signal_pidfd(process_.native_handle(), SIGKILL);
}

void Engine::watch_process() {
  process_.async_wait(
      stream_descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& problem) {
        if (problem) return;
        int status = 0;
        // Not yet: Asio may report a new descriptor ready for an event of an older one with the same number.
        if (::waitpid(self->pid_, &status, WNOHANG) == 0) return self->watch_process();
        self->how_ = describe_exit(status);
        if (WIFSIGNALED(status) && memory_kills() > self->memory_kills_before_) {
          self->how_ += ", and the kernel's memory killer has been at work: there was too little memory";
        }
        self->process_ended_ = true;
        self->patience_.cancel();
        self->finish();
      });
}

void Engine::read_log() {
  log_.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& problem) {
    if (!problem && self->drain_log()) self->read_log();
  });
}

// What there is of the log, as far as one turn of the loop goes. False at its end.
bool Engine::drain_log() {
  constexpr int kReadsATurn = 16;
  std::array<char, 4096> buffer;
  for (int i = 0; i < kReadsATurn; ++i) {
    const ssize_t count = ::read(log_.native_handle(), buffer.data(), buffer.size());
    if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
    for (const char c : std::span(buffer).first(static_cast<std::size_t>(count))) {
      if (c != '\n' && log_line_.size() < kLongestLogLine) log_line_.push_back(c);
      if (c == '\n' && !log_line_.empty()) log::info("engine {}: {}", pid_, std::exchange(log_line_, {}));
    }
  }
  return true;
}

// Both the last message and the exit status are in: what the engine sent just before it died has been handled.
void Engine::finish() {
  if (!connection_ended_ || !process_ended_ || !handlers_.on_exit) return;
  const Handlers handlers = std::exchange(handlers_, {});
  drain_log();
  boost::system::error_code ignored;
  log_.close(ignored);
  process_.close(ignored);
  // Then its exit is only what followed.
  handlers.on_exit(broken_.empty() ? how_ : fmt::format("was ended because of its connection: {}", broken_));
}

}  // namespace step1x::worker
