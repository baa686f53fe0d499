// step1x config show, step1x config path: what holds, and where it comes from.
#include "base/utf8.hpp"
#include "commands.hpp"
#include "settings.hpp"
#include "terminal.hpp"

namespace step1x::cli {
namespace {

void show(const config::Loaded& loaded, bool as_json) {
  if (as_json) {
    nlohmann::ordered_json record;
    for (const config::Entry& entry : loaded.entries)
      record[entry.key] = {{"value", entry.value}, {"source", entry.source}};
    return print_json(record, 2);
  }
  std::string text;
  for (const config::Entry& entry : loaded.entries)
    text += printable(fmt::format("{} = {}  # {}", entry.key, entry.value, entry.source)) + "\n";
  print(text);
}

}  // namespace

void add_config_show(CLI::App& config, Context& context) {
  CLI::App* command = config.add_subcommand("show", "Print every setting with its value and where it comes from");
  add_json_flag(*command, context);
  add_common_flags(*command, context);
  command->callback([&context] {
    context.run = [&context] {
      show(load_settings(context), context.json);
      return ExitCode::ok;
    };
  });
}

void add_config_path(CLI::App& config, Context& context) {
  CLI::App* command = config.add_subcommand("path", "Print where the configuration file is, or would be");
  add_common_flags(*command, context);
  command->callback([&context] {
    context.run = [&context] {
      print_path(load_settings(context).file.string());
      return ExitCode::ok;
    };
  });
}

}  // namespace step1x::cli
