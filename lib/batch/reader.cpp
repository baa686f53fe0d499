#include "batch/reader.hpp"

#include <chrono>
#include <utility>

#include "ipc/picture.hpp"

namespace step1x::batch {

namespace {

// Of a file that could be opened and was not read: so that what is no picture is not tried again until it is another
// one. What cannot be opened may be readable the next time, and is the same file then.
FileStamp stamp_if_readable(const std::filesystem::path& path) {
  try {
    return stamp_unread(path);
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
      made_(journal, options_.known.folder),
      out_(options_.ahead, std::move(loaded)),
      thread_([this](const std::stop_token& stop) {
        for (std::size_t i = 0; i < works_.size() && !stop.stop_requested() && out_.put(load(i, stop)); ++i) {
        }
        out_.close();
      }) {}

Reader::~Reader() {
  thread_.request_stop();
  out_.close();
}

Loaded Reader::load(std::size_t index, const std::stop_token& stop) const {
  const auto start = std::chrono::steady_clock::now();
  Loaded loaded;
  loaded.index = index;
  const Work& work = works_[index];
  try {
    const auto line = journal_.items().find(work.item.key);
    const Json before = line == journal_.items().end() ? Json() : line->second;
    loaded.verdict = judge(work, options_.known, before, made_, stop);
    loaded.wanted = wants(loaded.verdict, options_.again);
    if (loaded.wanted) decode(work, loaded);
  } catch (const Error& problem) {
    loaded.problem = problem;
  } catch (const std::exception& problem) {
    loaded.problem = Error(ErrorCode::failure, problem.what());
  }
  if (loaded.problem) {
    loaded.wanted = true;
    if (loaded.input.bytes == 0) loaded.input = stamp_if_readable(work.item.input);
  }
  loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return loaded;
}

void Reader::decode(const Work& work, Loaded& loaded) const {
  const image::Limits& limits = options_.known.limits;
  image::PictureFile file = image::read_picture_file(work.item.input, limits.max_file_bytes);
  loaded.input = stamp_of(file);
  image::Decoder decoder = image::Decoder::from_bytes(std::move(file.bytes), work.item.input.string(), limits);
  image::check_sides(work.format, decoder.width(), decoder.height());
  ipc::PictureWriter picture(decoder.width(), decoder.height());
  decoder.read(picture.pixels());
  loaded.width = decoder.width();
  loaded.height = decoder.height();
  loaded.metadata = decoder.metadata();
  loaded.pictures = decoder.pictures();
  loaded.picture = picture.seal();
}

}  // namespace step1x::batch
