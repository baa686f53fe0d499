// step1x batch: a folder of pictures, for hours, unattended.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <functional>
#include <memory>
#include <set>

#include "base/atomic_file.hpp"
#include "batch/times.hpp"
#include "batch_choices.hpp"
#include "batch_items.hpp"
#include "batch_report.hpp"
#include "batch_view.hpp"
#include "commands.hpp"
#include "isolated.hpp"
#include "job_flags.hpp"
#include "picture_input.hpp"
#include "picture_output.hpp"
#include "resolve_model.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

namespace fs = std::filesystem;
using SystemClock = std::chrono::system_clock;

struct BatchFlags : JobFlags {
  BatchInputs inputs;
  std::optional<std::string> status;
  std::optional<std::string> verify;
  std::optional<std::string> merge;
  std::optional<std::string> prune;
  std::optional<std::string> shard;
  std::optional<std::string> deadline;
  std::optional<std::string> max_runtime;
  std::optional<std::size_t> max_failures;
  std::string devices;
  batch::Again again;
  bool dry_run = false;
};

fs::path make_output_folder(const fs::path& folder, bool dry_run) {
  if (folder.empty()) throw Error(ErrorCode::usage, "where shall the pictures go? Name a folder with -o");
  std::error_code problem;
  if (!dry_run) fs::create_directories(folder, problem);
  if (problem || (fs::exists(folder, problem) && !fs::is_directory(folder, problem)))
    throw Error::format(ErrorCode::usage, "--output {}: not a folder, nor can one be made there", folder.string());
  return folder;
}

// Whether two names that differ in the case of letters are one file there.
bool ignores_case(const fs::path& folder, const batch::Shard& shard) {
  std::string upper = batch::journal_name(shard);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::error_code problem;
  return fs::equivalent(folder / batch::journal_name(shard), folder / upper, problem);
}

// The prompt for all, if there is one.
std::string common_prompt(const BatchFlags& flags) {
  if (!flags.prompt && !flags.prompt_file) return "";
  const bool stdin_taken = std::ranges::find(flags.inputs.inputs, "-") != flags.inputs.inputs.end();
  return read_prompt(flags, stdin_taken);
}

std::string part_text(const batch::Shard& shard) {
  return fmt::format("{}/{}", shard.index, shard.count);
}

// Of the items of which the journal has a line from before, those that are to be made or tried again, each with the
// time of that line: so that whoever asks how it stands does not take them for done until they have another one.
void note_to_do(batch::Json& line, const std::vector<batch::Work>& works, const batch::JournalView& before,
                const std::function<bool(std::size_t, const batch::Json&)>& is_to_do) {
  for (std::size_t i = 0; i < works.size(); ++i) {
    const auto item = before.items().find(works[i].item.key);
    if (item != before.items().end() && is_to_do(i, item->second))
      line["to_do"].push_back({item->first, item->second.value("time", "")});
  }
}

batch::Json run_line(const std::vector<batch::Work>& all, const batch::JournalView& before, const fs::path& folder,
                     const batch::Shard& shard) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  batch::Json line = {{"kind", "run"},       {"time", batch::time_now()}, {"pid", ::getpid()},
                      {"host", host.data()}, {"items", all.size()},       {"shard", part_text(shard)}};
  // So that whoever asks how it stands is told of this run's pictures, and not of those that others have made here.
  std::set<std::string_view> keys;
  for (const batch::Work& work : all) keys.insert(work.item.key);
  for (const auto& [key, item] : before.items()) {
    if (!keys.contains(key)) line["not_in_it"].push_back(key);
  }
  // Nor is a picture of theirs left over that this run edits further.
  std::set<std::optional<batch::FileId>> inputs;
  for (const batch::Work& work : all) inputs.insert(batch::file_id(work.item.input));
  for (const auto& [output, sha256] : before.outputs()) {
    const auto id = batch::file_id(folder / output);
    if (id && inputs.contains(id)) line["takes"].push_back(output);
  }
  return line;
}

void warn_of_deadline(const BatchFlags& flags, std::optional<SystemClock::time_point> end, BatchEvents& events) {
  if (!flags.deadline || !end || SystemClock::now() < *end) return;
  const std::time_t tomorrow = SystemClock::to_time_t(SystemClock::now() + std::chrono::hours(24));
  std::tm parts{};
  ::localtime_r(&tomorrow, &parts);
  events.notice(fmt::format("--deadline {} is past, and no picture is begun; tomorrow is '{:04}-{:02}-{:02} 07:00'",
                            *flags.deadline, parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday));
}

// How many pictures that are there will be made anew, because what is asked for has changed.
void warn_of_replacing(const std::vector<batch::Work>& works, const batch::JournalView& before,
                       const batch::Known& known, BatchEvents& events) {
  const auto replaced = std::ranges::count_if(works, [&](const batch::Work& work) {
    const auto line = before.items().find(work.item.key);
    return line != before.items().end() && line->second.value("state", "") == "done" &&
           asks_for_another(work, known, line->second);
  });
  if (replaced > 0)
    events.notice(
        fmt::format("{} of the {} pictures were made with other settings: they are made anew", replaced, works.size()));
}

