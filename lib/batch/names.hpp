// Where an item's picture goes, below the output folder. Pure functions.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "batch/item.hpp"

namespace step1x::batch {

inline constexpr const char* kDefaultName = "{stem}.{ext}";

// What a name can be made of.
struct NameFields {
  std::string stem;       // of the input's name
  std::string extension;  // of the output's format
  std::int64_t seed = 0;
  std::size_t index = 1;  // in the order of the batch
  std::size_t n = 1;      // among the jobs of one picture
};

// A name for the picture of an item, from a template with {stem}, {ext}, {seed}, {index} and {n}. `{{` is a brace.
class NameTemplate {
 public:
  // Throws Error(usage) for a field that there is none of, an unclosed brace, a '/', and what can be no file's name.
  explicit NameTemplate(const std::string& text);

  std::string apply(const NameFields& fields) const;

 private:
  struct Piece {
    bool field = false;
    std::string text;
  };
  std::vector<Piece> pieces_;
};

// The path relative to the output folder for an item in `folder` of the tree: that folder, and the name in it.
// An item that was named by an absolute path or one with `..` goes to the top.
std::string output_key(const std::string& item_key, const std::string& name);

// A file as the file system names it: links are followed, as those who read and write follow them, so that two ways to
// one file are the same. It need not be there.
std::string place(const std::filesystem::path& path);

// An input and where its picture goes.
struct Target {
  std::string key;
  std::filesystem::path input;
  std::filesystem::path output;
};

// Throws Error(usage) with both items when two pictures would go to the same file, also where only their letters' case
// differs and the file system does not tell them apart, and when one would replace an input; with one for a name that
// is too long, or a journal's, and for a place where something lies that is no file.
void check_targets(std::span<const Target> targets, bool ignore_case);

}  // namespace step1x::batch
