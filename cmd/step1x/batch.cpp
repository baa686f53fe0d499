// step1x batch: a folder of pictures, for hours, unattended.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "batch_items.hpp"
#include "batch_report.hpp"
#include "batch_view.hpp"
#include "commands.hpp"
#include "gpu/gpus.hpp"
#include "isolated.hpp"
#include "job_flags.hpp"
#include "picture_input.hpp"
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
  std::optional<std::string> shard;
  std::optional<std::string> deadline;
  std::optional<std::string> max_runtime;
  std::optional<std::size_t> max_failures;
  std::string devices;
  batch::Again again;
  bool dry_run = false;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Of an array job of Slurm's, whose tasks are numbered without gaps.
std::optional<batch::Shard> slurm_shard() {
  const auto number = [](const char* name) {
    const std::string text = environment(name);
    int value = -1;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    return problem == std::errc{} && end == text.data() + text.size() ? value : -1;
  };
  const int id = number("SLURM_ARRAY_TASK_ID");
  const int count = number("SLURM_ARRAY_TASK_COUNT");
  if (id < 0 || count < 1) return std::nullopt;
  const int first = number("SLURM_ARRAY_TASK_MIN");
  const int last = number("SLURM_ARRAY_TASK_MAX");
  if (first < 0 || last - first + 1 != count || id < first || id > last) {
    throw Error::format(ErrorCode::usage,
                        "the tasks of this Slurm array, {} from {} to {}, are not numbered one by one: say which part "
                        "this is with --shard",
                        count, first, last);
  }
  return batch::Shard{id - first + 1, count};
}

batch::Shard choose_shard(const std::optional<std::string>& flag) {
  if (flag) return batch::parse_shard(*flag, "--shard");
  return slurm_shard().value_or(batch::Shard{});
}

// The next time that a clock on the wall says so.
SystemClock::time_point next_time(const std::string& text) {
  int hour = -1;
  int minute = -1;
  const char* end = text.data() + text.size();
  const auto [colon, problem] = std::from_chars(text.data(), end, hour);
  const bool first = problem == std::errc{} && colon != end && *colon == ':';
  const auto [stop, second] = first ? std::from_chars(colon + 1, end, minute) : std::from_chars_result{end, problem};
  if (!first || second != std::errc{} || stop != end || hour < 0 || hour > 23 || minute < 0 || minute > 59)
    throw Error::format(ErrorCode::usage, "--deadline {}: not a time of the day like 07:00", text);
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  const bool tomorrow = hour * 60 + minute <= parts.tm_hour * 60 + parts.tm_min;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = 0;
  parts.tm_mday += tomorrow ? 1 : 0;
  parts.tm_isdst = -1;
  return SystemClock::from_time_t(std::mktime(&parts));
}

std::optional<SystemClock::time_point> choose_deadline(const BatchFlags& flags) {
  std::optional<SystemClock::time_point> end;
  if (flags.deadline) end = next_time(*flags.deadline);
  if (flags.max_runtime) {
    const Duration most = parse_duration(*flags.max_runtime, "--max-runtime");
    if (most >= Duration::zero()) {
      const auto then = SystemClock::now() + most;
      end = end ? std::min(*end, then) : then;
    }
  }
  return end;
}

std::vector<std::string> choose_devices(const std::string& text) {
  std::vector<std::string> devices;
  if (text == "all") {
    const auto nvml = Nvml::open();
    const std::size_t count =
        nvml ? allowed_gpus(nvml->gpus(), environment("CUDA_VISIBLE_DEVICES"), environment("NVIDIA_VISIBLE_DEVICES"))
                   .size()
             : 0;
    if (count == 0) throw Error(ErrorCode::usage, "--devices all: this machine has no GPU that may be used");
    for (std::size_t i = 0; i < count; ++i) devices.push_back(fmt::format("cuda:{}", i));
    return devices;
  }
  for (std::size_t at = 0; !text.empty() && at <= text.size(); at += devices.back().size() + 1)
    devices.push_back(text.substr(at, text.find(',', at) - at));
  return devices;
}

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