// What earlier runs have made is no input, where a batch writes beside its pictures, or beside folders of them. An
// output folder within an input folder is passed over anyway, so a large journal is not read for it.
std::set<fs::path> made_in(const fs::path& folder, const std::vector<std::string>& inputs) {
  std::set<fs::path> made;
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(folder, ignored);
  const auto is_within = [&](const std::string& input) {
    const fs::path place = fs::weakly_canonical(input, ignored);
    return fs::is_directory(place, ignored) && std::ranges::mismatch(whole, place).in1 == whole.end();
  };
  if (std::ranges::none_of(inputs, is_within)) return made;
  const batch::JournalView before = batch::JournalView::read(folder);
  for (const auto& [output, sha256] : before.outputs()) {
    // A link is passed over by its own name.
    const fs::path picture = whole / output;
    made.insert(fs::weakly_canonical(picture.parent_path(), ignored) / picture.filename());
  }
  return made;
}

// `whole`: nothing of what was named was passed over.
ExitCode exit_of(const BatchTally& tally, bool whole) {
  if (tally.interrupted) return ExitCode::interrupted;
  const std::size_t failed = tally.failed + tally.kept_failed;
  if (failed == 0) return whole ? ExitCode::ok : ExitCode::partial;
  return tally.done + tally.kept > 0 ? ExitCode::partial : ExitCode::failure;
}

ExitCode run_works(const BatchFlags& flags, const Context& context) {
  const config::Loaded loaded = apply_flags(load_settings(context), flags);
  const batch::Shard shard = choose_shard(flags.shard);
  BatchInputs inputs = flags.inputs;
  inputs.format = flags.format;
  const fs::path folder = make_output_folder(inputs.output, flags.dry_run);
  inputs.selection.skip = folder;
  BatchOptions options;
  options.deadline = choose_deadline(flags.deadline, flags.max_runtime);
  options.devices = choose_devices(flags.devices);
  options.max_failures = flags.max_failures;
  options.timeout = loaded.settings.timeout;
  options.members = job_members(loaded, flags, common_prompt(flags));
  const bool seed = flags.seed && *flags.seed >= 0;
  inputs.selection.made = made_in(folder, inputs.inputs);
  BatchWorks works = make_works(inputs, options.members, seed);
  for (const batch::Work& work : works.works) check_quality(flags.quality, work.format);
  for (const std::string& why : works.passed_over) say_error(why + "; going on without it");
  options.members = request::without_picture(std::move(options.members));
  options.reader.known = {folder, batch::model_stamp(options.members.at("model").get<std::string>()),
                          limits_of(loaded.settings)};
  options.reader.again = flags.again;
  options.writer = {folder,
                    options.reader.known.model.text,
                    model_label(loaded),
                    {loaded.settings.metadata, !loaded.settings.strip},
                    std::nullopt};
  if (loaded.settings.quality > 0) options.writer.quality = static_cast<int>(loaded.settings.quality);
  const auto keep_this_shard = [&] {
    std::erase_if(works.works, [&](const batch::Work& work) { return !batch::belongs(work.item.key, shard); });
  };
  if (flags.dry_run) {
    check_outputs(works.works, folder, false);
    keep_this_shard();
    return report_dry_run(works.works, batch::JournalView::read(folder), options.reader, context);
  }
  // The journal may be one that can be written where no file can be made any more.
  check_can_make_files(folder);
  batch::Journal journal = batch::Journal::open(folder, shard);
  check_outputs(works.works, folder, ignores_case(folder, shard));
  const batch::JournalView before = batch::JournalView::read(folder);
  options.client = client_options(loaded.settings, context);
  if (flags.isolated) options.client = isolated(std::move(options.client));
  batch::Json run = run_line(works.works, before, folder, shard);
  keep_this_shard();
  const auto seems_to_do = [&](std::size_t i, const batch::Json& line) {
    return batch::seems_to_do(works.works[i], options.reader.known, line, flags.again);
  };
  note_to_do(run, works.works, before, seems_to_do);
  journal.append(run);
  BatchView view(context, flags.progress_json);
  warn_of_deadline(flags, options.deadline, view);
  warn_of_replacing(works.works, before, options.reader.known, view);
  const BatchTally tally = run_batch(works.works, before, journal, options, view);
  batch::Json end = {
      {"kind", "end"},          {"time", batch::time_now()}, {"shard", part_text(shard)}, {"done", tally.done},
      {"failed", tally.failed}, {"left", tally.left()},      {"seconds", tally.seconds},  {"stopped", tally.stopped}};
  // Those whose turn did not come are not all listed: where all is as it was, a run that is ended early leaves nothing.
  note_to_do(end, works.works, before, [&](std::size_t i, const batch::Json& line) {
    return !tally.settled[i] && (tally.begun[i] || seems_to_do(i, line));
  });
  journal.append(end);
  view.end(tally, folder);
  if (!tally.fatal) return exit_of(tally, works.passed_over.empty());
  // Not thrown: the record that is printed has it already, and there is one.
  say_error(tally.fatal->what());
  return exit_code(tally.fatal->code());
}

