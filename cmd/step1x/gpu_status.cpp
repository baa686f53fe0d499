// step1x gpu status, step1x worker status: where the model is. Starts nothing and resets no timer.
#include <unistd.h>

#include <memory>
#include <thread>

#include "base/size.hpp"
#include "base/utf8.hpp"
#include "client/status.hpp"
#include "commands.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

using Json = nlohmann::ordered_json;

struct StatusOptions {
  std::optional<double> watch;
};

std::string host_memory(const Json& status) {
  const Json& arena = status.value("arena", Json());
  const Json& refused = status.value("arena_refused", Json());
  if (arena.is_object()) {
    const auto resident = arena.at("resident_bytes").get<std::uint64_t>();
    const auto huge = arena.at("huge_bytes").get<std::uint64_t>();
    return fmt::format("host     {} of weights{}, {} in huge pages\n", format_size(resident),
                       arena.at("filled").get<bool>() ? "" : " so far", format_size(huge));
  }
  return refused.is_string() ? fmt::format("host     no weights: {}\n", printable(refused.get<std::string>())) : "";
}

std::string on_devices(const Json& status) {
  std::string text;
  for (const Json& device : status.at("devices")) {
    const std::string name = device.at("device").get<std::string>();
    if (const Json& plan = device.value("plan", Json()); plan.is_object()) {
      text += fmt::format("plan     {} on {}: {}\n", plan.at("kind").get<std::string>(), name,
                          printable(plan.at("reason").get<std::string>()));
    }
    if (const Json& copies = device.value("copies", Json()); copies.is_object()) {
      text += fmt::format("copies   {} to {}: {}/s\n", copies.at("way").get<std::string>(), name,
                          format_size(static_cast<std::uint64_t>(copies.at("bytes_per_second").get<double>())));
    }
  }
  return text;
}

std::string in_words(const Json& status) {
  const Json& queue = status.at("queue");
  const Json& statistics = status.at("statistics");
  std::string text = fmt::format("model    {} ({})\n", status.at("model_location").get<std::string>(),
                                 status.at("state").get<std::string>());
  if (status.at("worker").is_null()) return text + "worker   none\n";
  const Json& worker = status.at("worker");
  text +=
      fmt::format("worker   {}, step1x {} ({}), up {}\n", worker.at("pid").get<int>(),
                  worker.at("version").get<std::string>(), worker.at("build").get<std::string>(),
                  format_duration(std::chrono::seconds(static_cast<std::int64_t>(worker.at("uptime").get<double>()))));
  for (const Json& limit : worker.value("limits", Json::array()))
    text += fmt::format("limited  {}\n", printable(limit.get<std::string>()));
  text += fmt::format("memory   {:.2f} GB allocated, {:.2f} GB reserved\n",
                      status.at("gpu_memory_allocated_gb").get<double>(),
                      status.at("gpu_memory_reserved_gb").get<double>());
  text += host_memory(status) + on_devices(status);
  text += fmt::format("queue    {} running, {} waiting, {} leases\n", queue.at("running").get<int>(),
                      queue.at("waiting").get<int>(), queue.at("leases").get<int>());
  text += fmt::format("loads    {} from disk, {} from memory, {} offloads, {} releases\n",
                      statistics.at("total_loads").get<int>(), statistics.at("cpu_to_gpu").get<int>(),
                      statistics.at("gpu_to_cpu").get<int>(), statistics.at("full_releases").get<int>());
  text += fmt::format("idle     {:.0f} s", status.at("idle_time").get<double>());
  if (const Json& next = status.at("next"); !next.is_null()) {
    text += fmt::format(", {} in {:.0f} s", next.at("transition").get<std::string>(), next.at("seconds").get<double>());
  }
  return text + "\n";
}

ExitCode run_status(const StatusOptions& options, const Context& context) {
  ipc::ClientOptions client = client_options(load_settings(context).settings, context);
  client.timeout = std::chrono::seconds(10);
  for (;;) {
    const Json status = client::read_status(client);
    if (context.json) {
      // A line each when repeated, so that a reader can tell them apart.
      print_json(status, options.watch ? -1 : 2);
    } else {
      if (options.watch && ::isatty(STDOUT_FILENO) == 1) print("\x1b[H\x1b[J");
      print(in_words(status));
    }
    if (!options.watch) return ExitCode::ok;
    std::this_thread::sleep_for(std::chrono::duration<double>(*options.watch));
  }
}

}  // namespace

void add_gpu_status(CLI::App& parent, Context& context) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command = parent.add_subcommand("status", "Say where the model is, and what the worker does; start none");
  command->add_option("--watch", options->watch, "Repeat, every SECONDS (2), until interrupted")
      ->expected(0, 1)
      ->default_str("2")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 86400.0));
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->callback(
      [options, &context] { context.run = [options, &context] { return run_status(*options, context); }; });
}

}  // namespace step1x::cli
