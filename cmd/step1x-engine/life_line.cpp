#include "life_line.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.hpp"
#include "ipc/fields.hpp"
#include "ipc/hello.hpp"

namespace step1x::engine {

LifeLine::LifeLine(UniqueFd socket) : channel_(std::move(socket)), receiver_([this] { receive_all(); }) {}

void LifeLine::greet() {
  send(ipc::hello("event"));
}

void LifeLine::receive_all() {
  try {
    ipc::Message message;
    while (channel_.receive(message) == ipc::Channel::Result::message) {
      const ipc::Fields fields(message.body);
      const std::string op = fields.text("op", "");
      if (op == "cancel") {
        cancelled_ = fields.integer("id", 0, INT64_MAX);
        continue;
      }
      const std::lock_guard lock(mutex_);
      if (op == "arena") {
        arena_ = std::move(message);
      } else {
        requests_.push_back(std::move(message));
      }
      arrived_.notify_one();
    }
  } catch (const std::exception& problem) {
    fmt::print(stderr, "the worker broke the protocol: {}\n", problem.what());
  }
  // No destructor may run: it could wait for a kernel that computes.
  ::_exit(0);
}

ipc::Message LifeLine::next() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return !requests_.empty(); });
  ipc::Message message = std::move(requests_.front());
  requests_.pop_front();
  return message;
}

ipc::Message LifeLine::arena() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return arena_.has_value(); });
  return *std::exchange(arena_, std::nullopt);
}

void LifeLine::send(const ipc::Json& body, int fd) {
  if (!channel_.send(body, fd)) ::_exit(0);
}

}  // namespace step1x::engine
