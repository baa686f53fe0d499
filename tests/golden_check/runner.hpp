// Finds golden cases in folders, runs them, and prints a line for each. Single-threaded.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "model/golden_tensors.hpp"
#include "text/tokenizer.hpp"

namespace step1x::test {

class Runner {
 public:
  // `tokenizer` holds the full tokenizer's tokenizer.json; empty: qwen2-tokenizer in or beside a folder that is walked.
  Runner(std::filesystem::path tokenizer, bool verbose);

  // All cases in `folder` and below it.
  void walk(const std::filesystem::path& folder);
  // The last line. True if cases were found, if only skipped ones, and none failed.
  bool finish() const;

 private:
  void visit(const std::filesystem::path& folder);
  void native_manifest(const std::filesystem::path& folder, const nlohmann::json& manifest);
  void native_case(const std::filesystem::path& file, const nlohmann::json& about);
  void diffusers_manifest(const std::filesystem::path& folder, const nlohmann::json& manifest);
  void tokenizer_case(const std::filesystem::path& folder);

  void run(const std::string& name, const std::function<Comparisons()>& check);
  void fail(const std::string& name, const std::string& why);
  void skip(const std::string& name, const std::string& why);
  std::string name_of(const std::filesystem::path& path) const;
  const Tokenizer& full_tokenizer(const std::filesystem::path& beside);

  std::filesystem::path root_;
  std::filesystem::path tokenizer_;
  bool verbose_;
  std::unique_ptr<const Tokenizer> full_;
  int passed_ = 0;
  int failed_ = 0;
  int skipped_ = 0;
};

}  // namespace step1x::test
