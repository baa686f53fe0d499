#include "settings.hpp"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "terminal.hpp"

namespace step1x::cli {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

pid_t parent_of(pid_t pid) {
  // /proc/PID/stat: "pid (name) state ppid ..."; a name may hold spaces and parentheses.
  const std::string stat = first_line(fmt::format("/proc/{}/stat", pid));
  const auto after_name = stat.rfind(')');
  if (after_name == std::string::npos || after_name + 4 >= stat.size()) return 0;
  return static_cast<pid_t>(std::strtol(stat.c_str() + after_name + 4, nullptr, 10));
}

// The job's outermost process: the ancestor that Slurm's step daemon started. 0 where there is none.
pid_t slurm_job_process() {
  for (pid_t pid = ::getpid(); pid > 1;) {
    const pid_t parent = parent_of(pid);
    if (parent > 1 && first_line(fmt::format("/proc/{}/comm", parent)).starts_with("slurmstepd")) return pid;
    pid = parent;
  }
  return 0;
}

}  // namespace

config::Loaded load_settings(const Context& context) {
  return config::load(context.config_file);
}

ipc::ClientOptions client_options(const config::Settings& settings, const Context& context) {
  ipc::ClientOptions options;
  options.directory.path = settings.runtime_dir;
  // Waiting is no error: cron and scripts hear nothing of it.
  if (!context.quiet && (context.verbose || stderr_is_terminal()))
    options.notice = [](const std::string& line) { say("step1x: " + line); };
  const char* job = std::getenv("SLURM_JOB_ID");
  if (settings.runtime_dir.empty() && job != nullptr && *job != '\0' &&
      std::string_view(job).find_first_not_of("0123456789_") == std::string_view::npos) {
    options.directory.path = ipc::Directory::resolve({}) / (std::string("job-") + job);
    options.until_pid = slurm_job_process();
    options.temporary = true;
  }
  return options;
}

ipc::Json timers(const config::Settings& settings) {
  return {{"offload_delay", settings.offload_delay.count()},
          {"idle_timeout", settings.idle_timeout.count()},
          {"host_timeout", settings.host_timeout.count()},
          {"exit_timeout", settings.exit_timeout.count()},
          {"auto_monitor", settings.auto_monitor}};
}

}  // namespace step1x::cli
