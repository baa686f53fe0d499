// What a batch has done, in the output folder: a file of JSON lines to which it only ever appends, one file for each
// shard. A line is written once its picture is whole on the disk, so whoever reads a line can ask for its picture; a
// line that is damaged counts for nothing, and its item is done once more.
//
// Format (step1x-batch(1) has it for users): each line one object, whose last member `crc` is the CRC-32 (zlib's) of
// all that comes before it in the line, as eight hexadecimal digits. `kind`: "run" for each start of a batch, "item"
// for each picture that was done or has failed, "end" when a run leaves in good order.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "batch/shard.hpp"

namespace step1x::batch {

using Json = nlohmann::ordered_json;

// "step1x-batch.jsonl", "step1x-batch.2-of-5.jsonl".
std::string journal_name(const Shard& shard);

// Any journal's. `name`: without folders.
bool is_journal_name(std::string_view name);

// The one spelling in which a line names its picture: without "./" and doubled '/'.
std::string normal_output(const std::string& output);

// The line of this object, with its checksum and its end.
std::string journal_line(const Json& object);
// nullopt: damaged, or not one of ours. Without the line's end.
std::optional<Json> parse_journal_line(std::string_view line);

// The journals of all shards in a folder, as they are at this moment. Needs no lock.
class JournalView {
 public:
  // Throws Error(failure) when one cannot be read. A folder without any has an empty view.
  static JournalView read(const std::filesystem::path& folder);

  // The newest line of each item, by its key, whichever journal has it.
  const std::map<std::string, Json, std::less<>>& items() const { return items_; }
  // "run" and "end" lines: of one file in its order, whatever its clock said, those of several by their times.
  const std::vector<Json>& runs() const { return runs_; }
  // Whatever was ever written, relative to the folder, and its newest hash.
  const std::map<std::string, std::string>& outputs() const { return outputs_; }
  // Lines of pictures that are not those of items(): of other names or formats that an item has had.
  const std::vector<Json>& earlier() const { return earlier_; }
  std::size_t damaged() const { return damaged_; }
  const std::vector<std::filesystem::path>& files() const { return files_; }

 private:
  std::map<std::string, Json, std::less<>> items_;
  std::vector<Json> runs_;
  std::map<std::string, std::string> outputs_;
  std::vector<Json> earlier_;
  std::size_t damaged_ = 0;
  std::vector<std::filesystem::path> files_;
};

// The journal that this process writes. Holds a lock on it: of two batches on one folder (or one shard of it) the
// second is refused. One thread.
class Journal {
 public:
  // Cuts off what was written only in part. Throws Error(busy) with the pid and host of who has it, Error(failure).
  static Journal open(const std::filesystem::path& folder, const Shard& shard);

  // Returns when it is on the disk. Throws Error(failure); then the journal has the line or not, and no part of it that
  // counts.
  void append(const Json& object);

 private:
  Journal(std::filesystem::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  UniqueFd fd_;
};

// Whether some batch is writing it now.
bool journal_in_use(const std::filesystem::path& file);

// All journals of a folder into one, each item's last line and what tells of other pictures that were made, replacing
// them. Returns how many items it has.
// Throws Error(busy) while one is in use.
std::size_t merge_journals(const std::filesystem::path& folder);

}  // namespace step1x::batch
