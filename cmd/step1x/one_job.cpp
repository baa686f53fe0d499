#include "one_job.hpp"

#include "ipc/fields.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

class JobView : public client::Listener {
 public:
  JobView(bool verbose, Progress& progress) : verbose_(verbose), progress_(progress) {}

  std::optional<JobResult>& result() { return result_; }

 private:
  void progress(const client::Job& /*job*/, const ipc::Json& event) override {
    const ipc::Fields fields(event);
    if (verbose_ && fields.text("event", "") == "retry") {
      progress_.clear();
      say("step1x: trying once more: " + fields.text("reason", "the engine died"));
    }
    progress_.show(event);
  }
  void done(const client::Job& /*job*/, client::Result result) override { result_ = std::move(result); }
  void failed(const client::Job& /*job*/, const Error& problem) override { throw Error(problem); }
  void cancelled(const client::Job& /*job*/) override { throw Error(ErrorCode::cancelled, "interrupted"); }
  void worker_died(const std::string& how) override {
    progress_.clear();
    say_error(how + "; trying once more");
  }

  bool verbose_;
  Progress& progress_;
  std::optional<JobResult> result_;
};

}  // namespace

JobResult run_job(const ipc::Json& request, int picture, const JobOptions& options, Progress& progress) {
  client::Options talk;
  talk.client = options.client;
  talk.timeout = options.timeout;
  JobView view(options.verbose, progress);
  client::Conversation conversation(std::move(talk), view);
  conversation.add(request, picture);
  while (!view.result()) conversation.turn();
  return std::move(*view.result());
}

}  // namespace step1x::cli
