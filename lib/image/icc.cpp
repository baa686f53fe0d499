#include "image/icc.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

namespace step1x::image {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::size_t kHeader = 128;
constexpr std::size_t kMostTags = 256;
constexpr double kPrimaryTolerance = 0.002;

// Bytes outside the profile read as zero, which no check below accepts.
std::uint32_t u32(Bytes b, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | (at + i < b.size() ? std::uint32_t(b[at + i]) : 0);
  return value;
}

std::uint32_t u16(Bytes b, std::size_t at) {
  return u32(b, at) >> 16;
}

double fixed(Bytes b, std::size_t at) {
  return static_cast<std::int32_t>(u32(b, at)) / 65536.0;
}

constexpr std::uint32_t tag(std::string_view name) {
  std::uint32_t value = 0;
  for (const char c : name) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::optional<Bytes> find(Bytes profile, std::string_view name) {
  const std::size_t count = u32(profile, kHeader);
  if (count > kMostTags) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = kHeader + 4 + 12 * i;
    if (u32(profile, entry) != tag(name)) continue;
    const std::size_t offset = u32(profile, entry + 4);
    const std::size_t size = u32(profile, entry + 8);
    if (offset > profile.size() || size > profile.size() - offset) return std::nullopt;
    return profile.subspan(offset, size);
  }
  return std::nullopt;
}

bool near_xyz(std::optional<Bytes> data, std::array<double, 3> xyz) {
  if (!data || u32(*data, 0) != tag("XYZ ")) return false;
  for (std::size_t i = 0; i < 3; ++i) {
    if (std::abs(fixed(*data, 8 + 4 * i) - xyz[i]) > kPrimaryTolerance) return false;
  }
  return true;
}

// The curve at x in 0..1; NaN for kinds that no sRGB profile uses.
double curve(Bytes data, double x) {
  if (u32(data, 0) == tag("curv")) {
    const std::size_t count = u32(data, 8);
    if (count < 2 || count > (data.size() - 12) / 2) return NAN;
    const double position = x * static_cast<double>(count - 1);
    const auto i = std::min(static_cast<std::size_t>(position), count - 2);
    const double low = u16(data, 12 + 2 * i);
    const double high = u16(data, 14 + 2 * i);
    return (low + (high - low) * (position - static_cast<double>(i))) / 65535;
  }
  if (u32(data, 0) == tag("para") && u16(data, 8) == 3) {
    const double g = fixed(data, 12), a = fixed(data, 16), b = fixed(data, 20), c = fixed(data, 24),
                 d = fixed(data, 28);
    return x >= d ? std::pow(a * x + b, g) : c * x;
  }
  return NAN;
}

double srgb_encode(double linear) {
  return linear <= 0.0031308 ? 12.92 * linear : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
}

bool srgb_curve(std::optional<Bytes> data) {
  if (!data || data->size() < 12) return false;
  for (int i = 0; i < 256; ++i) {
    // Written so that NaN fails.
    if (!(std::abs(srgb_encode(curve(*data, i / 255.0)) * 255 - i) < 0.5)) return false;
  }
  return true;
}

}  // namespace

bool is_srgb(Bytes profile) {
  if (u32(profile, 36) != tag("acsp") || u32(profile, 16) != tag("RGB ") || u32(profile, 20) != tag("XYZ "))
    return false;
  if (find(profile, "A2B0") || find(profile, "A2B1")) return false;  // a table, which goes before the matrix
  return near_xyz(find(profile, "rXYZ"), {0.4360, 0.2225, 0.0139}) &&
         near_xyz(find(profile, "gXYZ"), {0.3851, 0.7169, 0.0971}) &&
         near_xyz(find(profile, "bXYZ"), {0.1431, 0.0606, 0.7141}) && srgb_curve(find(profile, "rTRC")) &&
         srgb_curve(find(profile, "gTRC")) && srgb_curve(find(profile, "bTRC"));
}

}  // namespace step1x::image
