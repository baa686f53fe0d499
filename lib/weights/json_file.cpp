#include "weights/json_file.hpp"

#include "base/error.hpp"
#include "base/read_file.hpp"

namespace step1x {

nlohmann::json read_json_object(const std::filesystem::path& path) {
  constexpr std::size_t kMaxBytes = 8 << 20;
  constexpr int kMaxDepth = 64;
  const std::string text = read_regular_file(path, kMaxBytes, ErrorCode::model_missing);
  // Parsed without exceptions: the library's own message would put its error numbers before the user.
  const auto shallow = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    if (depth <= kMaxDepth) return true;
    throw Error::format(ErrorCode::model_missing, "{}: nested more than {} levels deep; get the file again",
                        path.string(), kMaxDepth);
  };
  nlohmann::json result = nlohmann::json::parse(text, shallow, false);
  if (result.is_discarded()) {
    throw Error::format(ErrorCode::model_missing, "{}: not valid JSON; get the file again", path.string());
  }
  if (!result.is_object()) throw Error::format(ErrorCode::model_missing, "{}: not a JSON object", path.string());
  return result;
}

std::string brief(const nlohmann::json& value) {
  constexpr std::size_t kShown = 80;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return text;
}

}  // namespace step1x
