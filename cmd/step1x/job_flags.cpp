#include "job_flags.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/utf8.hpp"
#include "model_defaults.hpp"
#include "request/prompt_text.hpp"
#include "resolve_model.hpp"
#include "settings.hpp"

namespace step1x::cli {
namespace {

// -1 is a seed that nobody can give, so it can mean "any": other tools have it that way.
std::int64_t choose_seed(const std::optional<std::int64_t>& given, int count) {
  const auto most = static_cast<std::int64_t>(request::parameter("seed").high) - (count - 1);
  if (given && *given > most)
    throw Error::format(ErrorCode::usage, "--seed {} --count {}: the last seed would be over 2^53", *given, count);
  if (given && *given >= 0) return *given;
  std::random_device random;
  const auto any =
      static_cast<std::int64_t>(((static_cast<std::uint64_t>(random()) << 32) | random()) & ((1ULL << 53) - 1));
  return std::min(any, most);
}

// -n is how many, to people who know other tools: they would get one picture, and of other words than they meant.
CLI::Validator no_number() {
  return {[](const std::string& given) {
            const bool digits =
                !given.empty() && std::ranges::all_of(given, [](unsigned char c) { return std::isdigit(c) != 0; });
            if (!digits) return std::string();
            return fmt::format(
                "'{}' is no words to keep away from; for {} pictures of one prompt, edit and generate have "
                "--count {}",
                given, given, given);
          },
          ""};
}

// What the user's environment allows, as it is: never an index into it.
void add_visible_devices(request::Json& members) {
  const char* cuda = std::getenv("CUDA_VISIBLE_DEVICES");
  const char* container = std::getenv("NVIDIA_VISIBLE_DEVICES");
  // Set to nothing it hides all of them.
  if (cuda != nullptr) members["visible_devices"] = *cuda == '\0' ? "-1" : cuda;
  if (container != nullptr && *container != '\0' && std::string_view(container) != "all")
    members["container_devices"] = container;
}

// The flag that a parameter has in the table.
void add_flag_of(const request::Parameter& parameter, CLI::App& command, request::Json& given) {
  const std::string names(parameter.flags);
  const std::string help(parameter.help);
  const auto take = [&given, name = std::string(parameter.name)](const auto& value) { given[name] = value; };
  CLI::Option* option = nullptr;
  switch (parameter.type) {
    case request::Type::boolean:
      command.add_flag_function(names, [take](std::int64_t times) { take(times > 0); }, help);
      return;
    case request::Type::integer:
      option =
          command.add_option_function<std::int64_t>(names, take, help)
              ->transform(decimal())
              ->check(CLI::Range(static_cast<std::int64_t>(parameter.low), static_cast<std::int64_t>(parameter.high)));
      break;
    case request::Type::number:
      option = command.add_option_function<double>(names, take, help)->check(CLI::Range(parameter.low, parameter.high));
      break;
    case request::Type::word:
      option = command.add_option_function<std::string>(names, take, help)
                   ->check(one_of({parameter.words.begin(), parameter.words.end()}));
      break;
    case request::Type::text:
    case request::Type::size:
    case request::Type::signed_size:
    case request::Type::duration:
      option = command.add_option_function<std::string>(names, take, help);
      break;
  }
  option->type_name(std::string(parameter.value_name));
}

// "--guidance" of "--guidance,--cfg-scale", "--negative-prompt" of "-n,--negative-prompt".
std::string flag_of(const request::Parameter& parameter) {
  const std::string_view flags = parameter.flags.substr(parameter.flags.find("--"));
  return std::string(flags.substr(0, flags.find(',')));
}

void set_parameters(request::Json& members, const request::Json& given, const request::Json& set,
                    const request::Json& of_model) {
  for (const request::Parameter& parameter : request::parameters()) {
    if (parameter.flags.empty()) continue;
    const std::string name(parameter.name);
    request::Json written = request::fallback(parameter);
    for (const request::Json* source : {&given, &set, &of_model}) {
      if (!source->contains(name) || source->at(name).is_null()) continue;
      written = source->at(name);
      break;
    }
    request::set(members, parameter, request::to_sent(parameter, written, flag_of(parameter)));
  }
}

}  // namespace

void add_model_flags(CLI::App& command, JobFlags& flags) {
  command
      .add_option("--model", flags.model,
                  "A model folder, a hub id in the local cache, a name from the configuration, or demo")
      ->type_name("MODEL");
  for (const request::Parameter& parameter : request::parameters()) {
    if (!parameter.flags.empty() && !parameter.picture) add_flag_of(parameter, command, flags.parameters);
  }
  command
      .add_option("--keep", flags.keep, "Keep the model on the GPU for this long afterwards: 90s, 10m, 0, -1 for ever")
      ->type_name("DURATION");
  command
      .add_option("--idle-timeout", flags.idle_timeout,
                  "Give the GPU back altogether this long afterwards: 5m, 0, -1 for never; see --keep")
      ->type_name("DURATION");
  command.add_option("--timeout", flags.timeout, "Give up after this long, with exit code 75")->type_name("DURATION");
  command.add_flag("--progress-json", flags.progress_json, "Print every event as a line of JSON on standard error");
}

void add_job_flags(CLI::App& command, JobFlags& flags) {
  auto* prompt = command.add_option("-p,--prompt", flags.prompt, "What to do, in words")->type_name("TEXT");
  command.add_option("--prompt-file", flags.prompt_file, "Read the prompt from this file, or - for standard input")
      ->type_name("FILE")
      ->excludes(prompt);
  command
      .add_option("--format", flags.format,
                  "png, jpeg, webp, tiff, gif, avif or heic; default: by the name of the output")
      ->type_name("FORMAT");
  command
      .add_option("--seed", flags.seed,
                  "The same seed gives the same picture; default: a new one, which --json and -v tell")
      ->type_name("N")
      ->transform(decimal())
      ->check(CLI::Range(std::int64_t{-1}, static_cast<std::int64_t>(request::parameter("seed").high)));
  for (const request::Parameter& parameter : request::parameters()) {
    if (!parameter.flags.empty() && parameter.picture && !parameter.needs_input)
      add_flag_of(parameter, command, flags.parameters);
  }
  command.get_option("--negative-prompt")->check(no_number());
  add_model_flags(command, flags);
  command.add_flag("--no-metadata", flags.no_metadata, "Do not write into the picture how it was made");
  command.add_flag("--isolated", flags.isolated, "Use a worker of its own, which ends with this command");
}

void add_input_flags(CLI::App& command, JobFlags& flags) {
  for (const request::Parameter& parameter : request::parameters()) {
    if (!parameter.flags.empty() && parameter.needs_input) add_flag_of(parameter, command, flags.parameters);
  }
  command.add_flag("--strip", flags.strip, "Leave the EXIF of the input out: camera, place, author");
}

void add_count_flag(CLI::App& command, JobFlags& flags) {
  command
      .add_option("--count", flags.count,
                  "Make so many pictures: with this seed, the next one and so on, and -2, -3 in their names")
      ->type_name("N")
      ->transform(decimal())
      ->check(CLI::Range(1, 1000));
}

void add_quality_flag(CLI::App& command, JobFlags& flags) {
  command
      .add_option("--quality", flags.quality,
                  "Of a JPEG, WebP, AVIF or HEIC: 1 to 100; default: 95, and 85 for AVIF and HEIC")
      ->type_name("N")
      ->transform(decimal())
      ->check(CLI::Range(1, 100));
}

std::string read_prompt(const JobFlags& flags, bool stdin_taken) {
  std::string text = flags.prompt.value_or("");
  if (flags.prompt_file) {
    const bool from_stdin = *flags.prompt_file == "-";
    if (from_stdin && stdin_taken)
      throw Error(ErrorCode::usage, "--prompt-file -: standard input is the picture already");
    // Standard input is the descriptor that it is: a socket cannot be opened by its name.
    UniqueFd named;
    if (!from_stdin) named.reset(::open(flags.prompt_file->c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!from_stdin && !named)
      throw Error::format(ErrorCode::usage, "--prompt-file {}: {}", *flags.prompt_file, errno_text());
    text = request::read_prompt_text(from_stdin ? STDIN_FILENO : named.get(), "--prompt-file " + *flags.prompt_file);
  } else {
    request::to_sent(request::parameter("prompt"), text, "--prompt");
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error(ErrorCode::usage, "the prompt is empty: say what to change with -p \"...\" or --prompt-file");
  }
  return text;
}

config::Loaded apply_flags(config::Loaded loaded, const JobFlags& flags) {
  config::Settings& settings = loaded.settings;
  settings.model = flags.model.value_or(settings.model);
  settings.metadata = settings.metadata && !flags.no_metadata;
  settings.strip = settings.strip || flags.strip;
  if (flags.timeout) settings.timeout = parse_duration(*flags.timeout, "--timeout");
  if (flags.quality) settings.quality = *flags.quality;
  if (flags.idle_timeout) settings.idle_timeout = parse_duration(*flags.idle_timeout, "--idle-timeout");
  if (flags.keep) {
    // On the GPU for this long; the engine that holds it must not go before.
    settings.offload_delay = parse_duration(*flags.keep, "--keep");
    const bool forever = settings.offload_delay < Duration::zero();
    if (forever) settings.idle_timeout = kNever;
    if (settings.idle_timeout >= Duration::zero())
      settings.idle_timeout = std::max(settings.idle_timeout, settings.offload_delay);
  }
  return loaded;
}

request::Json job_members(const config::Loaded& loaded, const JobFlags& flags, const std::string& prompt) {
  const config::Settings& settings = loaded.settings;
  const std::string model = resolve_model(loaded);
  // Its place may be named in an old encoding, and no other process can be told of that.
  request::to_sent(request::parameter("model"), model, "the model " + printable(model));
  request::Json members = {{"prompt", prompt},
                           {"seed", choose_seed(flags.seed, flags.count)},
                           {"model", model},
                           {"priority", "interactive"},
                           {"timers", timers(settings)}};
  set_parameters(members, flags.parameters, settings.job, model_defaults(model));
  add_visible_devices(members);
  if (const char* torch = std::getenv("STEP1X_TORCH_DIR"); torch != nullptr && *torch != '\0') {
    const std::string folder = std::filesystem::absolute(torch).string();
    if (find_invalid_utf8(folder))
      throw Error::format(ErrorCode::usage, "STEP1X_TORCH_DIR {}: not valid UTF-8", printable(folder));
    members["torch_dir"] = folder;
  }
  return members;
}

}  // namespace step1x::cli
