#include "batch/names.hpp"

#include <algorithm>
#include <climits>
#include <unordered_map>
#include <utility>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "batch/journal.hpp"

namespace step1x::batch {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFields = "{stem}, {ext}, {seed}, {index}, {n}";

bool is_field(const std::string& name) {
  return name == "stem" || name == "ext" || name == "seed" || name == "index" || name == "n";
}

void check_name(const Target& target) {
  const std::string name = target.output.filename().string();
  if (name.size() > NAME_MAX)
    throw Error::format(ErrorCode::usage,
                        "the picture of {} would have a name of {} bytes, and {} are allowed: shorten it with --name",
                        target.key, name.size(), NAME_MAX);
  if (is_journal_name(lower_ascii(name)))
    throw Error::format(ErrorCode::usage,
                        "the picture of {} would be called {}, as the journal of a batch is: give it another name",
                        target.key, name);
  std::error_code ignored;
  const fs::file_status there = fs::status(target.output, ignored);
  if (fs::exists(there) && !fs::is_regular_file(there))
    throw Error::format(ErrorCode::usage,
                        "the picture of {} would replace {}, which is no regular file: remove it, or name the picture "
                        "otherwise with --name",
                        target.key, target.output.string());
}

}  // namespace

std::string place(const fs::path& path) {
  std::error_code ignored;
  return fs::weakly_canonical(fs::absolute(path), ignored).string();
}

NameTemplate::NameTemplate(const std::string& text) {
  const auto refuse = [&](const std::string& why) {
    throw Error::format(ErrorCode::usage, "--name '{}': {}", text, why);
  };
  std::string plain;
  const auto flush = [&] {
    if (!plain.empty()) pieces_.push_back({false, std::exchange(plain, {})});
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if ((text[i] == '{' || text[i] == '}') && doubled) {
      plain += text[i++];
    } else if (text[i] == '{') {
      const auto end = text.find('}', i);
      if (end == std::string::npos) refuse("a brace is not closed");
      const std::string name = text.substr(i + 1, end - i - 1);
      if (!is_field(name)) refuse(fmt::format("there is no {{{}}}, but {}", name, kFields));
      flush();
      pieces_.push_back({true, name});
      i = end;
    } else if (text[i] == '}') {
      refuse("a brace is closed that was not opened");
    } else if (text[i] == '/') {
      refuse("a name has no '/'; the folders are those of the inputs");
    } else {
      plain += text[i];
    }
  }
  flush();
  if (pieces_.empty()) refuse("it is empty");
  if (!pieces_.front().field && pieces_.front().text.starts_with('.')) refuse("it would be hidden");
}

std::string NameTemplate::apply(const NameFields& fields) const {
  std::string name;
  for (const Piece& piece : pieces_) {
    if (!piece.field) name += piece.text;
    if (piece.field && piece.text == "stem") name += fields.stem;
    if (piece.field && piece.text == "ext") name += fields.extension;
    if (piece.field && piece.text == "seed") name += std::to_string(fields.seed);
    if (piece.field && piece.text == "index") name += std::to_string(fields.index);
    if (piece.field && piece.text == "n") name += std::to_string(fields.n);
  }
  return name;
}

std::string output_key(const std::string& item_key, const std::string& name) {
  const fs::path folder = fs::path(item_key).parent_path();
  const bool within = folder.is_relative() && (folder.empty() || *folder.begin() != "..");
  return within ? (folder / name).generic_string() : name;
}

void check_targets(std::span<const Target> targets, bool ignore_case) {
  std::unordered_map<std::string, const Target*> outputs;
  for (const Target& target : targets) {
    check_name(target);
    const std::string where = place(target.output);
    const auto [first, added] = outputs.emplace(ignore_case ? lower_ascii(where) : where, &target);
    if (added) continue;
    throw Error::format(ErrorCode::usage, "{} and {} would both become {}: tell them apart with --name",
                        first->second->key, target.key, target.output.string());
  }
  for (const Target& target : targets) {
    const std::string where = place(target.input);
    const auto found = outputs.find(ignore_case ? lower_ascii(where) : where);
    if (found == outputs.end()) continue;
    // Where a name of its own is no help, because the input has it.
    const bool other_name = found->second->output.filename() == found->second->input.filename();
    throw Error::format(ErrorCode::usage, "the picture of {} would replace the input {}: use another output folder{}",
                        found->second->key, target.key,
                        other_name ? ", or --name '{stem}-edited.{ext}'" : ", or leave that input out");
  }
}

}  // namespace step1x::batch
