// Reads numbers out of a model's config.json, with errors that name file, key, expected and found. Nothing that it
// gives makes arithmetic on dimensions overflow or divide by zero. What is there must be of the kind that is wanted;
// what is not keeps its default, which is the released model's. Of one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace step1x {

class ConfigReader {
 public:
  explicit ConfigReader(const std::filesystem::path& file);

  // The object under `key`, or an empty one. Keys below are given as they lie in it.
  ConfigReader section(const std::string& key) const;

  bool has(const std::string& key) const;
  // A dimension: an integer from 1 to 2^24, of which three can be multiplied.
  void read(const std::string& key, std::int64_t& value);
  // How many blocks there are. A model with other ones than the released one has may be of its dimensions.
  void read_count(const std::string& key, std::int64_t& value);
  void read(const std::string& key, double& value, double least, double most);
  void read(const std::string& key, bool& value);
  // At most 1000 dimensions.
  void read(const std::string& key, std::vector<std::int64_t>& value);
  // To be called when all is read. A model of other dimensions than the released one has to give them all: heads and
  // groups that are missing would be found in no tensor's shape.
  void complete() const;
  // A key that must have this value if it is there at all: lib/model knows no other.
  void require(const std::string& key, const nlohmann::json& value) const;
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const;

  const nlohmann::json& content() const { return content_; }
  const std::string& file() const { return file_; }

 private:
  ConfigReader(std::string file, std::string path, nlohmann::json content);
  template <typename T>
  void take(const std::string& key, T& value, bool good, std::string_view expected);
  bool missing(const std::string& key);

  std::string file_;
  std::string path_;  // "dit.", or empty
  nlohmann::json content_;
  std::string missing_;     // the first key that was not there
  bool deviating_ = false;  // a dimension was not the default
};

}  // namespace step1x
