// The flags that every command with a job for the model has, and what they make of settings and request.
#pragma once

#include <optional>
#include <string>

#include "commands.hpp"
#include "config/config.hpp"
#include "ipc/frame.hpp"

namespace step1x::cli {

struct JobFlags {
  std::optional<std::string> prompt;
  std::optional<std::string> prompt_file;
  std::optional<std::string> negative_prompt;
  std::optional<std::string> format;
  std::optional<std::int64_t> size;  // `edit` alone has a flag for it
  std::optional<std::int64_t> steps;
  std::optional<double> guidance;
  std::optional<std::string> guidance_damping;
  std::optional<std::int64_t> seed;
  std::optional<std::string> model;
  std::optional<std::string> device;
  std::optional<std::string> keep;
  std::optional<std::string> timeout;
  std::optional<std::string> plan;
  std::optional<std::string> max_vram;
  std::optional<std::string> min_free_vram;
  std::optional<std::string> wait_gpu;
  bool vae_tiling = false;
  bool no_metadata = false;
  bool strip = false;  // where there is an input
  bool progress_json = false;
  bool isolated = false;
};

void add_job_flags(CLI::App& command, JobFlags& flags);
void add_strip_flag(CLI::App& command, JobFlags& flags);

// A flag goes before a setting. Throws Error(usage).
config::Loaded apply_flags(config::Loaded loaded, const JobFlags& flags);

// The prompt itself, from its flag, file or standard input. stdin_taken: a picture comes from there already. Throws
// Error(usage) when there is none, or one too long or not UTF-8.
std::string read_prompt(const JobFlags& flags, bool stdin_taken);

// A job's members of protocol.md section 4. Throws Error(model_missing).
ipc::Json job_members(const config::Loaded& loaded, const JobFlags& flags, const std::string& prompt);

}  // namespace step1x::cli
