#include "batch/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>

#include "base/atomic_file.hpp"
#include "base/error.hpp"
#include "base/read_file.hpp"
#include "batch/times.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStem = "step1x-batch.";
constexpr std::string_view kEnd = ".jsonl";
constexpr std::string_view kChecksum = ",\"crc\":\"";
constexpr std::size_t kDigits = 8;
constexpr std::string_view kClose = "\"}";
constexpr std::string_view kRunLine = "{\"kind\":\"run\"";

std::string checksum(std::string_view text) {
  const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  return fmt::format("{:08x}", crc);
}

// No journal of ours comes near it.
constexpr std::size_t kMostBytes = std::size_t{8} << 30;

std::string read_whole(const fs::path& file) {
  return read_regular_file(file, kMostBytes, ErrorCode::failure);
}

std::vector<fs::path> journal_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    if (is_journal_name(name)) files.push_back(entry.path());
  }
  if (problem && problem != std::errc::no_such_file_or_directory)
    throw Error::format(ErrorCode::failure, "cannot read {}: {}", folder.string(), problem.message());
  std::ranges::sort(files);
  return files;
}

UniqueFd open_journal(const fs::path& file) {
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0)
    throw Error::format(ErrorCode::failure, "cannot open {}: {}", file.string(), errno_text());
  if (!S_ISREG(info.st_mode))
    throw Error::format(ErrorCode::failure, "cannot open {}: it is not a regular file", file.string());
  return fd;
}

// Whose lock it is, as far as the journal says: in the last line of its kind, which is looked for from the end.
Error in_use(const fs::path& file) {
  std::string who = "another batch";
  const std::string text = read_whole(file);
  for (std::string_view rest(text); !rest.empty();) {
    const std::size_t begin = rest.rfind('\n') + 1;
    const std::string_view line = rest.substr(begin);
    rest = rest.substr(0, begin == 0 ? 0 : begin - 1);
    if (!line.starts_with(kRunLine)) continue;
    const auto object = parse_journal_line(line);
    if (!object) continue;
    who = fmt::format("process {} on {}", object->value("pid", 0), object->value("host", "?"));
    break;
  }
  return Error::format(ErrorCode::busy, "{} is in use by {}: wait for its end, or name another output folder",
                       file.string(), who);
}

void lock(const fs::path& file, const UniqueFd& fd) {
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) throw in_use(file);
    if (errno != EINTR) throw Error::format(ErrorCode::failure, "cannot lock {}: {}", file.string(), errno_text());
  }
}

