// Jobs one after the other from the client's side: a conversation with the worker, and what the user sees of it. One
// thread, the main one.
#pragma once

#include "client/conversation.hpp"
#include "progress.hpp"
#include "time_limit.hpp"

namespace step1x::cli {

using JobResult = client::Result;

struct JobOptions {
  ipc::ClientOptions client;
  // With several jobs one lease for them all: between two of them the model stays where it is.
  std::optional<ipc::Json> lease;
  bool verbose = false;
};

class Jobs {
 public:
  // `limit` and `progress` outlive it.
  Jobs(JobOptions options, const TimeLimit& limit, Progress& progress);

  // `picture`: descriptor of a sealed picture, or -1. Throws JobFailed: what the worker answered, and others may
  // follow. Throws Error, and nothing may follow: cancelled at a signal; timeout; worker_failed when two workers died.
  JobResult run(const ipc::Json& request, int picture);
  // Ends the lease. No jobs follow.
  void leave() { conversation_.leave(); }

 private:
  class View : public client::Listener {
   public:
    View(bool verbose, Progress& progress) : verbose_(verbose), progress_(progress) {}

    void progress(const client::Job& job, const ipc::Json& event) override;
    void done(const client::Job& job, client::Result result) override;
    void failed(const client::Job& job, const Error& problem) override;
    void cancelled(const client::Job& job) override;
    void worker_died(const std::string& how) override;

    std::optional<JobResult> result;
    std::optional<Error> problem;

   private:
    bool verbose_;
    Progress& progress_;
  };

  const TimeLimit& limit_;
  View view_;
  // Between two jobs a signal ends the command at once: outside of a conversation there is nothing to cancel.
  client::Signals signals_;
  client::Conversation conversation_;
  std::optional<client::Signals::AtOnce> between_;
};

// A job's own failure, of which others know nothing.
class JobFailed : public Error {
 public:
  explicit JobFailed(const Error& problem) : Error(problem) {}
};

}  // namespace step1x::cli
