// An item with all that decides what its picture will be, and whether a journal says that it is there already.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "batch/item.hpp"
#include "batch/journal.hpp"
#include "image/format.hpp"

namespace step1x::batch {

struct Work {
  Item item;
  std::string output;  // relative to the output folder, with '/'
  image::Format format = image::Format::png;
  // Those that decide the picture, as they are sent.
  Json parameters;
};

// A file as it was when it was looked at: its contents are asked for only where size and time do not tell.
struct FileStamp {
  std::uint64_t bytes = 0;
  std::int64_t mtime_ns = 0;
  std::string sha256;

  Json json() const;
};
// Throws Error(failure) when it cannot be read.
FileStamp stamp_of(const std::filesystem::path& path);
// With the hash from `known` where size and time are those of `known`.
FileStamp stamp_of(const std::filesystem::path& path, const Json& known);

enum class Verdict {
  missing,  // never done, or its picture is not there
  changed,  // input, parameters, model or picture are not those of the journal
  done,
  failed,  // and nothing has changed since
};
std::string_view name(Verdict verdict);

// Which items are done, besides those that are missing or changed.
struct Again {
  bool failed = false;
  bool all = false;
};
bool wants(Verdict verdict, const Again& again);

// `line`: the journal's last one of this item, or null. `model`: what the journal calls it (model_stamp()). Reads the
// picture's file whole; that of the input if its size or time have changed. An input that is not there is `missing`:
// the attempt will say why.
Verdict judge(const Work& work, const std::filesystem::path& folder, const std::string& model, const Json& line);

// A model's folder and what tells a version of its files from another (sizes and times of change, hashed).
std::string model_stamp(const std::string& model);

// In UTC, as ISO 8601 has it.
std::string time_now();

// The seed of an item for which none is given: of its key, so that the same batch gives the same pictures.
std::int64_t seed_of(std::string_view key);

}  // namespace step1x::batch
