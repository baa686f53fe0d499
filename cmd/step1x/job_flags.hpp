// The flags that every command with a job for the model has, and what they make of settings and request.
#pragma once

#include <optional>
#include <string>

#include "commands.hpp"
#include "config/config.hpp"
#include "request/parameters.hpp"

namespace step1x::cli {

struct JobFlags {
  // What the flags of the parameters' table say, as it is written there.
  request::Json parameters = request::Json::object();
  std::optional<std::string> prompt;
  std::optional<std::string> prompt_file;
  std::optional<std::string> format;
  std::optional<std::int64_t> seed;
  std::optional<std::string> model;
  std::optional<std::string> keep;
  std::optional<std::string> idle_timeout;
  std::optional<std::string> timeout;
  std::optional<int> quality;
  int count = 1;
  bool no_metadata = false;
  bool strip = false;  // where there is an input
  bool progress_json = false;
  bool isolated = false;
};

void add_job_flags(CLI::App& command, JobFlags& flags);
// Those of them that are about the model and what becomes of it, and not about a picture.
void add_model_flags(CLI::App& command, JobFlags& flags);
// What else a command has that starts from a picture.
void add_input_flags(CLI::App& command, JobFlags& flags);
// --count and --quality.
void add_count_flag(CLI::App& command, JobFlags& flags);
void add_quality_flag(CLI::App& command, JobFlags& flags);

// A flag goes before a setting. Throws Error(usage).
config::Loaded apply_flags(config::Loaded loaded, const JobFlags& flags);

// The prompt itself, from its flag, file or standard input. stdin_taken: a picture comes from there already. Throws
// Error(usage) when there is none, or one too long or not UTF-8.
std::string read_prompt(const JobFlags& flags, bool stdin_taken);

// A job's members of protocol.md section 4, its seed such that --count more of them can follow: a flag goes before what
// the user has set, that before what the model is made for, that before the table's own. Throws Error(usage),
// Error(model_missing).
request::Json job_members(const config::Loaded& loaded, const JobFlags& flags, const std::string& prompt);

}  // namespace step1x::cli
