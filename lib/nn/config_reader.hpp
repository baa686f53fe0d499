// Reads numbers out of a model's config.json, with errors that name file, key, expected and found. Pure functions.
// What is not there keeps its default; what is there must be of the kind that is wanted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace step1x {

class ConfigReader {
 public:
  explicit ConfigReader(const std::filesystem::path& file);

  // The object under `key`, or an empty one. Keys below are given as they lie in it.
  ConfigReader section(const std::string& key) const;

  bool has(const std::string& key) const;
  // A dimension or count: an integer from 1 to 2^31 - 1.
  void read(const std::string& key, std::int64_t& value) const;
  void read(const std::string& key, double& value) const;
  void read(const std::string& key, bool& value) const;
  void read(const std::string& key, std::vector<std::int64_t>& value) const;
  // A key that must have this value if it is there at all: lib/model knows no other.
  void require(const std::string& key, const nlohmann::json& value) const;
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const;

  const nlohmann::json& content() const { return content_; }
  const std::string& file() const { return file_; }

 private:
  ConfigReader(std::string file, std::string path, nlohmann::json content);

  std::string file_;
  std::string path_;  // "dit.", or empty
  nlohmann::json content_;
};

}  // namespace step1x
