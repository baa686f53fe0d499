#include "job_flags.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/error.hpp"
#include "base/size.hpp"
#include "ipc/guidance_damping.hpp"
#include "model.hpp"
#include "model_defaults.hpp"
#include "settings.hpp"

namespace step1x::cli {
namespace {

constexpr std::size_t kMaxPrompt = 65'536;

// -1 is a seed that nobody can give, so it can mean "any": other tools have it that way.
std::int64_t choose_seed(const std::optional<std::int64_t>& given) {
  if (given && *given >= 0) return *given;
  std::random_device random;
  return static_cast<std::int64_t>(((static_cast<std::uint64_t>(random()) << 32) | random()) & ((1ULL << 53) - 1));
}

// The JSON library would put a replacement character for every wrong byte: another prompt than the one given.
void check_utf8(const std::string& text, const char* what) {
  try {
    [[maybe_unused]] const std::string ignored = ipc::Json(text).dump();
  } catch (const ipc::Json::exception&) {
    throw Error::format(ErrorCode::usage, "{}: not valid UTF-8", what);
  }
}

// What the user's environment allows, as it is: never an index into it.
void add_visible_devices(ipc::Json& members) {
  const char* cuda = std::getenv("CUDA_VISIBLE_DEVICES");
  const char* container = std::getenv("NVIDIA_VISIBLE_DEVICES");
  // Set to nothing it hides all of them.
  if (cuda != nullptr) members["visible_devices"] = *cuda == '\0' ? "-1" : cuda;
  if (container != nullptr && *container != '\0' && std::string_view(container) != "all")
    members["container_devices"] = container;
}

// A flag, else what the user has set, else what the model is made for, else the built-in default.
template <typename T>
T choose(const std::optional<T>& flag, const config::Loaded& loaded, std::string_view key, T setting,
         const std::optional<T>& of_model) {
  if (flag) return *flag;
  const auto entry = std::ranges::find(loaded.entries, key, &config::Entry::key);
  const bool set = entry != loaded.entries.end() && entry->source != "default";
  return set ? setting : of_model.value_or(setting);
}

}  // namespace

void add_job_flags(CLI::App& command, JobFlags& flags) {
  auto* prompt = command.add_option("-p,--prompt", flags.prompt, "What to do, in words")->type_name("TEXT");
  command.add_option("--prompt-file", flags.prompt_file, "Read the prompt from this file, or - for standard input")
      ->type_name("FILE")
      ->excludes(prompt);
  command.add_option("-n,--negative-prompt", flags.negative_prompt, "What to keep away from")->type_name("TEXT");
  command
      .add_option("--format", flags.format,
                  "png, jpeg, webp, tiff, gif, avif or heic; default: by the name of the output")
      ->type_name("FORMAT");
  command.add_option("--steps", flags.steps, "Denoising steps; default: the model's own, or 28")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command
      .add_option("--guidance,--cfg-scale", flags.guidance,
                  "How closely to follow the prompt; default: the model's own, or 6.0")
      ->type_name("X")
      ->check(CLI::Range(0.0, 100.0));
  command
      .add_option("--guidance-damping", flags.guidance_damping,
                  "Damp strong guidance in all steps, in the early ones, or never: all, early or off")
      ->type_name("WHEN")
      ->check(one_of({ipc::kGuidanceDampings.begin(), ipc::kGuidanceDampings.end()}));
  command
      .add_option("--seed", flags.seed,
                  "The same seed gives the same picture; default: a new one, which --json and -v tell")
      ->type_name("N")
      ->check(CLI::Range(static_cast<std::int64_t>(-1), static_cast<std::int64_t>(1) << 53));
  command
      .add_option("--model", flags.model,
                  "A model folder, a hub id in the local cache, a name from the configuration, or demo")
      ->type_name("MODEL");
  command.add_option("--device", flags.device, "auto, cpu, cuda:N or a GPU's UUID; default auto")->type_name("DEVICE");
  command
      .add_option("--plan", flags.plan,
                  "How much of the model is on the GPU at a time: auto, resident, staged or stream; default auto")
      ->type_name("PLAN")
      ->check(one_of({"auto", "resident", "staged", "stream"}));
  command
      .add_option("--max-vram", flags.max_vram,
                  "Use no more of the GPU's memory than SIZE (20G); negative: leave so much of what is free (-2G)")
      ->type_name("SIZE");
  command
      .add_option("--min-free-vram", flags.min_free_vram,
                  "Do not bring the model to a GPU that has less memory free than SIZE: give up with exit code 75")
      ->type_name("SIZE");
  command
      .add_option("--wait-gpu", flags.wait_gpu,
                  "Wait so long for the GPU's memory: for --min-free-vram, or for what the model needs")
      ->type_name("DURATION");
  command.add_flag("--vae-tiling", flags.vae_tiling,
                   "Take less memory: encode and decode the picture in blended tiles");
  command.add_flag("--no-metadata", flags.no_metadata, "Do not write into the picture how it was made");
  command
      .add_option("--keep", flags.keep, "Keep the model on the GPU for this long afterwards: 90s, 10m, 0, -1 for ever")
      ->type_name("DURATION");
  command.add_option("--timeout", flags.timeout, "Give up after this long, with exit code 75")->type_name("DURATION");
  command.add_flag("--progress-json", flags.progress_json, "Print every event as a line of JSON on standard error");
  command.add_flag("--isolated", flags.isolated, "Use a worker of its own, which ends with this command");
}

void add_strip_flag(CLI::App& command, JobFlags& flags) {
  command.add_flag("--strip", flags.strip, "Leave the EXIF of the input out: camera, place, author");
}

std::string read_prompt(const JobFlags& flags, bool stdin_taken) {
  std::string text = flags.prompt.value_or("");
  if (flags.prompt_file) {
    const bool from_stdin = *flags.prompt_file == "-";
    if (from_stdin && stdin_taken)
      throw Error(ErrorCode::usage, "--prompt-file -: standard input is the picture already");
    std::ifstream file(from_stdin ? "/dev/stdin" : *flags.prompt_file);
    if (!file) throw Error::format(ErrorCode::usage, "--prompt-file {}: {}", *flags.prompt_file, errno_text());
    text.resize(kMaxPrompt + 1);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  }
  if (text.size() > kMaxPrompt) throw Error::format(ErrorCode::usage, "the prompt is over {} bytes long", kMaxPrompt);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error(ErrorCode::usage, "the prompt is empty: say what to change with -p \"...\" or --prompt-file");
  }
  check_utf8(text, "--prompt");
  return text;
}

