#include "batch/writer.hpp"

#include <chrono>

#include "base/atomic_file.hpp"
#include "base/version.hpp"
#include "batch/digest.hpp"
#include "batch/times.hpp"
#include "image/encode.hpp"
#include "ipc/picture.hpp"

namespace step1x::batch {
namespace {

// What it waited for others is not its own.
double own_seconds(const Json& timings) {
  return timings.value("total", 0.0) - timings.value("queued", 0.0);
}

}  // namespace

Writer::Writer(const std::vector<Work>& works, const JournalView& before, Journal& journal, Options options,
               std::function<void()> written)
    : works_(works),
      before_(before),
      journal_(journal),
      options_(std::move(options)),
      in_(2),
      out_(works.size() + 1, std::move(written)),
      thread_([this] {
        while (std::optional<Outcome> outcome = in_.take()) out_.put(write(*outcome));
      }) {}

Writer::~Writer() {
  in_.close();
}

std::optional<Written> Writer::take() {
  std::optional<Written> written = out_.try_take();
  if (written) --pending_;
  return written;
}

// Notes in the line what was written.
void Writer::write_picture(const Work& work, const Outcome& outcome, Json& line) const {
  const ipc::PictureView pixels(outcome.picture.get(), outcome.width, outcome.height);
  image::EncodeOptions options;
  options.quality = options_.quality;
  options.metadata =
      image::result_metadata(options_.metadata, outcome.metadata, {true, options_.model_label, work.parameters});
  const std::vector<std::byte> bytes =
      image::encode(pixels.pixels(), outcome.width, outcome.height, work.format, options);
  const std::filesystem::path path = options_.folder / work.output;
  std::error_code problem;
  std::filesystem::create_directories(path.parent_path(), problem);
  if (problem) {
    const std::string why =
        fmt::format("cannot make the folder {}: {}", path.parent_path().string(), problem.message());
    if (refuses_every_file(problem.value())) throw PlaceRefuses(why);
    throw Error(ErrorCode::failure, why);
  }
  write_file_atomically(path, bytes, Replace::always);
  line["output_sha256"] = sha256(bytes);
  line["output_bytes"] = bytes.size();
}

Written Writer::write(Outcome& outcome) {
  const Work& work = works_[outcome.index];
  Written written{outcome.index, std::move(outcome.problem), own_seconds(outcome.timings)};
  Json line = {{"kind", "item"}, {"key", work.item.key}, {"state", "done"}, {"time", time_now()}};
  if (outcome.input.bytes > 0) line["input"] = outcome.input.json();
  line["parameters"] = work.parameters;
  line["model"] = options_.model;
  line["version"] = fmt::format("{} ({})", kVersion, kBuildId);
  line["output"] = work.output;
  const auto earlier = before_.items().find(work.item.key);
  line["attempt"] = outcome.attempts + (earlier == before_.items().end() ? 0 : earlier->second.value("attempt", 0));
  try {
    if (!written.problem) {
      const auto start = std::chrono::steady_clock::now();
      write_picture(work, outcome, line);
      outcome.timings["write"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      line["width"] = outcome.width;
      line["height"] = outcome.height;
      line["timings"] = outcome.timings;
    }
  } catch (const PlaceRefuses& problem) {
    written.problem = problem;
    written.settled = false;
    return written;
  } catch (const Error& problem) {
    written.problem = problem;
  } catch (const std::exception& problem) {
    written.problem = Error(ErrorCode::failure, problem.what());
  }
  outcome.picture.reset();
  if (written.problem) {
    line["state"] = "failed";
    line["error"] = {{"code", step1x::name(written.problem->code())}, {"message", written.problem->what()}};
  }
  try {
    journal_.append(line);
  } catch (const Error& problem) {
    written.problem = problem;
    written.settled = false;
  }
  return written;
}

}  // namespace step1x::batch
