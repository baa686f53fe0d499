#include "batch/writer.hpp"

#include <chrono>

#include "base/atomic_file.hpp"
#include "base/version.hpp"
#include "batch/digest.hpp"
#include "image/encode.hpp"
#include "ipc/picture.hpp"

namespace step1x::batch {
namespace {

double total(const Json& timings) {
  return timings.value("total", 0.0);
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

// Returns the hash of what was written.
std::string Writer::write_picture(const Work& work, const Outcome& outcome) const {
  const ipc::PictureView pixels(outcome.picture.get(), outcome.width, outcome.height);
  image::EncodeOptions options;
  options.metadata =
      image::result_metadata(options_.metadata, outcome.metadata, {true, options_.model_label, work.parameters});
  const std::vector<std::byte> bytes =
      image::encode(pixels.pixels(), outcome.width, outcome.height, work.format, options);
  const std::filesystem::path path = options_.folder / work.output;
  std::error_code problem;
  std::filesystem::create_directories(path.parent_path(), problem);
  if (problem)
    throw Error::format(ErrorCode::failure, "cannot make the folder {}: {}", path.parent_path().string(),
                        problem.message());
  write_file_atomically(path, bytes, Replace::always);
  return sha256(bytes);
}

Written Writer::write(Outcome& outcome) {
  const Work& work = works_[outcome.index];
  Written written{outcome.index, std::move(outcome.problem), total(outcome.timings), true};
  Json line = {{"kind", "item"}, {"key", work.item.key}, {"state", "done"}, {"time", time_now()}};
  if (!outcome.input.sha256.empty()) line["input"] = outcome.input.json();
  line["parameters"] = work.parameters;
  line["model"] = options_.model;
  line["version"] = fmt::format("{} ({})", kVersion, kBuildId);
  line["output"] = work.output;
  const auto earlier = before_.items().find(work.item.key);
  line["attempt"] = outcome.attempts + (earlier == before_.items().end() ? 0 : earlier->second.value("attempt", 0));
  try {
    if (!written.problem) {
      const auto start = std::chrono::steady_clock::now();
      line["output_sha256"] = write_picture(work, outcome);
      outcome.timings["write"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      line["width"] = outcome.width;
      line["height"] = outcome.height;
      line["timings"] = outcome.timings;
    }
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
    written.in_journal = false;
  }
  return written;
}

}  // namespace step1x::batch