batch::Json run_line(const BatchWorks& works, const batch::Shard& shard) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return {{"kind", "run"},      {"time", batch::time_now()},
          {"pid", ::getpid()},  {"host", host.data()},
          {"items", works.all}, {"shard", fmt::format("{}/{}", shard.index, shard.count)}};
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
  options.deadline = choose_deadline(flags);
  options.devices = choose_devices(flags.devices);
  options.max_failures = flags.max_failures;
  options.timeout = loaded.settings.timeout;
  options.members = job_members(loaded, flags, common_prompt(flags));
  const bool seed = flags.seed && *flags.seed >= 0;
  const BatchWorks works = make_works(inputs, options.members, seed, shard);
  for (const std::string& why : works.passed_over) say_error(why + "; going on without it");
  options.members = request::without_picture(std::move(options.members));
  options.reader.folder = folder;
  options.reader.model = batch::model_stamp(options.members.at("model").get<std::string>());
  options.reader.limits = limits_of(loaded.settings);
  options.reader.again = flags.again;
  options.writer = {
      folder, options.reader.model, model_label(loaded), {loaded.settings.metadata, !loaded.settings.strip}};
  if (flags.dry_run) {
    check_outputs(works.works, folder, false);
    return report_dry_run(works.works, batch::JournalView::read(folder), options.reader, context);
  }
  batch::Journal journal = batch::Journal::open(folder, shard);
  check_outputs(works.works, folder, ignores_case(folder, shard));
  const batch::JournalView before = batch::JournalView::read(folder);
  options.client = client_options(loaded.settings, context);
  if (flags.isolated) options.client = isolated(std::move(options.client));
  journal.append(run_line(works, shard));
  BatchView view(context, flags.progress_json);
  const BatchTally tally = run_batch(works.works, before, journal, options, view);
  journal.append({{"kind", "end"},
                  {"time", batch::time_now()},
                  {"done", tally.done},
                  {"failed", tally.failed},
                  {"left", tally.left()},
                  {"seconds", tally.seconds},
                  {"stopped", tally.stopped}});
  view.end(tally, folder);
  if (tally.fatal) throw Error(*tally.fatal);
  return exit_of(tally, works.passed_over.empty());
}

ExitCode run_batch_command(const BatchFlags& flags, const Context& context) {
  if (flags.status) return report_status(*flags.status, context);
  if (flags.verify) return report_verify(*flags.verify, context);
  if (flags.merge) return report_merge(*flags.merge, context);
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
                  "A list of pictures with a prompt, a seed and so on for each: .jsonl, .csv, .tsv, or .json of "
                  "{picture: prompt}")
      ->type_name("FILE");
  command.add_flag("-0,--null", inputs.nul, "The list on standard input has a zero byte after each path");
  command.add_flag("--sidecar-prompts", inputs.sidecar_prompts, "NAME.txt beside NAME.jpg is its prompt");
  command
      .add_option("--name", inputs.name,
                  "What the pictures are called, of {stem}, {ext}, {seed} and {index}; default: {stem}.{ext}")
      ->type_name("TEMPLATE");
}

void add_run_flags(CLI::App& command, BatchFlags& flags) {
  command.add_option("--devices", flags.devices, "Spread the pictures over several: all, or cuda:0,cuda:1")
      ->type_name("DEVICES");
  command
      .add_option("--shard", flags.shard,
                  "Do one part of several, 2/5 for the second of five; default: by the task of a Slurm array")
      ->type_name("PART");
  command.add_option("--deadline", flags.deadline, "Begin no picture after this time of the day, 07:00")
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
  status->excludes(verify)->excludes(merge)->excludes(dry_run);
  verify->excludes(merge)->excludes(dry_run);
  merge->excludes(dry_run);
}

}  // namespace

void add_batch(CLI::App& app, Context& context) {
  auto flags = std::make_shared<BatchFlags>();
  CLI::App* command = app.add_subcommand("batch", "Edit a folder of pictures; go on where it was left");
  add_place_flags(*command, flags->inputs);
  add_run_flags(*command, *flags);
  add_job_flags(*command, *flags);
  add_input_flags(*command, *flags);
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer(
      "Examples:\n  step1x batch -i photos/ -o edited/ -p \"remove the background\"\n  step1x batch --status edited/");
  command->callback(
      [flags, &context] { context.run = [flags, &context] { return run_batch_command(*flags, context); }; });
}

}  // namespace step1x::cli
