#include "batch/work.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "batch/digest.hpp"
#include "request/parameters.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;

FileStamp size_and_time(const fs::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0)
    throw Error::format(ErrorCode::failure, "cannot read {}: {}", path.string(), errno_text());
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return {static_cast<std::uint64_t>(info.st_size), info.st_mtim.tv_sec * kNanoseconds + info.st_mtim.tv_nsec, {}};
}

bool same_contents(const fs::path& path, const Json& known) {
  try {
    return stamp_of(path, known).sha256 == known.value("sha256", "");
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Json FileStamp::json() const {
  return {{"bytes", bytes}, {"mtime_ns", mtime_ns}, {"sha256", sha256}};
}

FileStamp stamp_of(const fs::path& path) {
  FileStamp stamp = size_and_time(path);
  stamp.sha256 = sha256_file(path);
  return stamp;
}

FileStamp stamp_of(const fs::path& path, const Json& known) {
  FileStamp stamp = size_and_time(path);
  const bool same = known.is_object() && known.value("bytes", std::uint64_t{0}) == stamp.bytes &&
                    known.value("mtime_ns", std::int64_t{0}) == stamp.mtime_ns;
  stamp.sha256 = same ? known.value("sha256", "") : sha256_file(path);
  return stamp;
}

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::missing:
      return "missing";
    case Verdict::changed:
      return "changed";
    case Verdict::done:
      return "done";
    case Verdict::failed:
      break;
  }
  return "failed";
}

Verdict judge(const Work& work, const fs::path& folder, const std::string& model, const Json& line) {
  if (!line.is_object()) return Verdict::missing;
  const Json input = line.value("input", Json());
  const Json parameters = line.value("parameters", Json::object());
  const bool same = parameters.is_object() && request::without_defaults(parameters) == work.parameters &&
                    line.value("model", "") == model && line.value("output", "") == work.output &&
                    same_contents(work.item.input, input);
  const bool failed = line.value("state", "") == "failed";
  if (failed) return same ? Verdict::failed : Verdict::changed;
  std::error_code ignored;
  const fs::path output = folder / work.output;
  if (!fs::is_regular_file(output, ignored)) return Verdict::missing;
  if (!same) return Verdict::changed;
  try {
    return sha256_file(output) == line.value("output_sha256", "") ? Verdict::done : Verdict::changed;
  } catch (const Error&) {
    return Verdict::missing;
  }
}

std::string model_stamp(const std::string& model) {
  std::vector<std::string> files;
  std::error_code problem;
  for (fs::recursive_directory_iterator it(model, fs::directory_options::follow_directory_symlink, problem), end;
       !problem && it != end; it.increment(problem)) {
    struct stat info{};
    const std::string kind = it->path().extension().string();
    if ((kind != ".safetensors" && kind != ".json") || ::stat(it->path().c_str(), &info) != 0) continue;
    files.push_back(fmt::format("{} {} {}.{:09}", it->path().lexically_relative(model).generic_string(), info.st_size,
                                info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
  }
  std::ranges::sort(files);
  std::uint64_t hash = fnv1a("");
  for (const std::string& file : files) hash = fnv1a(file + "\n", hash);
  return fmt::format("{} {:016x}", model, hash);
}

bool wants(Verdict verdict, const Again& again) {
  const bool settled = verdict == Verdict::done || verdict == Verdict::failed;
  return !settled || again.all || (verdict == Verdict::failed && again.failed);
}

std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::int64_t seed_of(std::string_view key) {
  return static_cast<std::int64_t>(fnv1a(key) & ((std::uint64_t{1} << 53) - 1));
}

}  // namespace step1x::batch
