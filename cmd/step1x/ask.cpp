#include "ask.hpp"

#include "base/error.hpp"
#include "ipc/fields.hpp"
#include "settings.hpp"

namespace step1x::cli {

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
  const std::string event = ipc::Fields(message->body).text("event", "");
  if (event == "error") throw_error_event(message->body);
  if (event == "restart") return std::nullopt;
  return std::move(message->body);
}

}  // namespace step1x::cli
