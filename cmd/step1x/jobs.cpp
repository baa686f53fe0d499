#include "jobs.hpp"

#include "ipc/fields.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

client::Options conversation_options(JobOptions options, const TimeLimit& limit) {
  client::Options talk;
  talk.client = std::move(options.client);
  talk.lease = std::move(options.lease);
  talk.timeout = limit.limit();
  talk.end = limit.end();
  return talk;
}

}  // namespace

void Jobs::View::progress(const client::Job& /*job*/, const ipc::Json& event) {
  const ipc::Fields fields(event);
  if (verbose_ && fields.text("event", "") == "retry") {
    progress_.clear();
    say("step1x: trying once more: " + fields.text("reason", "the engine died"));
  }
  progress_.show(event);
}

void Jobs::View::done(const client::Job& /*job*/, client::Result got) {
  result = std::move(got);
}

void Jobs::View::failed(const client::Job& /*job*/, const Error& why) {
  problem = why;
}

void Jobs::View::cancelled(const client::Job& /*job*/) {
  hurry();
  problem = Error(ErrorCode::cancelled, "interrupted");
}

void Jobs::View::worker_died(const std::string& how) {
  progress_.clear();
  say_error(how + "; trying once more");
}

Jobs::Jobs(JobOptions options, const TimeLimit& limit, Progress& progress)
    : limit_(limit),
      view_(options.verbose, progress),
      conversation_(conversation_options(std::move(options), limit), view_),
      between_(signals_) {}

JobResult Jobs::run(const ipc::Json& request, int picture) {
  const TimeLimit::Kept here(limit_);
  const Impatience impatient(conversation_.signals(), limit_.end());
  view_.result.reset();
  view_.problem.reset();
  between_.reset();
  conversation_.add(request, picture);
  while (conversation_.size() > 0) conversation_.turn();
  between_.emplace(signals_);
  if (view_.result) return std::move(*view_.result);
  const ErrorCode code = view_.problem->code();
  if (code == ErrorCode::cancelled || code == ErrorCode::timeout) throw Error(*view_.problem);
  throw JobFailed(*view_.problem);
}

}  // namespace step1x::cli
