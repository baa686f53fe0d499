#include "ipc/server.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "base/error.hpp"
#include "base/log.hpp"

namespace step1x::ipc {
namespace {

namespace asio = boost::asio;

// 129 of 200 concurrent clients got through listen(128); the kernel cuts this to net.core.somaxconn.
constexpr int kBacklog = 4096;

Error failed(const Directory& directory, const char* what) {
  return Error::format(ErrorCode::worker_failed, "cannot {} {}: {}", what, (directory.path() / kSocketName).string(),
                       errno_text());
}

UniqueFd bind_socket(const Directory& directory) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) throw failed(directory, "make");
  if (::unlinkat(directory.fd(), kSocketName, 0) != 0 && errno != ENOENT) throw failed(directory, "replace");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, directory.via_fd(kSocketName).c_str(), sizeof address.sun_path - 1);
  const mode_t before = ::umask(0177);
  const int problem = ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(before);
  if (problem != 0) throw failed(directory, "bind");
  if (::listen(listener.get(), kBacklog) != 0) throw failed(directory, "listen on");
  return listener;
}

}  // namespace

Server::Server(asio::io_context& io, const Directory& directory, const Lock& /*proof that this is the one worker*/,
               OnConnection on_connection)
    : directory_(directory),
      listener_(io, bind_socket(directory).release()),
      changes_(io),
      pause_(io),
      on_connection_(std::move(on_connection)) {
  inode_ = inode().value_or(0);
  asio::co_spawn(io, [this] { return accept_all(); }, asio::detached);
}

asio::awaitable<void> Server::accept_all() {
  boost::system::error_code problem;
  auto done = asio::redirect_error(asio::use_awaitable, problem);
  while (listener_.is_open()) {
    UniqueFd socket;
    if (descriptors_left())
      socket.reset(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    else
      errno = EMFILE;
    if (socket) {
      accept_one(std::move(socket));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      co_await listener_.async_wait(asio::posix::stream_descriptor::wait_read, done);
      if (problem) co_return;
    } else if (errno != ECONNABORTED && errno != EINTR) {
      // Mostly a full descriptor table. The listener stays readable, so without a pause this would spin; who waits in
      // the backlog is served as soon as a connection ends.
      pause_.expires_after(std::chrono::milliseconds(100));
      co_await pause_.async_wait(done);
      if (problem) co_return;
    }
  }
}

// Those who are connected must be able to send pictures, and engines to be started, however many want to come in.
bool Server::descriptors_left() {
  constexpr rlim_t kReserve = 24;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= 2 * kReserve) return true;
  // The kernel gives out the lowest free number.
  const UniqueFd lowest(::fcntl(listener_.native_handle(), F_DUPFD_CLOEXEC, 0));
  return lowest && static_cast<rlim_t>(lowest.get()) < limit.rlim_cur - kReserve;
}

void Server::accept_one(UniqueFd socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != ::geteuid()) {
    log::warn("refused a connection of user {} (process {})", peer.uid, peer.pid);
    return;
  }
  on_connection_(std::move(socket));
}

std::optional<ino_t> Server::inode() const {
  struct stat info{};
  if (::lstat((directory_.path() / kSocketName).c_str(), &info) != 0) return std::nullopt;
  return info.st_ino;
}

void Server::watch(std::function<void()> gone) {
  if (!changes_.is_open()) {
    const int fd = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    // Without inotify (a limit of this user) the worker still leaves by its timers.
    if (fd < 0) return;
    changes_.assign(fd);
    ::inotify_add_watch(fd, directory_.path().c_str(),
                        IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
  }
  changes_.async_wait(asio::posix::stream_descriptor::wait_read,
                      [this, gone = std::move(gone)](const boost::system::error_code& problem) {
                        if (problem) return;
                        std::array<char, 4096> events;
                        while (::read(changes_.native_handle(), events.data(), events.size()) > 0) {
                        }
                        if (!reachable()) return gone();
                        watch(gone);
                      });
}

void Server::stop() {
  boost::system::error_code ignored;
  // The descriptor itself stays open until the process ends, so that who is in the backlog sees EOF only when the lock
  // is about to be free.
  listener_.cancel(ignored);
  pause_.cancel();
  changes_.close(ignored);
}

bool Server::reachable() const {
  return inode() == inode_;
}

void Server::unlink() {
  if (reachable()) ::unlinkat(directory_.fd(), kSocketName, 0);
}

}  // namespace step1x::ipc
