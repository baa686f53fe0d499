// One client of the worker: its connection, its hello, its jobs and its lease. Answers carry the id of the request.
// Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "ipc/connection.hpp"
#include "ipc/hello.hpp"
#include "worker/job.hpp"

namespace step1x::worker {

class Session {
 public:
  static constexpr std::size_t kMaxJobs = 16;

  enum class State {
    silent,    // has said no hello
    refused,   // speaks another protocol, and waits for the worker to leave
    greeted,   // has asked for nothing yet
    watching,  // has asked for nothing but `status` and `ping`: its presence keeps nothing alive
    served,
  };
  struct Lease {
    std::string model;  // what it keeps; empty: what the next job loads
    std::string label;
  };

  void answer(const ipc::Json& event, std::int64_t id, UniqueFd fd = {});
  // May be replaced by a later one of the same job.
  void progress(ipc::Json event, const Job& job);
  void error(ErrorCode code, const std::string& message, std::int64_t id, const ipc::Json& more = ipc::Json::object());
  // Its own job with this id, or null.
  std::shared_ptr<Job> job(std::int64_t id) const;

  std::shared_ptr<ipc::Connection> connection;
  State state = State::silent;
  Duration greeted_at{0};  // boot_now()
  std::optional<Lease> lease;
  ipc::Peer peer;
  std::map<std::int64_t, std::shared_ptr<Job>> jobs;
};

}  // namespace step1x::worker
