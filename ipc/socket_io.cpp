#include "ipc/socket_io.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.hpp"

namespace step1x::ipc {
namespace {

// Room for more descriptors than are ever right: with room for one only, the kernel would truncate and say so, but
// a second one that fits must be received to be closed.
constexpr std::size_t kMaxFds = 8;

std::vector<UniqueFd> take_fds(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

bool gone(int error) {
  // ENOTCONN: connect() to a full backlog can report success for a socket that never was connected.
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

}  // namespace

ReadState read_some(int socket, FrameReader& reader, Message& message) {
  std::array<std::byte, 64 * 1024> buffer;
  iovec part{buffer.data(), std::min(buffer.size(), reader.want())};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t count = 0;
  do {
    count = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return ReadState::would_block;
    if (gone(errno)) return ReadState::end;
    throw Error::format(ErrorCode::protocol, "cannot receive: {}", errno_text());
  }
  std::vector<UniqueFd> fds = take_fds(header);
  if ((header.msg_flags & MSG_CTRUNC) != 0) {
    throw Error(ErrorCode::protocol,
                "protocol broken by the other side: a truncated control message (too many descriptors)");
  }
  if (count == 0) return ReadState::end;
  auto complete = reader.feed(std::span(buffer).first(static_cast<std::size_t>(count)), std::move(fds));
  if (!complete) return ReadState::more;
  message = std::move(*complete);
  return ReadState::frame;
}

WriteState write_some(int socket, std::string_view bytes, int fd, std::size_t& written) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  ssize_t count = 0;
  do {
    count = ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    // ETOOMANYREFS: too many descriptors in flight for this user; they drain as the others read.
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS)
      return WriteState::would_block;
    if (gone(errno)) return WriteState::end;
    throw Error::format(ErrorCode::protocol, "cannot send: {}", errno_text());
  }
  written = static_cast<std::size_t>(count);
  return WriteState::written;
}

}  // namespace step1x::ipc
