#include "jobs.hpp"

#include "ipc/fields.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

client::Options conversation_options(JobOptions options, Duration timeout) {
  client::Options talk;
  talk.client = std::move(options.client);
  talk.lease = std::move(options.lease);
  talk.timeout = timeout;
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
  problem = Error(ErrorCode::cancelled, "interrupted");
}

void Jobs::View::worker_died(const std::string& how) {
  progress_.clear();
  say_error(how + "; trying once more");
}

Jobs::Jobs(JobOptions options, const TimeLimit& limit, Progress& progress)
    : limit_(limit),
      first_limit_(limit.left()),
      view_(options.verbose, progress),
      conversation_(conversation_options(std::move(options), first_limit_), view_),
      between_(signals_) {}

JobResult Jobs::run(const ipc::Json& request, int picture) {
  const TimeLimit::Kept here(limit_);
  view_.result.reset();
  view_.problem.reset();
  between_.reset();
  conversation_.add(request, picture);
  try {
    wait_for_it();
  } catch (const Error& problem) {
    fail(problem);
  }
  between_.emplace(signals_);
  if (view_.problem) fail(*view_.problem);
  return std::move(*view_.result);
}

void Jobs::wait_for_it() {
  bool over = false;
  while (conversation_.size() > 0) {
    conversation_.turn(over ? std::nullopt : limit_.end());
    // The conversation counts the time of each job from its beginning, and this one is of all together.
    if (over || !limit_.end() || TimeLimit::Clock::now() < *limit_.end() || conversation_.interrupted()) continue;
    over = true;
    conversation_.cancel_all();
  }
  if (over && !view_.result) throw Error(ErrorCode::timeout, std::string(limit_.over().what()) + ": cancelled");
}

// In the words of the whole command: the conversation knows only what was left when it began.
void Jobs::fail(const Error& problem) const {
  if (problem.code() != ErrorCode::timeout) {
    if (view_.problem && problem.code() != ErrorCode::cancelled) throw JobFailed(problem);
    throw Error(problem);
  }
  const std::string left = fmt::format(" after {} (--timeout)", format_duration(first_limit_));
  std::string text = problem.what();
  if (const auto at = text.find(left); at != std::string::npos)
    text.replace(at, left.size(), fmt::format(" after {} (--timeout)", format_duration(limit_.limit())));
  throw Error(ErrorCode::timeout, text);
}

}  // namespace step1x::cli
