#include "batch/reader.hpp"

#include <chrono>

#include "ipc/picture.hpp"

namespace step1x::batch {

namespace {

// So that a file which is no picture is not tried again until it is another one.
FileStamp stamp_if_there(const std::filesystem::path& path) {
  try {
    return stamp_of(path);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

Reader::Reader(const std::vector<Work>& works, const JournalView& journal, Options options,
               std::function<void()> loaded)
    : works_(works),
      journal_(journal),
      options_(std::move(options)),
      out_(options_.ahead, std::move(loaded)),
      thread_([this] {
        for (std::size_t i = 0; i < works_.size() && out_.put(load(i)); ++i) {
        }
        out_.close();
      }) {}

Reader::~Reader() {
  out_.close();
}

Loaded Reader::load(std::size_t index) const {
  const auto start = std::chrono::steady_clock::now();
  Loaded loaded;
  loaded.index = index;
  const Work& work = works_[index];
  try {
    const auto line = journal_.items().find(work.item.key);
    const Json before = line == journal_.items().end() ? Json() : line->second;
    loaded.verdict = judge(work, options_.folder, options_.model, before);
    loaded.wanted = wants(loaded.verdict, options_.again);
    if (loaded.wanted) decode(work, loaded);
  } catch (const Error& problem) {
    loaded.problem = problem;
  } catch (const std::exception& problem) {
    loaded.problem = Error(ErrorCode::failure, problem.what());
  }
  if (loaded.problem) {
    loaded.wanted = true;
    loaded.input = stamp_if_there(work.item.input);
  }
  loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return loaded;
}

void Reader::decode(const Work& work, Loaded& loaded) const {
  image::Decoder decoder = image::Decoder::from_file(work.item.input, options_.limits);
  image::check_sides(work.format, decoder.width(), decoder.height());
  // Afterwards: a file that cannot be decoded need not be read whole.
  loaded.input = stamp_of(work.item.input);
  ipc::PictureWriter picture(decoder.width(), decoder.height());
  decoder.read(picture.pixels());
  loaded.width = decoder.width();
  loaded.height = decoder.height();
  loaded.metadata = decoder.metadata();
  loaded.picture = picture.seal();
}

}  // namespace step1x::batch
