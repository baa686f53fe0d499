// step1x edit: one picture, one prompt, one result.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>

#include "base/process.hpp"
#include "commands.hpp"
#include "edit_output.hpp"
#include "edit_picture.hpp"
#include "image/encode.hpp"
#include "ipc/picture.hpp"
#include "job.hpp"
#include "model.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxPrompt = 65'536;
constexpr std::string_view kIsolated = "isolated-";

struct EditOptions {
  std::string input;
  std::optional<std::string> prompt;
  std::optional<std::string> prompt_file;
  std::optional<std::string> negative_prompt;
  std::optional<std::string> output;
  std::optional<std::string> format;
  std::optional<std::int64_t> size;
  std::optional<std::int64_t> steps;
  std::optional<double> guidance;
  std::optional<std::int64_t> seed;
  std::optional<std::string> model;
  std::optional<std::string> device;
  std::optional<std::string> keep;
  std::optional<std::string> timeout;
  bool progress_json = false;
  bool isolated = false;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// -1 is a seed that nobody can give, so it can mean "any": other tools have it that way.
std::int64_t choose_seed(const std::optional<std::int64_t>& given) {
  if (given && *given >= 0) return *given;
  std::random_device random;
  return static_cast<std::int64_t>(((static_cast<std::uint64_t>(random()) << 32) | random()) & ((1ULL << 53) - 1));
}

std::string read_prompt(const EditOptions& options) {
  std::string text = options.prompt.value_or("");
  if (options.prompt_file) {
    const bool from_stdin = *options.prompt_file == "-";
    if (from_stdin && options.input == "-")
      throw Error(ErrorCode::usage, "--prompt-file -: standard input is the picture already");
    std::ifstream file(from_stdin ? "/dev/stdin" : *options.prompt_file);
    if (!file) throw Error::format(ErrorCode::usage, "--prompt-file {}: {}", *options.prompt_file, errno_text());
    text.resize(kMaxPrompt + 1);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  }
  if (text.size() > kMaxPrompt) throw Error::format(ErrorCode::usage, "the prompt is over {} bytes long", kMaxPrompt);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error(ErrorCode::usage, "the prompt is empty: say what to change with -p \"...\" or --prompt-file");
  }
  return text;
}

// The JSON library would put a replacement character for every wrong byte: another prompt than the one given.
void check_utf8(const std::string& text, const char* what) {
  try {
    [[maybe_unused]] const std::string ignored = ipc::Json(text).dump();
  } catch (const ipc::Json::exception&) {
    throw Error::format(ErrorCode::usage, "{}: not valid UTF-8", what);
  }
}

config::Loaded apply_flags(config::Loaded loaded, const EditOptions& options) {
  config::Settings& settings = loaded.settings;
  settings.negative_prompt = options.negative_prompt.value_or(settings.negative_prompt);
  settings.size = options.size.value_or(settings.size);
  settings.steps = options.steps.value_or(settings.steps);
  settings.guidance = options.guidance.value_or(settings.guidance);
  settings.model = options.model.value_or(settings.model);
  settings.device = options.device.value_or(settings.device);
  if (options.timeout) settings.timeout = parse_duration(*options.timeout, "--timeout");
  if (options.keep) {
    // On the GPU for this long; the engine that holds it must not go before.
    settings.offload_delay = parse_duration(*options.keep, "--keep");
    const bool forever = settings.offload_delay < Duration::zero();
    if (forever) settings.idle_timeout = kNever;
    if (settings.idle_timeout >= Duration::zero())
      settings.idle_timeout = std::max(settings.idle_timeout, settings.offload_delay);
  }
  return loaded;
}

