#include "batch_report.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/duration.hpp"
#include "base/utf8.hpp"
#include "batch/digest.hpp"
#include "batch/stamp.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;
using batch::JournalView;
using batch::Json;

JournalView read_journal(const fs::path& folder) {
  JournalView view = JournalView::read(folder);
  if (view.files().empty())
    throw Error::format(ErrorCode::usage,
                        "there is no journal of a batch in {}; name the folder that a batch writes to",
                        folder.string());
  return view;
}

// The line with which the last run began.
Json last_run(const JournalView& view) {
  const auto last = std::find_if(view.runs().rbegin(), view.runs().rend(),
                                 [](const Json& run) { return run.value("kind", "") == "run"; });
  return last == view.runs().rend() ? Json::object() : *last;
}

// The items of the last run, by their keys: others have pictures in the folder from earlier ones.
std::map<std::string_view, const Json*> items_of_last_run(const JournalView& view) {
  std::map<std::string_view, const Json*> items;
  for (const auto& [key, item] : view.items()) items.emplace_hint(items.end(), key, &item);
  for (const Json& key : last_run(view).value("not_in_it", Json::array())) items.erase(key.get<std::string>());
  return items;
}

// Keys of items whose newest line is from before the last run, which has still to do them. Each part of it says so when
// it begins, as far as it knows, and when it ends.
std::set<std::string> still_to_do(const JournalView& view) {
  const auto parts = [](const Json& line) {
    const std::string shard = line.value("shard", "");
    return shard.substr(std::min(shard.find('/'), shard.size()));
  };
  const std::string all = parts(last_run(view));
  std::set<std::string> seen;
  std::set<std::string> keys;
  for (auto line = view.runs().rbegin(); line != view.runs().rend(); ++line) {
    if (parts(*line) != all || !seen.insert(line->value("shard", "")).second) continue;
    for (const Json& entry : line->value("to_do", Json::array())) {
      const auto item = view.items().find(entry.at(0).get<std::string>());
      if (item != view.items().end() && item->second.value("time", "") == entry.at(1).get<std::string>())
        keys.insert(item->first);
    }
  }
  return keys;
}

std::size_t count_state(const std::map<std::string_view, const Json*>& items, const std::string& state) {
  return static_cast<std::size_t>(
      std::ranges::count_if(items, [&](const auto& entry) { return entry.second->value("state", "") == state; }));
}

// What the journal knows to be written and the last run has no more, neither as a picture of its items nor as an input:
// of another format or name, or of a picture that is no input any more. As far as it is there.
std::vector<std::string> left_over(const fs::path& folder, const JournalView& view) {
  std::set<batch::FileId> present;
  // Contents of inputs, because older journals do not tell which pictures were inputs too.
  std::set<std::string> inputs;
  const auto keep = [&](const std::string& output) {
    if (const auto id = batch::file_id(folder / output)) present.insert(*id);
  };
  for (const auto& [key, item] : items_of_last_run(view)) {
    keep(item->value("output", ""));
    inputs.insert(item->value("input", Json::object()).value("sha256", ""));
  }
  for (const Json& output : last_run(view).value("takes", Json::array())) keep(output.get<std::string>());
  std::vector<std::string> outputs;
  for (const auto& [output, sha256] : view.outputs()) {
    const auto id = batch::file_id(folder / output);
    if (id && !present.contains(*id) && !inputs.contains(sha256)) outputs.push_back(output);
  }
  return outputs;
}

// Seconds that an item took as a rule; 0: nobody knows.
double usual_seconds(const JournalView& view) {
  std::vector<double> times;
  for (const auto& [key, item] : view.items()) {
    const Json timings = item.value("timings", Json::object());
    // What it waited for others is not its own.
    if (timings.contains("total")) times.push_back(timings.value("total", 0.0) - timings.value("queued", 0.0));
  }
  if (times.empty()) return 0;
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

std::string rough(double seconds) {
  return format_duration(std::chrono::seconds(std::lround(seconds)));
}

// Of a picture that a journal knows by this hash; empty: it is what was written.
std::string fault_of(const fs::path& picture, const std::string& sha256) {
  std::error_code problem;
  if (!fs::is_regular_file(picture, problem)) return "is not there";
  try {
    return batch::sha256_file(picture) == sha256 ? "" : "is not what was written";
  } catch (const Error& unreadable) {
    return fmt::format("is not known: {}", unreadable.what());
  }
}

}  // namespace

