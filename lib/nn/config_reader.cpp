#include "nn/config_reader.hpp"

#include <limits>

#include "base/error.hpp"
#include "weights/json_file.hpp"

namespace step1x {

namespace {

bool is_dimension(const nlohmann::json& value) {
  return value.is_number_integer() && value >= 1 && value <= std::numeric_limits<std::int32_t>::max();
}

}  // namespace

ConfigReader::ConfigReader(const std::filesystem::path& file)
    : ConfigReader(file.string(), "", read_json_object(file)) {}

ConfigReader::ConfigReader(std::string file, std::string path, nlohmann::json content)
    : file_(std::move(file)), path_(std::move(path)), content_(std::move(content)) {}

ConfigReader ConfigReader::section(const std::string& key) const {
  if (!has(key)) return {file_, path_ + key + ".", nlohmann::json::object()};
  if (!content_[key].is_object()) fail(key, "an object");
  return {file_, path_ + key + ".", content_[key]};
}

bool ConfigReader::has(const std::string& key) const {
  return content_.contains(key);
}

void ConfigReader::read(const std::string& key, std::int64_t& value) const {
  if (!has(key)) return;
  if (!is_dimension(content_[key])) fail(key, "a whole number of at least 1");
  value = content_[key].get<std::int64_t>();
}

void ConfigReader::read(const std::string& key, double& value) const {
  if (!has(key)) return;
  if (!content_[key].is_number()) fail(key, "a number");
  value = content_[key].get<double>();
}

void ConfigReader::read(const std::string& key, bool& value) const {
  if (!has(key)) return;
  if (!content_[key].is_boolean()) fail(key, "true or false");
  value = content_[key].get<bool>();
}

void ConfigReader::read(const std::string& key, std::vector<std::int64_t>& value) const {
  if (!has(key)) return;
  const nlohmann::json& list = content_[key];
  bool good = list.is_array() && !list.empty();
  for (const nlohmann::json& each : list) good = good && is_dimension(each);
  if (!good) fail(key, "a list of whole numbers of at least 1");
  value = list.get<std::vector<std::int64_t>>();
}

void ConfigReader::require(const std::string& key, const nlohmann::json& value) const {
  if (has(key) && content_[key] != value) fail(key, value.dump());
}

void ConfigReader::fail(const std::string& key, const std::string& expected) const {
  throw Error::format(ErrorCode::model_missing, "{}: '{}{}' is {}, expected {}", file_, path_, key,
                      has(key) ? content_[key].dump() : "missing", expected);
}

}  // namespace step1x
