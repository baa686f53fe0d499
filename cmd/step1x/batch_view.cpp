#include "batch_view.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "ipc/fields.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

using batch::Json;

Json counts(const BatchTally& tally) {
  return {{"total", tally.total},
          {"done", tally.done},
          {"failed", tally.failed + tally.kept_failed},
          {"skipped", tally.kept},
          {"left", tally.left()}};
}

std::string clock_time(std::time_t time) {
  std::tm parts{};
  ::localtime_r(&time, &parts);
  return fmt::format("{:02}:{:02}", parts.tm_hour, parts.tm_min);
}

}  // namespace

std::string in_words(const BatchTally& tally) {
  std::string text = fmt::format("{} done", tally.done);
  const auto add = [&](std::size_t count, const char* what) {
    if (count > 0) text += fmt::format(", {} {}", count, what);
  };
  add(tally.failed, "failed");
  add(tally.kept, "there already");
  add(tally.kept_failed, "failed earlier (--retry-failed tries them again)");
  add(tally.left(), "left");
  return text;
}

BatchView::BatchView(const Context& context, bool progress_json)
    : context_(context), style_(Progress::choose(context.quiet, progress_json)), bar_(style_) {}

void BatchView::progress(const batch::Work& work, const ipc::Json& event) {
  const std::string name = event.value("event", "");
  if (style_ != Progress::Style::ndjson) {
    if (!context_.verbose || name != "retry") return;
    bar_.clear();
    return say(
        fmt::format("step1x: {}: trying once more: {}", work.item.key, event.value("reason", "the engine died")));
  }
  Json object = Json::object();
  object["event"] = name;
  object["key"] = work.item.key;
  for (const auto& [member, value] : event.items()) {
    if (member != "id" && member != "fd" && member != "event") object[member] = value;
  }
  say_json(object);
}

void BatchView::done(const batch::Work& work, double seconds, const BatchTally& tally) {
  if (style_ == Progress::Style::ndjson) {
    Json object = {{"event", "item"}, {"key", work.item.key}, {"state", "done"}, {"output", work.output}};
    object["seconds"] = seconds;
    object["batch"] = counts(tally);
    return say_json(object);
  }
  if (context_.verbose) {
    bar_.clear();
    say(fmt::format("step1x: {} -> {}, {:.2f} s", work.item.key, work.output, seconds));
  }
  draw(tally);
}

void BatchView::failed(const batch::Work& work, const Error& problem, const BatchTally& tally) {
  if (style_ == Progress::Style::ndjson) {
    Json object = {{"event", "item"}, {"key", work.item.key}, {"state", "failed"}};
    object["error"] = {
        {"code", name(problem.code())}, {"message", problem.what()}, {"retryable", retryable(problem.code())}};
    object["batch"] = counts(tally);
    return say_json(object);
  }
  bar_.clear();
  say_error(fmt::format("{}: {}", work.item.key, problem.what()));
  draw(tally);
}

void BatchView::notice(const std::string& text) {
  if (style_ == Progress::Style::ndjson) return say_json({{"event", "notice"}, {"message", text}});
  bar_.clear();
  say_error(text);
}

void BatchView::draw(const BatchTally& tally) {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::size_t tried = tally.done + tally.failed;
  std::string text = fmt::format("{}/{} done", tally.done + tally.kept, tally.total);
  if (tally.failed > 0) text += fmt::format(", {} failed", tally.failed);
  if (tried > 0 && seconds > 0) {
    text += fmt::format(", {:.1f} a minute", static_cast<double>(tried) / seconds * 60);
    const double left = seconds / static_cast<double>(tried) * static_cast<double>(tally.left());
    text += ", ends at " + clock_time(std::time(nullptr) + std::lround(left));
  }
  const double part =
      tally.total > 0 ? static_cast<double>(tally.total - tally.left()) / static_cast<double>(tally.total) : 0;
  bar_.draw(text, part);
}

void BatchView::end(const BatchTally& tally, const std::filesystem::path& folder) {
  bar_.clear();
  if (context_.json) {
    Json record = counts(tally);
    add_path(record, "output", folder.string());
    record["seconds"] = tally.seconds;
    record["per_minute"] = tally.per_minute();
    record["slowest"] = Json::array();
    for (const auto& slow : tally.slowest) record["slowest"].push_back({{"key", slow.key}, {"seconds", slow.seconds}});
    record["stopped"] = tally.stopped.empty() ? Json() : Json(tally.stopped);
    if (tally.fatal) record.update(error_record(tally.fatal->code(), tally.fatal->what()));
    print_json(record);
  }
  const bool wanted = context_.verbose || style_ == Progress::Style::bar || tally.failed + tally.kept_failed > 0 ||
                      !tally.stopped.empty();
  if (context_.quiet || style_ == Progress::Style::ndjson || !wanted) return;
  std::string text = fmt::format("step1x: {}", in_words(tally));
  if (tally.done > 0) text += fmt::format("; {:.1f} a minute", tally.per_minute());
  if (!tally.stopped.empty() && !tally.fatal) text += fmt::format("; stopped: {}", tally.stopped);
  say(text);
  if (!context_.verbose) return;
  for (const auto& slow : tally.slowest) say(fmt::format("step1x: slowest: {}, {:.2f} s", slow.key, slow.seconds));
}

}  // namespace step1x::cli
