// Safetensors files made by hand, so that they can be wrong in exactly one way.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace step1x::test {

// The 8 bytes of the length, the header, the data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return out.append(header).append(data);
}

// A good file with these tensors, each U8 of shape [2].
inline std::string file_of(const std::vector<std::string>& names) {
  std::string header = "{";
  std::string data;
  for (const std::string& name : names) {
    header += fmt::format(R"({}"{}":{{"dtype":"U8","shape":[2],"data_offsets":[{},{}]}})", data.empty() ? "" : ",",
                          name, data.size(), data.size() + 2);
    data += name.substr(0, 1) + "x";
  }
  return safetensors_bytes(header + "}", data);
}

}  // namespace step1x::test
