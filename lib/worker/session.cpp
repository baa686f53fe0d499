#include "worker/session.hpp"

#include "base/error.hpp"

namespace step1x::worker {

void Session::answer(const ipc::Json& event, std::int64_t id, UniqueFd fd) {
  ipc::Json body = event;
  body["id"] = id;
  connection->send(body, std::move(fd));
}

void Session::progress(ipc::Json event, const Job& job) {
  event["id"] = job.id;
  connection->send_latest(event, job.number);
}

void Session::error(ErrorCode code, const std::string& message, std::int64_t id, const ipc::Json& more) {
  ipc::Json event = {{"event", "error"}, {"code", name(code)}, {"message", message}, {"retryable", retryable(code)}};
  event.update(more);
  answer(event, id);
}

std::shared_ptr<Job> Session::job(std::int64_t id) const {
  const auto found = jobs.find(id);
  return found == jobs.end() ? nullptr : found->second;
}

}  // namespace step1x::worker
