#include "batch/work.hpp"

#include <vector>

#include "base/hash.hpp"
#include "batch/digest.hpp"
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

// Whether the picture of a line that says "done" is what was written.
Verdict judge_picture(const fs::path& picture, const Known& known, const Json& line, const std::stop_token& stop) {
  std::error_code problem;
  if (!fs::is_regular_file(picture, problem)) return Verdict::missing;
  const auto written = line.value("output_bytes", std::uint64_t{0});
  try {
    // Older journals do not have its size.
    const bool other_size = written != 0 && fs::file_size(picture, problem) != written;
    if (!other_size && sha256_file(picture, stop) == line.value("output_sha256", "")) return Verdict::done;
  } catch (const Error& unreadable) {
    if (unreadable.code() == ErrorCode::cancelled) throw;
    return Verdict::missing;
  }
  return is_whole_picture(picture, known.limits) ? Verdict::retouched : Verdict::changed;
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

bool asks_for_another(const Work& work, const ModelStamp& model, const Json& line) {
  const Json parameters = line.value("parameters", Json::object());
  return !parameters.is_object() || request::without_defaults(parameters) != work.parameters ||
         !is_same_model(line, model) || line.value("output", "") != work.output;
}

Verdict judge(const Work& work, const Known& known, const Json& line, const std::stop_token& stop) {
  if (!line.is_object()) return Verdict::missing;
  const Reading reading{known.limits.max_file_bytes, stop};
  const auto same = [&] {
    return !asks_for_another(work, known.model, line) &&
           is_same_file(work.item.input, line.value("input", Json()), reading);
  };
  if (line.value("state", "") == "failed") {
    const Json error = line.value("error", Json::object());
    const auto code = error_code(error.value("code", ""));
    if (!code || !is_final(*code)) return Verdict::missing;
    return same() ? Verdict::failed : Verdict::changed;
  }
  std::error_code ignored;
  if (line.value("output", "") != work.output)
    return fs::exists(known.folder / work.output, ignored) ? Verdict::changed : Verdict::missing;
  const Verdict picture = judge_picture(known.folder / work.output, known, line, stop);
  // Somebody's work is not lost to a change of something else.
  if (picture != Verdict::done) return picture;
  return same() ? Verdict::done : Verdict::changed;
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

std::int64_t seed_of(std::string_view key) {
  return static_cast<std::int64_t>(fnv1a(key) & ((std::uint64_t{1} << 53) - 1));
}

}  // namespace step1x::batch
