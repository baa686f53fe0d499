#include "http/listener.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/error.hpp"
#include "base/utf8.hpp"

namespace step1x::http {
namespace {

constexpr int kBacklog = 128;

UniqueFd stream_socket(int family) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw Error::format(ErrorCode::failure, "--listen: socket: {}", errno_text());
  return fd;
}

void begin(const UniqueFd& fd, const sockaddr* address, socklen_t size, const std::string& name) {
  if (::bind(fd.get(), address, size) == 0 && ::listen(fd.get(), kBacklog) == 0) return;
  const int problem = errno;
  throw Error::format(ErrorCode::usage, "--listen {}: {}{}", name, errno_text(problem),
                      problem == EADDRINUSE ? "; another server has it: end that one, or choose another port" : "");
}

bool somebody_listens(const sockaddr_un& address) {
  const UniqueFd fd = stream_socket(AF_UNIX);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
}

}  // namespace

UniqueFd listen_at(const std::filesystem::path& path) {
  const std::string name = "unix:" + printable(path.string());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.size() >= sizeof address.sun_path)
    throw Error::format(ErrorCode::usage, "--listen {}: a socket's path has at most {} bytes, and this one {}", name,
                        sizeof address.sun_path - 1, text.size());
  std::memcpy(address.sun_path, text.data(), text.size());
  struct stat about{};
  if (::lstat(text.c_str(), &about) == 0) {
    if (!S_ISSOCK(about.st_mode))
      throw Error::format(ErrorCode::usage, "--listen {}: there is a file of that name, and no socket", name);
    if (somebody_listens(address))
      throw Error::format(ErrorCode::usage, "--listen {}: another server has it; end that one, or choose another path",
                          name);
    ::unlink(text.c_str());
  }
  UniqueFd fd = stream_socket(AF_UNIX);
  const mode_t before = ::umask(0177);
  try {
    begin(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address, name);
  } catch (...) {
    ::umask(before);
    throw;
  }
  ::umask(before);
  return fd;
}

UniqueFd listen_at(const boost::asio::ip::tcp::endpoint& endpoint) {
  UniqueFd fd = stream_socket(endpoint.protocol().family());
  const int on = 1;
  // Otherwise the port is taken for a minute after a server has gone.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (endpoint.address().is_v6()) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  begin(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size()), url_of(endpoint).substr(7));
  return fd;
}

UniqueFd listener_of_systemd() {
  constexpr int kFirst = 3;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::atol(pid) != static_cast<long>(::getpid()) || std::atoi(count) < 1)
    throw Error(ErrorCode::usage,
                "--listen systemd: no socket was handed over; start it by a .socket unit (see step1x-serve(1))");
  if (std::atoi(count) > 1)
    throw Error::format(ErrorCode::usage, "--listen systemd: one socket can be served, and {} were handed over", count);
  ::unsetenv("LISTEN_PID");
  ::unsetenv("LISTEN_FDS");
  ::unsetenv("LISTEN_FDNAMES");
  UniqueFd fd(kFirst);
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0)
    throw Error(ErrorCode::usage, "--listen systemd: descriptor 3 is no socket that listens; is it Accept=no?");
  return fd;
}

}  // namespace step1x::http
