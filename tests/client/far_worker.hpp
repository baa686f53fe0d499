// The other end of the socket, for what a real worker says only in a moment that nobody can time: a thread that listens
// in a directory of its own, and a script of what it says. The script runs from the first connection on.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "ipc/channel.hpp"
#include "ipc/client.hpp"
#include "ipc/hello.hpp"
#include "ipc/picture.hpp"
#include "support/temp_dir.hpp"

namespace step1x::test {

class FarWorker {
 public:
  // A connection of the client's.
  class Caller {
   public:
    explicit Caller(UniqueFd socket) : channel_(std::move(socket)) {
      next();
      say(ipc::hello("event"));
    }
    ipc::Json next() {
      ipc::Message message;
      const auto patience = std::chrono::steady_clock::now() + std::chrono::minutes(1);
      if (channel_.receive(message, patience) != ipc::Channel::Result::message)
        throw Error(ErrorCode::failure, "the client said nothing, or was gone");
      return message.body;
    }
    void say(const ipc::Json& event, int fd = -1) {
      if (!channel_.send(event, fd)) throw Error(ErrorCode::failure, "the client was gone");
    }
    void say(const char* event, const ipc::Json& request) { say({{"event", event}, {"id", request.at("id")}}); }
    void begin(const ipc::Json& request) { say({{"event", "queued"}, {"position", 0}, {"id", request.at("id")}}); }
    void finish(const ipc::Json& request) {
      say({{"event", "done"}, {"fd", "result"}, {"width", 1}, {"height", 1}, {"id", request.at("id")}},
          ipc::PictureWriter(1, 1).seal().get());
    }
    // The client has gone.
    void wait_for_end() {
      ipc::Message message;
      while (channel_.receive(message) != ipc::Channel::Result::end) {
      }
    }

   private:
    ipc::Channel channel_;
  };

  explicit FarWorker(std::function<void(FarWorker&)> script)
      : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (folder_.path() / ipc::kSocketName).c_str(), sizeof address.sun_path - 1);
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 16) != 0)
      throw Error::format(ErrorCode::failure, "no socket in {}: {}", folder_.path().string(), errno_text());
    thread_ = std::thread([this, script = std::move(script)] {
      try {
        script(*this);
      } catch (const std::exception& what) {
        problem_ = what.what();
        ::shutdown(listener_.get(), SHUT_RDWR);  // nobody is to wait for it
      }
    });
  }
  ~FarWorker() { ended(); }
  FarWorker(const FarWorker&) = delete;
  FarWorker& operator=(const FarWorker&) = delete;

  Caller accept() { return Caller(UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))); }
  // It is there already, and beside the tests there is no program that could be started instead.
  ipc::ClientOptions options() const {
    ipc::ClientOptions options;
    options.directory.path = folder_.path();
    options.timeout = std::chrono::seconds(20);  // a guard against hanging
    return options;
  }
  // Waits until the script is over; it may expect nobody new. What went wrong in it, or nothing.
  std::string ended() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    return problem_;
  }

 private:
  TempDir folder_;
  UniqueFd listener_;
  std::string problem_;
  std::thread thread_;
};

}  // namespace step1x::test