// Since it was opened it may have been merged into another one, and its name be gone.
bool still_there(const fs::path& file, const UniqueFd& fd) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(fd.get(), &opened) == 0 && ::stat(file.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

void sync_folder(const fs::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A file system without fsync for folders (EINVAL) does what it can.
  if (fd && ::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
    throw Error::format(ErrorCode::failure, "cannot write {}: fsync: {}", folder.string(), errno_text());
}

}  // namespace

std::string journal_name(const Shard& shard) {
  if (shard.count == 1) return "step1x-batch.jsonl";
  return fmt::format("step1x-batch.{}-of-{}.jsonl", shard.index, shard.count);
}

bool is_journal_name(std::string_view name) {
  return name.starts_with(kStem) && name.ends_with(kEnd);
}

std::string normal_output(const std::string& output) {
  return std::filesystem::path(output).lexically_normal().generic_string();
}

std::string journal_line(const Json& object) {
  std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.pop_back();
  return text + std::string(kChecksum) + checksum(text) + std::string(kClose) + "\n";
}

std::optional<Json> parse_journal_line(std::string_view line) {
  const std::size_t tail = kChecksum.size() + kDigits + kClose.size();
  if (line.size() <= tail || !line.ends_with(kClose)) return std::nullopt;
  const std::string_view body = line.substr(0, line.size() - tail);
  const std::string_view end = line.substr(body.size());
  if (!end.starts_with(kChecksum) || end.substr(kChecksum.size(), kDigits) != checksum(body)) return std::nullopt;
  Json object = Json::parse(std::string(body) + "}", nullptr, /*allow_exceptions=*/false);
  return object.is_object() ? std::optional(std::move(object)) : std::nullopt;
}

JournalView JournalView::read(const fs::path& folder) {
  JournalView view;
  view.files_ = journal_files(folder);
  struct Origin {
    std::size_t file = 0;
    std::string time;
  };
  using Origins = std::map<std::string, Origin, std::less<>>;
  Origins of_items;
  Origins of_outputs;
  // Of one file the later line counts, whatever its time: clocks are set. Of several files the younger one.
  const auto counts = [](Origins& origins, const std::string& name, const Origin& now) {
    const auto before = origins.find(name);
    if (before != origins.end() && before->second.file != now.file && is_earlier(now.time, before->second.time))
      return false;
    origins.insert_or_assign(name, now);
    return true;
  };
  const auto take_item = [&](std::string key, Json line, const Origin& origin) {
    // Older ones have a manifest's own spelling, "./a.png".
    if (line.contains("output")) line["output"] = normal_output(line.value("output", ""));
    if (line.contains("output_sha256")) {
      const std::string output = line.value("output", "");
      if (counts(of_outputs, output, origin)) view.outputs_.insert_or_assign(output, line.value("output_sha256", ""));
    }
    const bool newest = counts(of_items, key, origin);
    Json& item = view.items_[std::move(key)];
    if (newest) std::swap(item, line);
    // What is left in `line` no longer counts for its item.
    if (!line.contains("output_sha256")) return;
    if (item.contains("output_sha256") && item.value("output", "") == line.value("output", "")) return;
    view.earlier_.push_back(std::move(line));
  };
  struct Run {
    std::string time;
    Json line;
  };
  std::vector<Run> runs;
  for (std::size_t i = 0; i < view.files_.size(); ++i) {
    const std::size_t first = runs.size();
    const std::string text = read_whole(view.files_[i]);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      std::optional<Json> object = parse_journal_line(std::string_view(text).substr(at, end - at));
      at = end + 1;
      if (!object) {
        ++view.damaged_;
        continue;
      }
      const std::string kind = object->value("kind", "");
      if (kind == "item" && object->contains("key") && (*object)["key"].is_string()) {
        std::string key = (*object)["key"].get<std::string>();
        const Origin origin{i, object->value("time", "")};
        take_item(std::move(key), std::move(*object), origin);
      } else if (kind == "run" || kind == "end") {
        std::string time = object->value("time", "");
        runs.push_back({std::move(time), std::move(*object)});
      }
    }
    // Where a clock was set back, what comes before in the file is no later for that.
    for (std::size_t n = runs.size(); n > first + 1; --n) {
      if (is_earlier(runs[n - 1].time, runs[n - 2].time)) runs[n - 2].time = runs[n - 1].time;
    }
  }
  std::ranges::stable_sort(runs, is_earlier, &Run::time);
  for (Run& run : runs) view.runs_.push_back(std::move(run.line));
  return view;
}

Journal Journal::open(const fs::path& folder, const Shard& shard) {
  const fs::path file = folder / journal_name(shard);
  UniqueFd fd;
  do {
    fd = open_journal(file);
    lock(file, fd);
  } while (!still_there(file, fd));
  const std::string text = read_whole(file);
  const std::size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
  if (whole < text.size() && ::ftruncate(fd.get(), static_cast<off_t>(whole)) != 0)
    throw Error::format(ErrorCode::failure, "cannot cut off the unfinished last line of {}: {}", file.string(),
                        errno_text());
  sync_folder(folder);
  return {file, std::move(fd)};
}

void Journal::append(const Json& object) {
  const std::string line = journal_line(object);
  struct stat before{};
  ::fstat(fd_.get(), &before);
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t written = ::write(fd_.get(), line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    done += static_cast<std::size_t>(written);
  }
  if (done == line.size() && ::fsync(fd_.get()) == 0) return;
  const int error = errno;
  // What is there of it must not be the beginning of the next line.
  [[maybe_unused]] const int ignored = ::ftruncate(fd_.get(), before.st_size);
  throw Error::format(ErrorCode::failure, "cannot write {}: {}", path_.string(), errno_text(error));
}

bool journal_in_use(const fs::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  return fd && ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

std::size_t merge_journals(const fs::path& folder) {
  // All locks first, in the order of the names: nobody writes meanwhile.
  Journal whole = Journal::open(folder, {});
  std::vector<std::pair<fs::path, UniqueFd>> parts;
  for (const fs::path& file : journal_files(folder)) {
    if (file.filename() == journal_name({})) continue;
    UniqueFd fd = open_journal(file);
    lock(file, fd);
    parts.emplace_back(file, std::move(fd));
  }
  const JournalView view = JournalView::read(folder);
  std::string text;
  for (const Json& run : view.runs()) text += journal_line(run);
  // Before the items' own, which count: what else is in the folder was made by a batch too.
  for (const Json& line : view.earlier()) {
    if (view.outputs().at(line.value("output", "")) == line.value("output_sha256", "")) text += journal_line(line);
  }
  for (const auto& [key, item] : view.items()) text += journal_line(item);
  write_file_atomically(folder / journal_name({}), std::as_bytes(std::span(text)), Replace::always);
  for (const auto& [file, fd] : parts) ::unlink(file.c_str());
  sync_folder(folder);
  return view.items().size();
}

}  // namespace step1x::batch
