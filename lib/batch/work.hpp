// An item with all that decides what its picture will be, and whether a journal says that it is there already.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "base/error.hpp"
#include "batch/item.hpp"
#include "batch/journal.hpp"
#include "batch/stamp.hpp"
#include "image/decoder.hpp"
#include "image/format.hpp"

namespace step1x::batch {

struct Work {
  Item item;
  std::string output;  // relative to the output folder, with '/'
  image::Format format = image::Format::png;
  // Those that decide the picture, as they are sent.
  Json parameters;
};

enum class Verdict {
  missing,    // never done, or its picture is not there, or it failed for a reason that was not its own
  changed,    // input, parameters or model are not those of the journal, or its picture is damaged
  done,       // and all is as it was
  retouched,  // somebody has made another whole picture of the one that was written at its place
  failed,     // by its own fault, and nothing has changed since
};
std::string_view name(Verdict verdict);

// Which items are done, besides those that are missing or changed.
struct Again {
  bool failed = false;
  bool all = false;
};
bool wants(Verdict verdict, const Again& again);

// Whether an item that failed so would fail again: the picture or its prompt is at fault, and not the disk, a
// permission, the time, memory, or somebody who interfered.
bool is_final(ErrorCode code);

// What a journal has last written of each file that is there, for whichever item and under whatever name.
class Made {
 public:
  Made() = default;
  Made(const JournalView& journal, const std::filesystem::path& folder);

  // Hashes; none: nothing was written there. More than one where a link is a second way to the place.
  const std::set<std::string>& at(const std::filesystem::path& picture) const;

 private:
  std::map<FileId, std::set<std::string>> hashes_;
};

// What items are held against.
struct Known {
  std::filesystem::path folder;  // of the pictures that are made
  ModelStamp model;
  image::Limits limits;  // more is not read of an input, or of a result
};

// `line`: the journal's last one of this item, or null. `made`: of the same journal. Reads the picture's file whole;
// that of the input if its time has changed. An input that is not there is `missing`: the attempt will say why. Throws
// Error(cancelled) when it is stopped.
Verdict judge(const Work& work, const Known& known, const Json& line, const Made& made,
              const std::stop_token& stop = {});

// Whether `line` is of another picture than this one would be, by what is known without reading files.
bool asks_for_another(const Work& work, const Known& known, const Json& line);

// Whether judge() will want it, as it seems without reading files. `line`: as for judge(), and not null. One whose
// input was only touched, or that somebody has worked on, is taken for another.
bool seems_to_do(const Work& work, const Known& known, const Json& line, const Again& again);

// The seed of an item for which none is given: of its key, so that the same batch gives the same pictures.
std::int64_t seed_of(std::string_view key);

}  // namespace step1x::batch
