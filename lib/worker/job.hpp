// One `edit` or `generate` request on its way through the worker. Plain data; loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "base/fd.hpp"
#include "ipc/frame.hpp"
#include "request/job_values.hpp"

namespace step1x::worker {

class Session;

// Of the members of any request.
constexpr std::int64_t kMaxId = 1LL << 53;
constexpr std::size_t kMaxPath = 4096;

struct Job : request::Job {
  std::uint64_t number = 0;        // the worker's own, unique; the id between worker and engine
  std::int64_t id = 0;             // the client's
  std::weak_ptr<Session> session;  // expired: the client is gone
  ipc::Json request;               // what the engine gets, checked; "id" is `number`
  UniqueFd image;                  // kept for a retry
  bool interactive = true;
  std::string launch_key;                // jobs with the same one can share an engine process
  std::vector<std::string> environment;  // NAME=value, of the client's, for the engine
  int attempts = 0;
  int passed = 0;      // how often a later one went first, see Queue
  int announced = -1;  // the position that its client was told last
  bool cancelled = false;
  Duration queued_at{0};  // boot_now()
  Duration started_at{0};
};

// Checks a request member by member (protocol.md, section 4) and takes the message's descriptor. Throws Error(usage);
// Error(protocol) when picture or size of the request are not what the protocol allows.
std::shared_ptr<Job> make_job(ipc::Message message, std::uint64_t number);

}  // namespace step1x::worker
