// The items of a batch that are found by looking or are named one by one. Errors: Error(usage) for what is not there.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "batch/item.hpp"

namespace step1x::batch {

struct Selection {
  bool recursive = false;
  // Patterns of the shell (fnmatch). One with a '/' is compared with the path below the folder, another with the name.
  std::vector<std::string> include = {};
  std::vector<std::string> exclude = {};
  // Not looked into: the output folder, where it is below the input folder.
  std::filesystem::path skip = {};
  // Passed over: what an earlier run made in the folder that is looked into. As canonical() has them.
  std::set<std::filesystem::path> made = {};
};

struct Found {
  std::vector<Item> items;
  std::vector<std::string> passed_over;  // folders within that cannot be read, each as a line that says why
};

// The pictures of a folder by their extension, or where there is an `include`, the files that it names; hidden files
// and folders are passed over, and links to folders are not followed. In the order of their keys.
Found scan_folder(const std::filesystem::path& folder, const Selection& selection);

// A path for each line, or with `nul` for each string before a zero byte. Empty ones are passed over. Throws
// Error(usage) for a zero byte without `nul`.
std::vector<Item> read_list(std::string_view text, bool nul);

// A path as a key: what is no UTF-8 in it, as "\\xff", because a journal has to be text.
std::string key_of(const std::string& path);

// The item of a file that is named by itself.
Item named_item(const std::string& path);

// The prompt of an item from the text file beside it (NAME.txt for NAME.jpg); nothing where there is none.
// Throws Error(usage) when it cannot be read or is larger than a prompt may be.
std::optional<std::string> sidecar_prompt(const Item& item);

}  // namespace step1x::batch