ExitCode run_batch_command(const BatchFlags& flags, const Context& context) {
  if (flags.status) return report_status(*flags.status, context);
  if (flags.verify) return report_verify(*flags.verify, context);
  if (flags.merge) return report_merge(*flags.merge, context);
  if (flags.prune) return report_prune(*flags.prune, context);
  if (flags.inputs.inputs.empty() && !flags.inputs.manifest)
    throw Error(ErrorCode::usage, "which pictures? Name a folder, files, - or a --manifest");
  return run_works(flags, context);
}

void add_place_flags(CLI::App& command, BatchInputs& inputs) {
  command
      .add_option("-i,--input,input", inputs.inputs,
                  "The pictures: folders, files, or - for a list of paths on standard input, one a line")
      ->type_name("PLACE");
  command.add_option("-o,--output", inputs.output, "The folder for what is made, and for the journal")
      ->type_name("DIR");
  command.add_flag("-r,--recursive", inputs.selection.recursive, "Folders within the folders too; the tree is kept");
  command
      .add_option("--include", inputs.selection.include,
                  "Only what this pattern fits: '*.jpg', or with a slash, a path")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  command.add_option("--exclude", inputs.selection.exclude, "Nothing that this pattern fits")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  command
      .add_option("--manifest", inputs.manifest,
                  "A list of pictures with a prompt, a seed and so on for each: .jsonl, .csv, .tsv, .json of "
                  "{picture: prompt}, or - for standard input")
      ->type_name("FILE");
  command.add_flag("-0,--null", inputs.nul, "The list on standard input has a zero byte after each path");
  command.add_flag("--sidecar-prompts", inputs.sidecar_prompts, "NAME.txt beside NAME.jpg is its prompt");
  command
      .add_option("--name", inputs.name,
                  "What the pictures are called, of {stem}, {ext}, {seed}, {index} and {n}; default: {stem}.{ext}")
      ->type_name("TEMPLATE");
}

void add_run_flags(CLI::App& command, BatchFlags& flags) {
  command.add_option("--devices", flags.devices, "Spread the pictures over several: all, or cuda:0,cuda:1")
      ->type_name("DEVICES");
  command
      .add_option("--shard", flags.shard,
                  "Do one part of several, 2/5 for the second of five; default: by the task of a Slurm array")
      ->type_name("PART");
  command
      .add_option("--deadline", flags.deadline,
                  "Begin no picture after this time of today, 07:00, or of another day, '2030-12-31 07:00'")
      ->type_name("TIME");
  command.add_option("--max-runtime", flags.max_runtime, "Begin no picture after this long, 6h")->type_name("DURATION");
  command.add_option("--max-failures", flags.max_failures, "Stop after so many failures")
      ->type_name("N")
      ->transform(decimal())
      ->check(CLI::Range(1, 1'000'000'000));
  command.add_flag("--retry-failed", flags.again.failed, "Try what has failed before once more");
  command.add_flag("--force", flags.again.all, "Do everything again");
  auto* dry_run =
      command.add_flag("--dry-run", flags.dry_run, "Only say what would be done, and about how long it takes");
  auto* status = command.add_option("--status", flags.status, "Say where the batch of this output folder stands")
                     ->type_name("DIR");
  auto* verify = command.add_option("--verify", flags.verify, "Read the pictures in this output folder and compare")
                     ->type_name("DIR");
  auto* merge =
      command.add_option("--merge", flags.merge, "Make the journals of all parts in this folder one")->type_name("DIR");
  auto* prune =
      command
          .add_option("--prune", flags.prune, "Remove the pictures in this output folder that the last run has no more")
          ->type_name("DIR");
  status->excludes(verify)->excludes(merge)->excludes(prune)->excludes(dry_run);
  verify->excludes(merge)->excludes(prune)->excludes(dry_run);
  merge->excludes(prune)->excludes(dry_run);
  prune->excludes(dry_run);
}

}  // namespace

void add_batch(CLI::App& app, Context& context) {
  auto flags = std::make_shared<BatchFlags>();
  CLI::App* command = app.add_subcommand("batch", "Edit a folder of pictures; go on where it was left");
  add_place_flags(*command, flags->inputs);
  add_run_flags(*command, *flags);
  add_job_flags(*command, *flags);
  add_quality_flag(*command, *flags);
  add_input_flags(*command, *flags);
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer(
      "Examples:\n  step1x batch -i photos/ -o edited/ -p \"remove the background\"\n  step1x batch --status edited/");
  command->callback(
      [flags, &context] { context.run = [flags, &context] { return run_batch_command(*flags, context); }; });
}

}  // namespace step1x::cli