ExitCode report_status(const fs::path& folder, const Context& context) {
  const JournalView view = read_journal(folder);
  std::size_t running = 0;
  for (const fs::path& file : view.files()) running += batch::journal_in_use(file) ? 1 : 0;
  const Json run = last_run(view);
  auto items = items_of_last_run(view);
  for (const std::string& key : still_to_do(view)) items.erase(key);
  const std::vector<std::string> others = left_over(folder, view);
  const std::size_t done = count_state(items, "done");
  const std::size_t failed = count_state(items, "failed");
  // Of all parts, whichever machine does them.
  const std::size_t all = std::max<std::size_t>(run.value("items", std::size_t{0}), done + failed);
  const std::size_t left = all - done - failed;
  const double each = usual_seconds(view);
  if (context.json) {
    Json record = {
        {"folder", folder.string()}, {"running", running}, {"total", all},        {"done", done},
        {"failed", failed},          {"left", left},       {"left_over", others}, {"damaged_lines", view.damaged()}};
    record["seconds_each"] = each > 0 ? Json(each) : Json();
    record["last_run"] = run;
    for (const char* list : {"not_in_it", "takes", "to_do"}) record["last_run"].erase(list);
    print_json(record);
    return ExitCode::ok;
  }
  std::string text = fmt::format("{} of {} done, {} failed, {} left\n", done, all, failed, left);
  if (running > 0) {
    text += printable(fmt::format("running  process {} on {}, since {}", run.value("pid", 0), run.value("host", "?"),
                                  run.value("time", "?"))) +
            "\n";
  }
  if (running > 1) text += fmt::format("parts    {} run at the same time\n", running);
  if (each > 0)
    text += fmt::format("speed    {:.2f} s each{}\n", each,
                        left > 0 ? ", about " + rough(each * static_cast<double>(left)) + " left" : "");
  if (view.damaged() > 0)
    text += fmt::format("damaged  {} lines of the journal, whose items count as not done\n", view.damaged());
  for (const std::string& output : others)
    text += printable(fmt::format("earlier  {}: of an earlier run (--prune removes it)", output)) + "\n";
  for (const auto& [key, item] : items) {
    if (item->value("state", "") != "failed") continue;
    const std::string why = item->value("error", Json::object()).value("message", "?");
    text += printable(fmt::format("failed   {}: {}", key, why)) + "\n";
  }
  print(text);
  return ExitCode::ok;
}

ExitCode report_verify(const fs::path& folder, const Context& context) {
  const JournalView view = read_journal(folder);
  std::size_t right = 0;
  Json wrong = Json::array();
  for (const auto& [key, item] : view.items()) {
    if (item.value("state", "") != "done") continue;
    const std::string output = item.value("output", "");
    const std::string why = fault_of(folder / output, item.value("output_sha256", ""));
    if (why.empty()) {
      ++right;
      continue;
    }
    wrong.push_back({{"key", key}, {"output", output}, {"why", why}});
    if (!context.json) print(printable(fmt::format("{} {}", output, why)) + "\n");
  }
  if (context.json) {
    print_json({{"right", right}, {"wrong", wrong}, {"damaged_lines", view.damaged()}});
  } else {
    print(fmt::format("{} pictures are what was written, {} are not\n", right, wrong.size()));
  }
  if (wrong.empty()) return ExitCode::ok;
  return right > 0 ? ExitCode::partial : ExitCode::failure;
}

ExitCode report_prune(const fs::path& folder, const Context& context) {
  const JournalView view = read_journal(folder);
  for (const fs::path& file : view.files()) {
    if (batch::journal_in_use(file))
      throw Error::format(ErrorCode::busy, "a batch is writing {}: wait for its end", file.string());
  }
  Json removed = Json::array();
  Json kept = Json::array();
  for (const std::string& output : left_over(folder, view)) {
    // Removed already, by another of its names.
    if (!batch::file_id(folder / output)) continue;
    std::string why = fault_of(folder / output, view.outputs().at(output));
    std::error_code problem;
    if (why.empty() && !fs::remove(folder / output, problem)) why = "cannot be removed: " + problem.message();
    if (why.empty())
      removed.push_back(output);
    else
      kept.push_back({{"output", output}, {"why", why}});
    if (!context.json)
      print(printable(why.empty() ? "removed " + output : fmt::format("kept {}: it {}", output, why)) + "\n");
  }
  if (context.json) print_json({{"removed", removed}, {"kept", kept}});
  return kept.empty() ? ExitCode::ok : ExitCode::partial;
}

ExitCode report_merge(const fs::path& folder, const Context& context) {
  read_journal(folder);
  const std::size_t items = batch::merge_journals(folder);
  if (context.json) {
    print_json({{"journal", (folder / batch::journal_name({})).string()}, {"items", items}});
  } else {
    print(printable(fmt::format("{} items in {}", items, (folder / batch::journal_name({})).string())) + "\n");
  }
  return ExitCode::ok;
}

ExitCode report_dry_run(const std::vector<batch::Work>& works, const JournalView& before,
                        const batch::Reader::Options& options, const Context& context) {
  std::size_t to_do = 0;
  Json list = Json::array();
  std::map<std::string, std::size_t> counts;
  const batch::Made made(before, options.known.folder);
  for (const batch::Work& work : works) {
    const auto line = before.items().find(work.item.key);
    const batch::Verdict verdict =
        batch::judge(work, options.known, line == before.items().end() ? Json() : line->second, made);
    const bool wanted = batch::wants(verdict, options.again);
    to_do += wanted ? 1 : 0;
    ++counts[std::string(batch::name(verdict))];
    if (context.json)
      list.push_back({{"key", work.item.key},
                      {"output", work.output},
                      {"state", batch::name(verdict)},
                      {"todo", wanted},
                      {"parameters", work.parameters}});
    if (!context.json && wanted)
      print(printable(fmt::format("{} -> {} ({})", work.item.key, work.output, batch::name(verdict))) + "\n");
  }
  const double each = usual_seconds(before);
  const double seconds = each * static_cast<double>(to_do);
  if (context.json) {
    Json record = {{"total", works.size()}, {"todo", to_do}};
    record["estimated_seconds"] = each > 0 ? Json(seconds) : Json();
    record["items"] = list;
    print_json(record);
    return ExitCode::ok;
  }
  std::string text = fmt::format("{} of {} to do", to_do, works.size());
  for (const auto& [state, count] : counts) text += fmt::format(", {} {}", count, state);
  if (to_do > 0) {
    text += each > 0 ? fmt::format("; about {} ({:.2f} s each so far)", rough(seconds), each)
                     : "; how long it takes is known after the first ones";
  }
  text += "\n";
  print(text);
  return ExitCode::ok;
}

}  // namespace step1x::cli
