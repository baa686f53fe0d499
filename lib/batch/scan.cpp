#include "batch/scan.hpp"

#include <fnmatch.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/read_file.hpp"
#include "base/utf8.hpp"
#include "image/format.hpp"
#include "request/prompt_text.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;

bool matches(const std::string& pattern, const std::string& key) {
  const bool whole = pattern.find('/') != std::string::npos;
  const std::string& text = whole ? key : key.substr(key.rfind('/') + 1);
  return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

bool any_matches(const std::vector<std::string>& patterns, const std::string& key) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return matches(pattern, key); });
}

bool wanted(const std::string& key, const Selection& selection) {
  if (any_matches(selection.exclude, key)) return false;
  if (!selection.include.empty()) return any_matches(selection.include, key);
  return image::format_from_extension(key).has_value();
}

void scan(const fs::path& folder, const std::string& prefix, const Selection& selection, Found& found) {
  std::error_code problem;
  const fs::path whole = selection.made.empty() ? fs::path() : fs::weakly_canonical(folder, problem);
  fs::directory_iterator entries(folder, problem);
  for (const fs::directory_iterator end; !problem && entries != end; entries.increment(problem)) {
    const std::string name = entries->path().filename().string();
    if (name.starts_with('.')) continue;
    const std::string key = prefix + name;
    std::error_code ignored;
    if (entries->is_directory(ignored)) {
      const bool into = selection.recursive && !entries->is_symlink(ignored) &&
                        !fs::equivalent(entries->path(), selection.skip, ignored);
      if (into) scan(entries->path(), key + "/", selection, found);
    } else if (wanted(key, selection) && entries->is_regular_file(ignored) && !selection.made.contains(whole / name)) {
      found.items.push_back({key_of(key), entries->path()});
    }
  }
  if (!problem) return;
  const std::string why = fmt::format("cannot read the folder {}: {}", folder.string(), problem.message());
  if (prefix.empty()) throw Error(ErrorCode::usage, why);
  found.passed_over.push_back(why);
}

}  // namespace

std::string key_of(const std::string& path) {
  std::string key;
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t valid = find_invalid_utf8(rest).value_or(rest.size());
    key += rest.substr(0, valid);
    if (valid < rest.size()) key += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest[valid]));
    rest.remove_prefix(std::min(rest.size(), valid + 1));
  }
  return key;
}

Found scan_folder(const fs::path& folder, const Selection& selection) {
  Found found;
  scan(folder, "", selection, found);
  std::ranges::sort(found.items, {}, &Item::key);
  return found;
}

std::vector<Item> read_list(std::string_view text, bool nul) {
  text = without_byte_order_mark(text);
  // The system would take the first one for the end of the path, and so another file for the one that was meant.
  if (!nul && text.find('\0') != std::string_view::npos)
    throw Error(ErrorCode::usage,
                "the list of pictures has zero bytes in it: say -0 (--null) if they divide the paths");
  std::vector<Item> items;
  const char end = nul ? '\0' : '\n';
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t stop = std::min(text.find(end, at), text.size());
    std::string path(text.substr(at, stop - at));
    if (!nul && path.ends_with('\r')) path.pop_back();
    if (!path.empty()) items.push_back(named_item(path));
    at = stop + 1;
  }
  return items;
}

Item named_item(const std::string& path) {
  return {key_of(fs::path(path).lexically_normal().generic_string()), path};
}

std::optional<std::string> sidecar_prompt(const Item& item) {
  fs::path file = item.input;
  file.replace_extension(".txt");
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  const UniqueFd fd = open_regular_file(file, ErrorCode::usage);
  return request::read_prompt_text(fd.get(), "the prompt in " + file.string());
}

}  // namespace step1x::batch
