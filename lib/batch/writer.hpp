// The last of a batch's three stages: encodes a picture, writes it, and then its line in the journal, in a thread of
// its own. What has failed before gets its line here too, so that the journal has one hand that writes.
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
#include "image/provenance.hpp"

namespace step1x::batch {

// What became of an item.
struct Outcome {
  std::size_t index = 0;  // of the work
  FileStamp input;
  UniqueFd picture;  // sealed; empty: it failed
  int width = 0;
  int height = 0;
  image::Metadata metadata;  // the input's
  Json timings = Json::object();
  int attempts = 1;
  std::optional<Error> problem;
};

struct Written {
  std::size_t index = 0;
  std::optional<Error> problem;  // it failed, there or here
  double seconds = 0;            // of the item alone
  // False: the journal says nothing of it, and could not of what follows either. It is left for the next run.
  bool settled = true;
};

class Writer {
 public:
  struct Options {
    std::filesystem::path folder;
    std::string model;        // ModelStamp::text
    std::string model_label;  // in the pictures
    image::MetadataChoice metadata;
    std::optional<int> quality;  // of image::EncodeOptions
  };
  // `works`, `before` and `journal` outlive it. written: called from its thread when there is something to take.
  Writer(const std::vector<Work>& works, const JournalView& before, Journal& journal, Options options,
         std::function<void()> written);
  // Waits until everything that was put is written.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Waits while it is far behind.
  void put(Outcome outcome) {
    ++pending_;
    in_.put(std::move(outcome));
  }
  // How many were put and have not been taken.
  std::size_t pending() const { return pending_; }
  std::optional<Written> take();
  // No more will be put.
  void close() { in_.close(); }

 private:
  Written write(Outcome& outcome);
  void write_picture(const Work& work, const Outcome& outcome, Json& line) const;

  const std::vector<Work>& works_;
  const JournalView& before_;
  Journal& journal_;
  Options options_;
  std::size_t pending_ = 0;
  Handoff<Outcome> in_;
  Handoff<Written> out_;
  std::jthread thread_;
};

}  // namespace step1x::batch