// What the user's environment allows, as it is: never an index into it.
std::string visible_devices() {
  for (const char* name : {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0' && std::string_view(value) != "all") return value;
  }
  return "";
}

UniqueFd lock_folder(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

// Directories of commands that were killed before their worker was there to remove them: nobody holds their lock. A
// young one may belong to somebody who is just about to take it.
void remove_abandoned(const std::filesystem::path& parent) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    if (!entry.path().filename().string().starts_with(kIsolated)) continue;
    const auto age = std::filesystem::file_time_type::clock::now() - entry.last_write_time(ignored);
    if (age < std::chrono::minutes(1) || !lock_folder(entry.path())) continue;
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

// A worker of this command's own, in a new directory; it removes the directory when it leaves, and leaves when this
// process ends.
ipc::ClientOptions isolated(ipc::ClientOptions options) {
  const ipc::Directory parent = ipc::Directory::open(options.directory);
  remove_abandoned(parent.path());
  std::string path = (parent.path() / fmt::format("{}XXXXXX", kIsolated)).string();
  if (::mkdtemp(path.data()) == nullptr)
    throw Error::format(ErrorCode::worker_failed, "cannot make {}: {}", path, errno_text());
  // Held to the end of the process.
  static const UniqueFd mine = lock_folder(path);
  options.directory.path = path;
  options.until_pid = ::getpid();
  options.temporary = true;
  return options;
}

ipc::Json make_request(const config::Loaded& loaded, const EditOptions& options, const std::string& prompt,
                       const InputPicture& picture) {
  const config::Settings& settings = loaded.settings;
  ipc::Json request = {{"op", "edit"},
                       {"fd", "image"},
                       {"width", picture.width},
                       {"height", picture.height},
                       {"prompt", prompt},
                       {"negative_prompt", settings.negative_prompt},
                       {"size", settings.size},
                       {"steps", settings.steps},
                       {"guidance", settings.guidance},
                       {"seed", choose_seed(options.seed)},
                       {"model", resolve_model(loaded)},
                       {"device", settings.device},
                       {"priority", "interactive"},
                       {"timers", timers(settings)}};
  if (const std::string visible = visible_devices(); !visible.empty()) request["visible_devices"] = visible;
  if (const char* torch = std::getenv("STEP1X_TORCH_DIR"); torch != nullptr && *torch != '\0') {
    request["torch_dir"] = std::filesystem::absolute(torch).string();
  }
  return request;
}

std::string record(const ipc::Json& request, const JobResult& result, const EditOptions& options,
                   const std::string& path, const ipc::Json& client_timings) {
  nlohmann::ordered_json out;
  out["output"] = path;
  out["input"] = options.input;
  for (const char* key : {"width", "height", "seed"}) out[key] = result.done[key];
  for (const char* key : {"prompt", "negative_prompt", "size", "steps", "guidance", "model", "device"})
    out[key] = request[key];
  out["timings"] = result.done.value("timings", ipc::Json::object());
  for (const auto& [name, seconds] : client_timings.items()) out["timings"][name] = seconds;
  out["worker"] = {{"pid", result.worker.pid},
                   {"version", result.worker.version},
                   {"build", result.worker.build},
                   {"spawned", result.spawned}};
  return out.dump(-1, ' ', false, ipc::Json::error_handler_t::replace) + "\n";
}

ExitCode run_edit(const EditOptions& options, const Context& context) {
  const auto start = Clock::now();
  const config::Loaded loaded = apply_flags(load_settings(context), options);
  const std::string prompt = read_prompt(options);
  check_utf8(prompt, "--prompt");
  check_utf8(loaded.settings.negative_prompt, "--negative-prompt");
  const EditOutput output(options.input, options.output, options.format);
  if (output.is_stdout() && context.json)
    throw Error(ErrorCode::usage, "--json and --output -: both want standard output; choose one");
  resolve_model(loaded);
  InputPicture picture = read_picture(options.input, loaded.settings);
  ipc::Json client_timings;
  client_timings["read"] = seconds_since(start);

  const ipc::Json request = make_request(loaded, options, prompt, picture);
  JobOptions job;
  job.client = client_options(loaded.settings, context);
  if (options.isolated) job.client = isolated(std::move(job.client));
  job.client.timeout = loaded.settings.timeout;
  job.timeout = loaded.settings.timeout;
  job.verbose = context.verbose;
  Progress progress(Progress::choose(context.quiet, options.progress_json));
  const JobResult result = run_job(request, picture.fd.get(), job, progress);
  progress.clear();

  const auto encode = Clock::now();
  const int width = result.done.at("width").get<int>();
  const int height = result.done.at("height").get<int>();
  const ipc::PictureView pixels(result.picture.get(), width, height);
  const std::vector<std::byte> bytes = image::encode(pixels.pixels(), width, height, output.format());
  const std::string path = output.write(bytes);
  client_timings["write"] = seconds_since(encode);
  client_timings["all"] = seconds_since(start);
  if (context.json) {
    print(record(request, result, options, path, client_timings));
  } else if (!output.is_stdout()) {
    print(path + "\n");
  }
  if (context.verbose)
    say(fmt::format("step1x: seed {}, {:.2f} s", request["seed"].get<std::int64_t>(), seconds_since(start)));
  return ExitCode::ok;
}

}  // namespace

void add_edit(CLI::App& app, Context& context) {
  auto options = std::make_shared<EditOptions>();
  CLI::App* command = app.add_subcommand("edit", "Edit one picture as a prompt says");
  command->add_option("input", options->input, "The picture to edit, or - for standard input")
      ->required()
      ->type_name("PICTURE");
  auto* prompt = command->add_option("-p,--prompt", options->prompt, "What to change, in words")->type_name("TEXT");
  command->add_option("--prompt-file", options->prompt_file, "Read the prompt from this file, or - for standard input")
      ->type_name("FILE")
      ->excludes(prompt);
  command->add_option("-n,--negative-prompt", options->negative_prompt, "What to keep away from")->type_name("TEXT");
  command
      ->add_option(
          "-o,--output", options->output,
          "Write here, replacing what is there; - for standard output; default: <input>-edited.png, replacing nothing")
      ->type_name("FILE");
  command
      ->add_option("--format", options->format,
                   "png, jpeg, webp, tiff, gif, avif or heic; default: by the name of the output")
      ->type_name("FORMAT");
  command
      ->add_option("--size", options->size,
                   "Edit at the area of a square with this side: 512, 768, 1024 or another; default 1024")
      ->type_name("N")
      ->check(CLI::Range(16, 4096));
  command->add_option("--steps", options->steps, "Denoising steps; default 28")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command->add_option("--guidance,--cfg-scale", options->guidance, "How closely to follow the prompt; default 6.0")
      ->type_name("X")
      ->check(CLI::Range(0.0, 100.0));
  command
      ->add_option("--seed", options->seed,
                   "The same seed gives the same picture; default: a new one, which --json and -v tell")
      ->type_name("N")
      ->check(CLI::Range(static_cast<std::int64_t>(-1), static_cast<std::int64_t>(1) << 53));
  command->add_option("--model", options->model, "A model folder, or a name from the configuration")
      ->type_name("MODEL");
  command->add_option("--device", options->device, "auto, cpu, cuda:N or a GPU's UUID; default auto")
      ->type_name("DEVICE");
  command
      ->add_option("--keep", options->keep,
                   "Keep the model on the GPU for this long afterwards: 90s, 10m, 0, -1 for ever")
      ->type_name("DURATION");
  command->add_option("--timeout", options->timeout, "Give up after this long, with exit code 75")
      ->type_name("DURATION");
  command->add_flag("--progress-json", options->progress_json, "Print every event as a line of JSON on standard error");
  command->add_flag("--isolated", options->isolated, "Use a worker of its own, which ends with this command");
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->footer(
      "Examples:\n  step1x edit photo.jpg -p \"make the sky red\" -o out.png\n  step1x edit - -p \"as a pencil "
      "drawing\" -o - < in.png > out.png");
  command->callback([options, &context] { context.run = [options, &context] { return run_edit(*options, context); }; });
}

}  // namespace step1x::cli
