// Values out of a safetensors file, for comparing with what the code under test computes.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "weights/safetensors.hpp"

namespace step1x::test {

// T must be the stored type.
template <typename T>
std::vector<T> values(const SafetensorsFile& file, std::string_view name) {
  const TensorInfo& tensor = file.at(name);
  if (bits(tensor.dtype) != 8 * sizeof(T)) throw std::runtime_error("wrong type asked for");
  std::vector<T> result(tensor.bytes / sizeof(T));
  file.read(tensor, std::as_writable_bytes(std::span(result)));
  return result;
}

// An integer tensor of any width.
inline std::vector<std::int64_t> integers(const SafetensorsFile& file, std::string_view name) {
  const auto widen = [](const auto& narrow) { return std::vector<std::int64_t>(narrow.begin(), narrow.end()); };
  switch (file.at(name).dtype) {
    case Dtype::u8:
      return widen(values<std::uint8_t>(file, name));
    case Dtype::i32:
      return widen(values<std::int32_t>(file, name));
    default:
      return values<std::int64_t>(file, name);
  }
}

}  // namespace step1x::test
