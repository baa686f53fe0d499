#include "batch/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "base/atomic_file.hpp"
#include "base/error.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStem = "step1x-batch.";
constexpr std::string_view kEnd = ".jsonl";
constexpr std::string_view kChecksum = ",\"crc\":\"";
constexpr std::size_t kDigits = 8;
constexpr std::string_view kClose = "\"}";

std::string checksum(std::string_view text) {
  const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  return fmt::format("{:08x}", crc);
}

std::string read_whole(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in.good() && !in.eof())
    throw Error::format(ErrorCode::failure, "cannot read {}: {}", file.string(), errno_text());
  return text;
}

std::vector<fs::path> journal_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kStem) && name.ends_with(kEnd)) files.push_back(entry.path());
  }
  if (problem && problem != std::errc::no_such_file_or_directory)
    throw Error::format(ErrorCode::failure, "cannot read {}: {}", folder.string(), problem.message());
  std::ranges::sort(files);
  return files;
}

UniqueFd open_journal(const fs::path& file) {
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
  if (!fd) throw Error::format(ErrorCode::failure, "cannot open {}: {}", file.string(), errno_text());
  return fd;
}

// Whose lock it is, as far as the journal says.
Error in_use(const fs::path& file) {
  std::string who = "another batch";
  for (std::string line, text = read_whole(file); !text.empty();) {
    const auto end = std::min(text.find('\n'), text.size());
    line = text.substr(0, end);
    text.erase(0, end + 1);
    const auto object = parse_journal_line(line);
    if (object && object->value("kind", "") == "run")
      who = fmt::format("process {} on {}", object->value("pid", 0), object->value("host", "?"));
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
  if (fd) ::fsync(fd.get());
}

}  // namespace

std::string journal_name(const Shard& shard) {
  if (shard.count == 1) return "step1x-batch.jsonl";
  return fmt::format("step1x-batch.{}-of-{}.jsonl", shard.index, shard.count);
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
  for (const fs::path& file : view.files_) {
    const std::string text = read_whole(file);
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
        view.items_.insert_or_assign((*object)["key"].get<std::string>(), std::move(*object));
      } else if (kind == "run" || kind == "end") {
        view.runs_.push_back(std::move(*object));
      }
    }
  }
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
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
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
  for (const auto& [key, item] : view.items()) text += journal_line(item);
  write_file_atomically(folder / journal_name({}), std::as_bytes(std::span(text)), Replace::always);
  for (const auto& [file, fd] : parts) ::unlink(file.c_str());
  sync_folder(folder);
  return view.items().size();
}

}  // namespace step1x::batch
