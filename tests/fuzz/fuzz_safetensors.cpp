// Any bytes as a safetensors file: refused with an Error, or accepted with tensors that tile the data exactly.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.hpp"
#include "weights/safetensors.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes = std::as_bytes(std::span(data, size));
  try {
    const std::uint64_t length = step1x::check_header_length(bytes, size, "fuzz");
    const std::string_view text(reinterpret_cast<const char*>(data) + 8, length);
    std::uint64_t expected = 8 + length;
    for (const step1x::TensorInfo& tensor : step1x::parse_header(text, size, "fuzz").tensors) {
      require(tensor.offset == expected);
      expected += tensor.bytes;
      std::uint64_t bits = step1x::bits(tensor.dtype);
      for (const std::int64_t side : tensor.shape) {
        require(side >= 0 && !__builtin_mul_overflow(bits, static_cast<std::uint64_t>(side), &bits));
      }
      require(bits == tensor.bytes * 8);
    }
    require(expected == size);
  } catch (const step1x::Error& error) {
    require(error.code() == step1x::ErrorCode::model_missing);
  }
  return 0;
}
