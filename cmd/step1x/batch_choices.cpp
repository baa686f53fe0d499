#include "batch_choices.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "gpu/gpus.hpp"

namespace step1x::cli {
namespace {

using SystemClock = std::chrono::system_clock;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Of an array job of Slurm's, whose tasks are numbered without gaps.
std::optional<batch::Shard> slurm_shard() {
  const auto number = [](const char* name) {
    const std::string text = environment(name);
    int value = -1;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    return problem == std::errc{} && end == text.data() + text.size() ? value : -1;
  };
  const int id = number("SLURM_ARRAY_TASK_ID");
  const int count = number("SLURM_ARRAY_TASK_COUNT");
  if (id < 0 || count < 1) return std::nullopt;
  const int first = number("SLURM_ARRAY_TASK_MIN");
  const int last = number("SLURM_ARRAY_TASK_MAX");
  if (first < 0 || last - first + 1 != count || id < first || id > last) {
    throw Error::format(ErrorCode::usage,
                        "the tasks of this Slurm array, {} from {} to {}, are not numbered one by one: say which part "
                        "this is with --shard",
                        count, first, last);
  }
  return batch::Shard{id - first + 1, count};
}

// A digit for each 0. strptime() would pass over spaces, and take one digit for two.
bool is_like(std::string_view text, std::string_view pattern) {
  return std::ranges::equal(text, pattern, [](char given, char wanted) {
    return wanted == '0' ? given >= '0' && given <= '9' : given == wanted;
  });
}

// "07:00" of today, and "2026-11-30 07:00". One that is past is past: nothing is begun.
SystemClock::time_point parse_deadline(const std::string& text) {
  std::tm parts{};
  const std::time_t now = std::time(nullptr);
  ::localtime_r(&now, &parts);
  const auto fits = [&](const char* format) {
    std::tm read = parts;
    const char* end = ::strptime(text.c_str(), format, &read);
    if (end == nullptr || *end != '\0') return false;
    parts = read;
    return true;
  };
  const bool right = (is_like(text, "00:00") && fits("%H:%M")) ||
                     (is_like(text, "0000-00-00 00:00") && fits("%Y-%m-%d %H:%M")) ||
                     (is_like(text, "0000-00-00T00:00") && fits("%Y-%m-%dT%H:%M"));
  if (!right)
    throw Error::format(ErrorCode::usage,
                        "--deadline {}: not a time of today like 07:00, nor one with its day like '2030-12-31 07:00'",
                        text);
  parts.tm_sec = 0;
  parts.tm_isdst = -1;
  const std::tm said = parts;
  const std::time_t time = std::mktime(&parts);
  // It takes February the 31st for a day in March.
  if (parts.tm_mday != said.tm_mday || parts.tm_mon != said.tm_mon)
    throw Error::format(ErrorCode::usage, "--deadline {}: there is no such day", text);
  return SystemClock::from_time_t(time);
}

}  // namespace

std::optional<SystemClock::time_point> choose_deadline(const std::optional<std::string>& deadline,
                                                       const std::optional<std::string>& max_runtime) {
  std::optional<SystemClock::time_point> end;
  if (deadline) end = parse_deadline(*deadline);
  if (max_runtime) {
    const Duration most = parse_duration(*max_runtime, "--max-runtime");
    if (most >= Duration::zero()) {
      const auto then = SystemClock::now() + most;
      end = end ? std::min(*end, then) : then;
    }
  }
  return end;
}

std::vector<std::string> choose_devices(const std::string& text) {
  std::vector<std::string> devices;
  if (text == "all") {
    const auto nvml = Nvml::open();
    const std::size_t count =
        nvml ? allowed_gpus(nvml->gpus(), environment("CUDA_VISIBLE_DEVICES"), environment("NVIDIA_VISIBLE_DEVICES"))
                   .size()
             : 0;
    if (count == 0) throw Error(ErrorCode::usage, "--devices all: this machine has no GPU that may be used");
    for (std::size_t i = 0; i < count; ++i) devices.push_back(fmt::format("cuda:{}", i));
    return devices;
  }
  for (std::size_t at = 0; !text.empty() && at <= text.size(); at += devices.back().size() + 1)
    devices.push_back(text.substr(at, text.find(',', at) - at));
  return devices;
}

batch::Shard choose_shard(const std::optional<std::string>& flag) {
  if (flag) return batch::parse_shard(*flag, "--shard");
  return slurm_shard().value_or(batch::Shard{});
}

}  // namespace step1x::cli
