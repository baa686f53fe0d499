#include "batch/work.hpp"

#include <vector>

#include "base/hash.hpp"
#include "batch/digest.hpp"
#include "batch/names.hpp"
#include "request/parameters.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;

bool is_whole_picture(const fs::path& path, const image::Limits& limits) {
  try {
    image::Decoder decoder = image::Decoder::from_file(path, limits);
    std::vector<std::byte> pixels(static_cast<std::size_t>(decoder.width()) *
                                  static_cast<std::size_t>(decoder.height()) * 3);
    decoder.read(pixels);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Of a line that says "failed".
bool failed_for_good(const Json& line) {
  const Json error = line.value("error", Json::object());
  const auto code = error_code(error.value("code", ""));
  return code && is_final(*code);
}

// Whether a line is of a picture at this item's place, however it is named.
bool has_place_of(const Json& line, const Work& work, const fs::path& folder) {
  const std::string output = line.value("output", "");
  return output == work.output || place(folder / output) == place(folder / work.output);
}

// What lies at an item's place.
enum class There {
  nothing,
  what_its_line_says,
  another_of_ours,  // or what is damaged: nobody's work
  work_of_others,
};

// `line`: of the picture that the item has there; null: it has none.
There look(const fs::path& picture, const Known& known, const Json& line, const Made& made,
           const std::stop_token& stop) {
  std::error_code problem;
  if (!fs::is_regular_file(picture, problem)) return There::nothing;
  std::set<std::string> ours = made.at(picture);
  // What no batch has written is not looked at.
  if (line.is_null() && ours.empty()) return There::another_of_ours;
  const std::string own = line.is_null() ? "" : line.value("output_sha256", "");
  const auto written = line.is_null() ? 0 : line.value("output_bytes", std::uint64_t{0});
  ours.insert(own);
  // Older journals do not have its size.
  if (written != 0 && fs::file_size(picture, problem) != written) ours.erase(own);
  try {
    if (!ours.empty()) {
      const std::string now = sha256_file(picture, stop);
      if (ours.contains(now)) return now == own ? There::what_its_line_says : There::another_of_ours;
    }
  } catch (const Error& unreadable) {
    if (unreadable.code() == ErrorCode::cancelled) throw;
    return There::nothing;
  }
  return is_whole_picture(picture, known.limits) ? There::work_of_others : There::another_of_ours;
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::missing:
      return "missing";
    case Verdict::changed:
      return "changed";
    case Verdict::done:
      return "done";
    case Verdict::retouched:
      return "retouched";
    case Verdict::failed:
      break;
  }
  return "failed";
}

bool is_final(ErrorCode code) {
  return code == ErrorCode::bad_image || code == ErrorCode::bad_prompt || code == ErrorCode::usage;
}

Made::Made(const JournalView& journal, const fs::path& folder) {
  for (const auto& [output, sha256] : journal.outputs()) {
    if (const auto id = file_id(folder / output)) hashes_[*id].insert(sha256);
  }
}

const std::set<std::string>& Made::at(const fs::path& picture) const {
  static const std::set<std::string> none;
  const auto id = file_id(picture);
  const auto found = id ? hashes_.find(*id) : hashes_.end();
  return found == hashes_.end() ? none : found->second;
}

bool asks_for_another(const Work& work, const Known& known, const Json& line) {
  const Json parameters = line.value("parameters", Json::object());
  return !parameters.is_object() || request::without_defaults(parameters) != work.parameters ||
         !is_same_model(line, known.model) || !has_place_of(line, work, known.folder);
}

Verdict judge(const Work& work, const Known& known, const Json& line, const Made& made, const std::stop_token& stop) {
  const bool failed = line.is_object() && line.value("state", "") == "failed";
  const bool own = line.is_object() && !failed && has_place_of(line, work, known.folder);
  const There there = look(known.folder / work.output, known, own ? line : Json(), made, stop);
  // Somebody's work is not lost to a change of something else, nor because another item or a failure came between.
  if (there == There::work_of_others) return Verdict::retouched;
  if (!line.is_object()) return Verdict::missing;
  const Reading reading{known.limits.max_file_bytes, stop};
  const auto same = [&] {
    return !asks_for_another(work, known, line) && is_same_file(work.item.input, line.value("input", Json()), reading);
  };
  if (failed && !failed_for_good(line)) return Verdict::missing;
  if (failed) return same() ? Verdict::failed : Verdict::changed;
  if (there == There::nothing) return Verdict::missing;
  return there == There::what_its_line_says && same() ? Verdict::done : Verdict::changed;
}

bool wants(Verdict verdict, const Again& again) {
  switch (verdict) {
    case Verdict::missing:
    case Verdict::changed:
      return true;
    case Verdict::done:
    case Verdict::retouched:
      return again.all;
    case Verdict::failed:
      break;
  }
  return again.all || again.failed;
}

bool seems_to_do(const Work& work, const Known& known, const Json& line, const Again& again) {
  if (again.all || asks_for_another(work, known, line) || !is_untouched(work.item.input, line.value("input", Json())))
    return true;
  if (line.value("state", "") == "failed") return again.failed || !failed_for_good(line);
  return !file_id(known.folder / work.output);
}

std::int64_t seed_of(std::string_view key) {
  return static_cast<std::int64_t>(fnv1a(key) & ((std::uint64_t{1} << 53) - 1));
}

}  // namespace step1x::batch
