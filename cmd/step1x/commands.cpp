#include "commands.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "base/version.hpp"

namespace step1x::cli {
namespace {

CLI::App& add_group(CLI::App& app, const char* name, const char* help) {
  CLI::App* group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  return *group;
}

// In front of a bracket it hides a value from the parser until the value's option takes it away. Nobody types it.
constexpr std::string_view kMark = "\x1a\x01";

void hide_brackets(std::string& word) {
  if (!word.ends_with(']')) return;
  // A value by itself, that of -x[...], and that of --name=[...].
  std::size_t value = 0;
  if (word.size() > 2 && word[0] == '-' && word[1] != '-') value = 2;
  if (word.starts_with("--")) value = word.find('=') + 1;
  if (word[value] == '[') word.insert(value, kMark);
}

void show_brackets(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    option->transform({[](std::string& value) {
                         // Also from the middle of what only looks like an option, behind --.
                         if (const auto at = value.find(kMark); at != std::string::npos) value.erase(at, kMark.size());
                         return std::string();
                       },
                       ""});
  }
  for (CLI::App* command : app.get_subcommands({})) show_brackets(*command);
}

}  // namespace

std::vector<std::string> as_they_are(std::vector<std::string> words) {
  std::ranges::for_each(words, hide_brackets);
  return words;
}

void add_common_flags(CLI::App& command, Context& context) {
  command.add_option("--config", context.config_file, "Read this configuration file instead of the default one")
      ->type_name("FILE");
  command.add_flag("-q,--quiet", context.quiet, "Say nothing but errors");
  command.add_flag("-v,--verbose", context.verbose, "Say more, on standard error");
}

void add_json_flag(CLI::App& command, Context& context) {
  command.add_flag("--json", context.json, "Print one JSON record on standard output");
}

CLI::Validator one_of(std::vector<std::string> words) {
  return {[words = std::move(words)](const std::string& given) {
            if (std::find(words.begin(), words.end(), given) != words.end()) return std::string();
            return fmt::format("'{}' is none of {}", given, fmt::join(words, ", "));
          },
          ""};
}

CLI::Validator decimal() {
  return {[](std::string& given) {
            const std::size_t digits = given.find_first_not_of("+-");
            const bool other_base = digits != std::string::npos && given[digits] == '0' && digits + 1 < given.size() &&
                                    std::isalpha(static_cast<unsigned char>(given[digits + 1])) != 0;
            if (digits == std::string::npos || other_base) return fmt::format("'{}' is no whole number", given);
            const std::size_t first = std::min(given.find_first_not_of('0', digits), given.size() - 1);
            given.erase(digits, first - digits);
            return std::string();
          },
          ""};
}

void define(CLI::App& app, Context& context) {
  app.name("step1x");
  app.description("Edit pictures with Step1X-Edit. A worker in the background keeps the model for the next call.");
  app.set_version_flag("--version", fmt::format("step1x {} ({})", kVersion, kBuildId));
  app.require_subcommand(1);
  app.footer("Example: step1x edit photo.jpg -p \"make the sky red\" -o out.png\nManual: man step1x");
  add_edit(app, context);
  add_batch(app, context);
  add_generate(app, context);
  add_serve(app, context);
  CLI::App& gpu = add_group(app, "gpu", "See and move the model: status, load, offload, release, hold");
  add_gpu_status(gpu, context);
  add_gpu_load(gpu, context);
  add_gpu_offload(gpu, context);
  add_gpu_release(gpu, context);
  add_gpu_hold(gpu, context);
  CLI::App& worker = add_group(app, "worker", "The process in the background: start, stop, restart, status, log");
  add_worker_start(worker, context);
  add_worker_stop(worker, context);
  add_worker_restart(worker, context);
  add_gpu_status(worker, context);
  add_worker_log(worker, context);
  CLI::App& config = add_group(app, "config", "The configuration: show, path");
  add_config_show(config, context);
  add_config_path(config, context);
  show_brackets(app);
}

}  // namespace step1x::cli
