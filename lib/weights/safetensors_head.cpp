#include "weights/safetensors_head.hpp"

#include <nlohmann/json.hpp>

namespace step1x {

std::string safetensors_head(std::span<const NewTensor> tensors) {
  constexpr std::size_t kAlignment = 8;
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::uint64_t offset = 0;
  for (const NewTensor& tensor : tensors) {
    std::uint64_t elements = 1;
    for (const std::int64_t side : tensor.shape) elements *= static_cast<std::uint64_t>(side);
    const std::uint64_t end = offset + elements * bits(tensor.dtype) / 8;
    header[tensor.name] = {{"dtype", name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  std::string head;
  for (unsigned byte = 0; byte < sizeof(std::uint64_t); ++byte) {
    head.push_back(static_cast<char>((std::uint64_t{text.size()} >> (8 * byte)) & 0xFF));
  }
  return head + text;
}

}  // namespace step1x
