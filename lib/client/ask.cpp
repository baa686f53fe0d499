#include "client/ask.hpp"

#include "ipc/fields.hpp"

namespace step1x::client {

std::optional<ipc::Json> ask(ipc::Client& client, const ipc::Json& request, ipc::Deadline deadline) {
  std::optional<ipc::Message> message;
  try {
    client.send(request);
    message = client.receive(deadline);
  } catch (const Error& problem) {
    if (problem.code() == ErrorCode::worker_failed) return std::nullopt;
    throw;
  }
  if (!message) {
    throw Error::format(ErrorCode::timeout, "worker {} does not answer; see: step1x worker log", client.worker().pid);
  }
  const ipc::Fields fields(message->body);
  const std::string event = fields.text("event", "");
  if (event == "error") {
    const Error problem = error_of(message->body);
    if (problem.code() == ErrorCode::busy) throw Busy(problem, fields.integer_or("position", 0, INT64_MAX, 0));
    throw Error(problem);
  }
  if (event == "restart") return std::nullopt;
  return std::move(message->body);
}

Error error_of(const ipc::Json& event) {
  const ipc::Fields fields(event);
  const ErrorCode code = error_code(fields.text("code", "failure")).value_or(ErrorCode::failure);
  return Error(code, fields.text("message", "failed without a reason"));
}

}  // namespace step1x::client