config::Loaded apply_flags(config::Loaded loaded, const JobFlags& flags) {
  config::Settings& settings = loaded.settings;
  settings.negative_prompt = flags.negative_prompt.value_or(settings.negative_prompt);
  settings.model = flags.model.value_or(settings.model);
  settings.device = flags.device.value_or(settings.device);
  settings.plan = flags.plan.value_or(settings.plan);
  settings.max_vram = flags.max_vram ? *flags.max_vram : settings.max_vram;
  settings.metadata = settings.metadata && !flags.no_metadata;
  settings.strip = settings.strip || flags.strip;
  check_utf8(settings.negative_prompt, "--negative-prompt");
  if (flags.timeout) settings.timeout = parse_duration(*flags.timeout, "--timeout");
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

ipc::Json job_members(const config::Loaded& loaded, const JobFlags& flags, const std::string& prompt) {
  const config::Settings& settings = loaded.settings;
  const std::string model = resolve_model(loaded);
  const ModelDefaults own = model_defaults(model);
  ipc::Json members = {{"prompt", prompt},
                       {"negative_prompt", settings.negative_prompt},
                       {"size", choose(flags.size, loaded, "size", settings.size, own.size)},
                       {"steps", choose(flags.steps, loaded, "steps", settings.steps, own.steps)},
                       {"guidance", choose(flags.guidance, loaded, "guidance", settings.guidance, own.guidance)},
                       {"seed", choose_seed(flags.seed)},
                       {"model", model},
                       {"device", settings.device},
                       {"priority", "interactive"},
                       {"timers", timers(settings)}};
  const std::optional<std::string> damping = flags.guidance_damping ? flags.guidance_damping : own.guidance_damping;
  if (damping) members["guidance_damping"] = *damping;
  if (flags.vae_tiling) members["vae_tiling"] = true;
  if (flags.min_free_vram) members["min_free_vram"] = parse_size(*flags.min_free_vram, "--min-free-vram");
  if (flags.wait_gpu) {
    const Duration wait = parse_duration(*flags.wait_gpu, "--wait-gpu");
    members["wait_gpu"] = (wait < Duration::zero() ? kLongestDuration : wait).count();
  }
  if (settings.plan != "auto") members["plan"] = settings.plan;
  if (!settings.max_vram.empty()) members["max_vram"] = parse_signed_size(settings.max_vram, "--max-vram");
  add_visible_devices(members);
  if (const char* torch = std::getenv("STEP1X_TORCH_DIR"); torch != nullptr && *torch != '\0') {
    members["torch_dir"] = std::filesystem::absolute(torch).string();
  }
  return members;
}

}  // namespace step1x::cli
