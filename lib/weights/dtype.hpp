// Element types of the safetensors format. The names are the format's own ("BF16"). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace step1x {

enum class Dtype {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

std::string_view name(Dtype dtype);
// Nothing for a name that the format does not have.
std::optional<Dtype> dtype_of(std::string_view name);
// Bits of one element: 4 and 6 for the packed types, else a multiple of 8.
std::uint64_t bits(Dtype dtype);

}  // namespace step1x
