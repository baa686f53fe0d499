#include "own_process.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>

#include "base/error.hpp"
#include "base/size.hpp"
#include "memory/available.hpp"

namespace step1x {
namespace {

// The kernel ends the worker and its engines before a bystander: they are the ones that can be started anew without a
// loss.
constexpr const char* kOomScoreAdj = "800";

struct Limit {
  int resource;
  const char* name;  // in /proc/1/limits
};
constexpr std::array kLimits{
    Limit{RLIMIT_CPU, "Max cpu time"},      Limit{RLIMIT_FSIZE, "Max file size"},
    Limit{RLIMIT_DATA, "Max data size"},    Limit{RLIMIT_NPROC, "Max processes"},
    Limit{RLIMIT_NOFILE, "Max open files"}, Limit{RLIMIT_MEMLOCK, "Max locked memory"},
    Limit{RLIMIT_AS, "Max address space"},  Limit{RLIMIT_LOCKS, "Max file locks"},
    Limit{RLIMIT_STACK, "Max stack size"},
};

// The hard limit that this machine gives its first process, or what we have where it does not say.
rlim_t system_limit(const std::string& limits, const Limit& limit, rlim_t fallback) {
  const auto line = limits.find(limit.name);
  if (line == std::string::npos) return fallback;
  // Columns: name (26 characters), soft (21), hard (21).
  const auto at = limits.find_first_not_of(' ', line + 47);
  if (at == std::string::npos) return fallback;
  if (limits.compare(at, 9, "unlimited") == 0) return RLIM_INFINITY;
  rlim_t value = 0;
  const auto [end, problem] = std::from_chars(limits.data() + at, limits.data() + limits.size(), value);
  return problem == std::errc{} ? value : fallback;
}

// Returns what could not be raised to what this machine gives its first process, in words.
std::vector<std::string> reset_limits() {
  std::vector<std::string> kept;
  std::ifstream file("/proc/1/limits");
  const std::string limits(std::istreambuf_iterator<char>(file), {});
  for (const Limit& limit : kLimits) {
    rlimit now{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(limit.resource), &now) != 0) continue;
    const rlim_t hard = std::max(now.rlim_max, system_limit(limits, limit, now.rlim_max));
    // A stack without limit changes how memory is laid out; all others have no reason to be below the hard one.
    const rlim_t soft = limit.resource == RLIMIT_STACK ? std::min<rlim_t>(8 << 20, hard) : hard;
    const rlimit wanted{soft, hard};
    // A lowered hard limit cannot be raised without privilege: then as far as it goes.
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &wanted) == 0) continue;
    const rlimit possible{std::min(soft, now.rlim_max), now.rlim_max};
    ::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &possible);
    // The others are bounded on every machine.
    static constexpr std::array kTelling{RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_AS};
    if (now.rlim_max != RLIM_INFINITY && std::ranges::find(kTelling, limit.resource) != kTelling.end())
      kept.push_back(fmt::format("{}: {}", limit.name, now.rlim_max));
  }
  // A core file of a process with the model mapped would be 42 GB.
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  return kept;
}

// Whoever comes later would be served so.
[[noreturn]] void refuse(const std::string& what) {
  throw Error::format(ErrorCode::worker_failed,
                      "the shared worker would {}; start it from an ordinary shell (step1x worker start), or use "
                      "--isolated",
                      what);
}

// Pictures and weights are files in memory, and each client, engine and picture has descriptors.
void check_can_serve() {
  rlimit files{};
  ::getrlimit(RLIMIT_FSIZE, &files);
  if (files.rlim_cur != RLIM_INFINITY)
    refuse(
        fmt::format("have a limit of {} bytes for the size of files (ulimit -f), as which pictures and weights in "
                    "memory count",
                    files.rlim_cur));
  constexpr rlim_t kLeastDescriptors = 256;
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < kLeastDescriptors)
    refuse(fmt::format("have a limit of {} open files (ulimit -n), and needs {}", files.rlim_cur, kLeastDescriptors));
}

void reset_scheduling(bool is_private) {
  errno = 0;
  const int nice = ::getpriority(PRIO_PROCESS, 0);
  if (nice != 0 && ::setpriority(PRIO_PROCESS, 0, 0) != 0 && nice > 0 && !is_private)
    refuse(fmt::format("run at niceness {} for everybody", nice));
  const sched_param ordinary{};
  if (::sched_setscheduler(0, SCHED_OTHER, &ordinary) != 0 && ::sched_getscheduler(0) == SCHED_IDLE && !is_private)
    refuse("run at idle priority (SCHED_IDLE) for everybody");
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);
  ::sched_setaffinity(0, sizeof all, &all);
  constexpr int kWhoProcess = 1;
  ::syscall(SYS_ioprio_set, kWhoProcess, 0, 0);
}

}  // namespace

std::vector<std::string> own_process(bool is_private) {
  ::umask(077);
  std::vector<std::string> kept = reset_limits();
  if (!is_private) check_can_serve();
  reset_scheduling(is_private);
  std::ofstream("/proc/self/oom_score_adj") << kOomScoreAdj;
  // No process leaves its group without a privilege.
  if (const auto limit = memory_limit())
    kept.push_back(fmt::format("memory: {} (control group {})", format_size(limit->bytes), limit->group));
  return kept;
}

}  // namespace step1x
