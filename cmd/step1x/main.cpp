// step1x: the client. Parses the command line and runs one command; the one place where an error becomes a line and an
// exit code.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "base/process.hpp"
#include "client/signals.hpp"
#include "commands.hpp"
#include "config/variables.hpp"
#include "terminal.hpp"
#include "words.hpp"

using namespace step1x;

namespace {

ExitCode report(const cli::Context& context, ErrorCode code, const std::string& message) {
  if (code == ErrorCode::cancelled || code == ErrorCode::timeout) cli::hurry();
  cli::say_error(message);
  if (context.json) cli::print_error_record(code, message);
  return exit_code(code);
}

// A setting that was misspelt would hold its default without a word.
void warn_of_unknown_variables() {
  std::vector<std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) environment.emplace_back(*entry);
  for (const auto& [name, near] : config::unknown_variables(environment)) {
    cli::say_error(fmt::format("the environment variable {} is none of step1x{}", name,
                               near.empty() ? "; step1x.toml(5) lists them" : ": did you mean " + near + "?"));
  }
}

ExitCode run(int argc, char** argv, cli::Context& context) {
  CLI::App app;
  cli::define(app, context);
  const cli::Words looked_through = cli::look_through(app, {argv + 1, argv + argc});
  context.json = looked_through.json;
  if (looked_through.problem)
    return report(context, ErrorCode::usage, cli::with_help(*looked_through.problem, looked_through.command));
  try {
    std::vector<std::string> words = cli::as_they_are(looked_through.parsed);
    std::ranges::reverse(words);  // as this parser wants them
    app.parse(std::move(words));
  } catch (const CLI::Success& help_or_version) {
    std::ostringstream text;
    app.exit(help_or_version, text);
    cli::print(text.str());
    return ExitCode::ok;
  } catch (const CLI::ParseError& problem) {
    return report(context, ErrorCode::usage, cli::with_help(one_line(problem.what()), looked_through.command));
  }
  if (!context.quiet) warn_of_unknown_variables();
  return context.run();
}

}  // namespace

int main(int argc, char** argv) {
  begin_process();
  client::leave_at_signals();
  cli::Context context;
  try {
    return static_cast<int>(run(argc, argv, context));
  } catch (const Error& problem) {
    return static_cast<int>(report(context, problem.code(), problem.what()));
  } catch (const std::filesystem::filesystem_error& problem) {
    return static_cast<int>(
        report(context, ErrorCode::failure,
               fmt::format("cannot look at {}: {}", problem.path1().empty() ? "." : problem.path1().string(),
                           problem.code().message())));
  } catch (const std::exception& problem) {
    return static_cast<int>(report(context, ErrorCode::failure, problem.what()));
  }
}
