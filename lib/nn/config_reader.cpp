#include "nn/config_reader.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "weights/json_file.hpp"

namespace step1x {

namespace {

constexpr std::int64_t kLargestDimension = std::int64_t{1} << 24;

bool is_dimension(const nlohmann::json& value) {
  return value.is_number_integer() && value >= 1 && value <= kLargestDimension;
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

template <typename T>
void ConfigReader::take(const std::string& key, T& value, bool good, std::string_view expected) {
  if (!good) fail(key, std::string(expected));
  value = content_[key].get<T>();
}

bool ConfigReader::missing(const std::string& key) {
  if (!has(key) && missing_.empty()) missing_ = key;
  return !has(key);
}

void ConfigReader::read_count(const std::string& key, std::int64_t& value) {
  if (missing(key)) return;
  take(key, value, is_dimension(content_[key]), fmt::format("a whole number from 1 to {}", kLargestDimension));
}

void ConfigReader::read(const std::string& key, std::int64_t& value) {
  const std::int64_t released = value;
  read_count(key, value);
  deviating_ = deviating_ || value != released;
}

void ConfigReader::read(const std::string& key, double& value, double least, double most) {
  if (missing(key)) return;
  const nlohmann::json& found = content_[key];
  // False for NaN.
  const bool good = found.is_number() && found.get<double>() >= least && found.get<double>() <= most;
  take(key, value, good, fmt::format("a number from {} to {}", least, most));
}

void ConfigReader::read(const std::string& key, bool& value) {
  if (missing(key)) return;
  take(key, value, content_[key].is_boolean(), "true or false");
}

void ConfigReader::read(const std::string& key, std::vector<std::int64_t>& value) {
  if (missing(key)) return;
  constexpr std::size_t kLongest = 1000;
  const nlohmann::json& list = content_[key];
  const bool good = list.is_array() && !list.empty() && list.size() <= kLongest &&
                    std::ranges::all_of(list, [](const nlohmann::json& each) { return is_dimension(each); });
  const std::vector<std::int64_t> released = value;
  take(key, value, good, "a list of whole numbers of at least 1");
  deviating_ = deviating_ || value != released;
}

void ConfigReader::complete() const {
  if (deviating_ && !missing_.empty())
    fail(missing_, "a value: a model of other dimensions than the released one gives all of them");
}

void ConfigReader::require(const std::string& key, const nlohmann::json& value) const {
  if (has(key) && content_[key] != value) fail(key, brief(value));
}

void ConfigReader::fail(const std::string& key, const std::string& expected) const {
  throw Error::format(ErrorCode::model_missing, "{}: '{}{}' is {}, expected {}", file_, path_, key,
                      has(key) ? brief(content_[key]) : "missing", expected);
}

}  // namespace step1x
