// One picture of a batch. Plain data.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "request/parameters.hpp"

namespace step1x::batch {

struct Item {
  // By which the journal knows it: the path below the input folder, or as it was named, with '/' between its parts.
  std::string key;
  std::filesystem::path input;
  // Its own parameters, as they are sent; they go before the batch's.
  request::Json own = request::Json::object();
  std::optional<std::string> output = {};  // as normal_output() has it, instead of the template's
};

}  // namespace step1x::batch
