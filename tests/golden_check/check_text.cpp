#include <algorithm>

#include "base/error.hpp"
#include "checks.hpp"
#include "support/temp_dir.hpp"
#include "text/prompt.hpp"

namespace step1x::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Ids = std::vector<Tokenizer::Id>;

std::string bytes_of(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::int64_t wrong_ids(const Tokenizer& tokenizer, const json& vectors, const char* vocabulary) {
  return std::ranges::count_if(vectors, [&](const json& each) {
    return tokenizer.encode(each.at("text").get<std::string>()) != each.at(vocabulary).get<Ids>();
  });
}

}  // namespace

Comparisons check_tokenizer(const fs::path& folder, const Tokenizer& full, const Tokenizer& small) {
  const json vectors = json::parse(read_file(folder / "vectors.json"));
  const json invalid = json::parse(read_file(folder / "invalid_utf8.json"));
  if (vectors.empty() || invalid.empty()) throw std::runtime_error("there are no vectors");
  const auto unnoticed = std::ranges::count_if(invalid, [&](const json& each) {
    try {
      full.encode(bytes_of(each.at("hex").get<std::string>()));
      return true;
    } catch (const Error& error) {
      const std::string place = "byte " + std::to_string(each.at("offset").get<int>());
      return std::string(error.what()).find(place) == std::string::npos;
    }
  });
  return {{"strings with other ids, full vocabulary", static_cast<double>(wrong_ids(full, vectors, "full")), 0},
          {"strings with other ids, small vocabulary", static_cast<double>(wrong_ids(small, vectors, "small")), 0},
          {"invalid UTF-8 that was not refused at its byte", static_cast<double>(unnoticed), 0}};
}

Comparisons check_prompt_ids_v1_2(const fs::path& folder, const Tokenizer& full) {
  const json vectors = json::parse(read_file(folder / "prompt-ids-full-vocab.json"));
  const PromptConfig config = diffusers_v1_2_prompt();
  double wrong = 0;
  for (const json& each : vectors.at("cases")) {
    const auto prompt = each.at("prompt").get<std::string>();
    try {
      const EncodedPrompt encoded = encode_prompt(full, config, prompt, 1);
      if (encoded.ids != each.at("ids").get<Ids>()) ++wrong;
      if (encoded.quoted != each.at("text_mask").get<std::vector<std::uint8_t>>()) ++wrong;
    } catch (const Error&) {
      // The reference takes a second picture mark for a second picture; it is refused here.
      if (prompt.find("<|image_pad|>") == std::string::npos) ++wrong;
    }
  }
  return {{"prompts with other ids or quotes", wrong, 0}};
}

}  // namespace step1x::test
