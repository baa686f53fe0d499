// By what a batch knows a file, and a model, again. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "batch/journal.hpp"
#include "image/input_file.hpp"

namespace step1x::batch {

// A file that is there, under whichever of its names. nullopt: there is no regular file.
using FileId = std::pair<dev_t, ino_t>;
std::optional<FileId> file_id(const std::filesystem::path& path);

// A file as it was when it was read: its contents are asked for only where size and time do not tell.
struct FileStamp {
  std::uint64_t bytes = 0;
  std::int64_t mtime_ns = 0;
  std::string sha256;  // empty: it was not read whole, being no picture or too large for one

  Json json() const;
};

// Of the very bytes that are decoded, whatever its name leads to by now.
FileStamp stamp_of(const image::PictureFile& file);
// By size and time alone, of a regular file that can be opened: else Error(failure).
FileStamp stamp_unread(const std::filesystem::path& path);

// How far a file is read, to compare it.
struct Reading {
  std::uint64_t most_bytes = std::uint64_t{1} << 30;
  std::stop_token stop = {};
};

// Whether size and time of the file are those of a journal's stamp.
bool is_untouched(const std::filesystem::path& path, const Json& stamp);

// Whether the file is still the one of a journal's stamp. It is read only where size and time leave that open. Throws
// Error(cancelled) when it is stopped.
bool is_same_file(const std::filesystem::path& path, const Json& stamp, const Reading& reading);

// What tells a model, and a version of its files, from others.
struct ModelStamp {
  std::string text;  // of its name, and of sizes and times of its files
  // Up to build 94259b4 the files of a model that was named by one of its files did not count. So journals called it by
  // this; which holds for a picture that is younger than all the files. Empty: not named so.
  std::string without_files = {};
  std::string newest = {};  // when its youngest file was changed, as time_text()
};
// `model`: a folder, a file of one, or what is no path. Throws Error(model_missing) where a folder cannot be read.
ModelStamp model_stamp(const std::string& model);

// Whether a journal's line is of this model.
bool is_same_model(const Json& line, const ModelStamp& model);

}  // namespace step1x::batch
