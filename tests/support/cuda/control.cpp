// Lets a test change the settings of a process while it runs, and ask what it has counted: a socket in the folder that
// STAND_IN_MACHINE names, called as the process is numbered. A line is "set NAME VALUE" or "count NAME", and is
// answered by a line.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "stand_in.hpp"

namespace stand_in {
namespace {

std::string answer(const std::string& line) {
  const auto space = line.find(' ');
  const std::string rest = line.substr(space + 1);
  if (line.starts_with("count ")) return std::to_string(stand_in_count(rest.c_str())) + "\n";
  const auto value = rest.find(' ');
  stand_in_set(rest.substr(0, value).c_str(), std::atoll(rest.c_str() + value));
  return "\n";
}

void serve(int listener) {
  for (;;) {
    const int peer = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (peer < 0) return;
    // Who asks waits for the answer, so a line comes alone and whole.
    char line[256];
    for (ssize_t count = 0; (count = ::read(peer, line, sizeof line)) > 1;) {
      const std::string said = answer(std::string(line, static_cast<std::size_t>(count - 1)));
      if (::send(peer, said.data(), said.size(), MSG_NOSIGNAL) < 0) break;
    }
    ::close(peer);
  }
}

// When libraries are loaded, because a test may ask before the process has asked for a device.
[[gnu::constructor]] void listen_for_tests() {
  const char* folder = std::getenv("STAND_IN_MACHINE");
  if (folder == nullptr) return;
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s/%d", folder, ::getpid());
  ::unlink(address.sun_path);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 8) != 0)
    std::abort();
  std::thread(serve, listener).detach();
}

}  // namespace
}  // namespace stand_in
