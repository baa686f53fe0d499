// The first of a batch's three stages: looks at each item in turn, whether it is to be done, and decodes its picture,
// in a thread of its own and a few items ahead. The other two are the worker's, and Writer.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "batch/handoff.hpp"
#include "batch/work.hpp"
#include "image/decoder.hpp"

namespace step1x::batch {

struct Loaded {
  std::size_t index = 0;  // of the work
  Verdict verdict = Verdict::missing;
  bool wanted = false;
  FileStamp input;
  UniqueFd picture;  // sealed; empty when it is not wanted, or there is a problem
  int width = 0;
  int height = 0;
  image::Metadata metadata;  // the input's
  int pictures = 1;          // in its file, of which the first is taken
  double seconds = 0;
  std::optional<Error> problem;
};

class Reader {
 public:
  struct Options {
    Known known;
    Again again;
    std::size_t ahead = 2;
  };
  // `works` and `journal` outlive it. loaded: called from its thread when there is something to take, or it has ended.
  Reader(const std::vector<Work>& works, const JournalView& journal, Options options, std::function<void()> loaded);
  // Ends a file's reading in its middle.
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The next in the order of the works, if it is ready.
  std::optional<Loaded> take() { return out_.try_take(); }
  // All have been taken.
  bool ended() const { return out_.ended(); }

 private:
  Loaded load(std::size_t index, const std::stop_token& stop) const;
  void decode(const Work& work, Loaded& loaded) const;

  const std::vector<Work>& works_;
  const JournalView& journal_;
  Options options_;
  Made made_;
  Handoff<Loaded> out_;
  std::jthread thread_;
};

}  // namespace step1x::batch
