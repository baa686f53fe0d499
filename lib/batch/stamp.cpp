#include "batch/stamp.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/read_file.hpp"
#include "batch/digest.hpp"
#include "batch/times.hpp"
#include "weights/layout.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kNanoseconds = 1'000'000'000;

FileStamp size_and_time(const struct stat& info) {
  return {static_cast<std::uint64_t>(info.st_size), info.st_mtim.tv_sec * kNanoseconds + info.st_mtim.tv_nsec, {}};
}

// nullopt: it has another size, or is not there.
std::optional<FileStamp> of_same_size(const fs::path& path, const Json& stamp) {
  struct stat info{};
  if (!stamp.is_object() || ::stat(path.c_str(), &info) != 0) return std::nullopt;
  const FileStamp now = size_and_time(info);
  return stamp.value("bytes", std::uint64_t{0}) == now.bytes ? std::optional(now) : std::nullopt;
}

bool has_time(const FileStamp& now, const Json& stamp) {
  return stamp.value("mtime_ns", std::int64_t{0}) == now.mtime_ns;
}

// The files that make a model what it is, one line each, and the time of the youngest.
class ModelFiles {
 public:
  void add(const fs::path& file, const std::string& name) {
    struct stat info{};
    if (::stat(file.c_str(), &info) != 0) return;
    lines_.push_back(fmt::format("{} {} {}.{:09}", name, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
    newest_ = std::max(newest_, size_and_time(info).mtime_ns);
  }
  void add_folder(const fs::path& folder, const fs::path& below, bool recursive) {
    std::error_code problem;
    fs::recursive_directory_iterator it(folder, fs::directory_options::follow_directory_symlink, problem);
    for (const fs::recursive_directory_iterator end; !problem && it != end; it.increment(problem)) {
      if (!recursive) it.disable_recursion_pending();
      const std::string kind = it->path().extension().string();
      if (kind == ".safetensors" || kind == ".json")
        add(it->path(), it->path().lexically_relative(below).generic_string());
    }
    // What cannot be seen could change without anybody's notice.
    if (problem)
      throw Error::format(ErrorCode::model_missing, "cannot read the model folder {}: {}", folder.string(),
                          problem.message());
  }
  std::int64_t newest() const { return newest_; }
  std::uint64_t hash() {
    std::ranges::sort(lines_);
    std::uint64_t hash = fnv1a("");
    for (const std::string& line : lines_) hash = fnv1a(line + "\n", hash);
    return hash;
  }

 private:
  std::vector<std::string> lines_;
  std::int64_t newest_ = 0;
};

// The others that belong to it: not all that lies beside it, which may be a folder of downloads.
void add_layout_of(const fs::path& file, ModelFiles& files) {
  ModelLayout layout;
  try {
    layout = find_layout(file);
  } catch (const Error&) {
    return;  // The engine will say what is missing.
  }
  for (const fs::path& part : {layout.vae, layout.tokenizer, layout.config}) files.add(part, part.string());
  files.add_folder(layout.text_encoder.parent_path(), layout.folder, /*recursive=*/false);
}

std::string stamped(const std::string& model, std::uint64_t hash) {
  return fmt::format("{} {:016x}", model, hash);
}

}  // namespace

std::optional<FileId> file_id(const fs::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return FileId{info.st_dev, info.st_ino};
}

Json FileStamp::json() const {
  Json json = {{"bytes", bytes}, {"mtime_ns", mtime_ns}};
  if (!sha256.empty()) json["sha256"] = sha256;
  return json;
}

FileStamp stamp_of(const image::PictureFile& file) {
  return {file.size, file.mtime_ns, file.whole ? sha256(file.bytes) : ""};
}

FileStamp stamp_unread(const fs::path& path) {
  const UniqueFd fd = open_regular_file(path, ErrorCode::failure);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0)
    throw Error::format(ErrorCode::failure, "cannot read {}: {}", path.string(), errno_text());
  return size_and_time(info);
}

bool is_untouched(const fs::path& path, const Json& stamp) {
  const auto now = of_same_size(path, stamp);
  return now && has_time(*now, stamp);
}

bool is_same_file(const fs::path& path, const Json& stamp, const Reading& reading) {
  const auto now = of_same_size(path, stamp);
  if (!now) return false;
  if (has_time(*now, stamp)) return true;
  const std::string known = stamp.value("sha256", "");
  if (known.empty() || now->bytes > reading.most_bytes) return false;
  try {
    return sha256_file(path, reading.stop) == known;
  } catch (const Error& problem) {
    if (problem.code() == ErrorCode::cancelled) throw;
    return false;
  }
}

ModelStamp model_stamp(const std::string& model) {
  ModelFiles files;
  std::error_code ignored;
  const bool single = fs::is_regular_file(model, ignored);
  if (single) {
    files.add(model, fs::path(model).filename().string());
    add_layout_of(model, files);
  } else if (fs::is_directory(model, ignored)) {
    files.add_folder(model, model, /*recursive=*/true);
  }
  ModelStamp stamp{stamped(model, files.hash())};
  if (single) stamp.without_files = stamped(model, fnv1a(""));
  stamp.newest = time_text(files.newest());
  return stamp;
}

bool is_same_model(const Json& line, const ModelStamp& model) {
  const std::string known = line.value("model", "");
  if (known == model.text) return true;
  return !model.without_files.empty() && known == model.without_files &&
         is_earlier(model.newest, line.value("time", ""));
}

}  // namespace step1x::batch
