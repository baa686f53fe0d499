// The command line of step1x. Each command lives in the file of its name and registers itself below a parent: its
// options, its help, and what to run. Nothing runs while arguments are parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace step1x::cli {

// What parsing leaves behind for main.
struct Context {
  std::function<ExitCode()> run;
  std::optional<std::filesystem::path> config_file;
  bool quiet = false;
  bool verbose = false;
  bool json = false;
};

// The whole parser. REQUIRES: context outlives app.
void define(CLI::App& app, Context& context);

// The words of the command line for define()'s parser, so that each arrives as it was given. The parser itself takes
// brackets around a value for a list of its own: "[a,b]" would be two words, and "[raw]" another folder.
std::vector<std::string> as_they_are(std::vector<std::string> words);

// --config, -q, -v: every command has them.
void add_common_flags(CLI::App& command, Context& context);
void add_json_flag(CLI::App& command, Context& context);
// A check that shows nothing in --help: the words are in the option's own text.
CLI::Validator one_of(std::vector<std::string> words);
// For transform(), before a whole number is read: the parser would take 010 for 8.
CLI::Validator decimal();

void add_edit(CLI::App& app, Context& context);
void add_batch(CLI::App& app, Context& context);
void add_generate(CLI::App& app, Context& context);
// Also of the worker: it is one status.
void add_gpu_status(CLI::App& parent, Context& context);
void add_gpu_load(CLI::App& gpu, Context& context);
void add_gpu_offload(CLI::App& gpu, Context& context);
void add_gpu_release(CLI::App& gpu, Context& context);
void add_gpu_hold(CLI::App& gpu, Context& context);
void add_serve(CLI::App& app, Context& context);
void add_worker_start(CLI::App& worker, Context& context);
void add_worker_restart(CLI::App& worker, Context& context);
void add_worker_stop(CLI::App& worker, Context& context);
void add_worker_log(CLI::App& worker, Context& context);
void add_config_show(CLI::App& config, Context& context);
void add_config_path(CLI::App& config, Context& context);

}  // namespace step1x::cli
