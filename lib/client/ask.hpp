// One request and its one answer, for the commands that have no job. As thread-safe as the ipc::Client it is given:
// one thread at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "ipc/client.hpp"

namespace step1x::client {

// Refused because of other work.
class Busy : public Error {
 public:
  Busy(const Error& refusal, std::int64_t position) : Error(refusal), position_(position) {}
  // How many jobs would have to end first; 0: a lease is in the way, or the model is moving.
  std::int64_t position() const { return position_; }

 private:
  std::int64_t position_;
};

// nullopt: the worker is leaving, or gone, and has not answered. Throws Error(timeout) at the deadline, and what the
// worker answers as an error, Busy among them.
std::optional<ipc::Json> ask(ipc::Client& client, const ipc::Json& request, ipc::Deadline deadline = std::nullopt);

// The Error that an `error` event carries.
Error error_of(const ipc::Json& event);

}  // namespace step1x::client
