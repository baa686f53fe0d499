#include "image/colour_space.hpp"

#include <cmath>

#include "base/error.hpp"

namespace step1x::image {
namespace {

constexpr unsigned kUnspecified = 2;
constexpr Chromaticity kD65{0.3127, 0.3290};
constexpr Chromaticity kIlluminantC{0.310, 0.316};

std::optional<Primaries> primaries_of(unsigned code) {
  switch (code) {
    case 1:  // BT.709
    case kUnspecified:
      return kSrgbPrimaries;
    case 4:  // BT.470 M
      return Primaries{{0.67, 0.33}, {0.21, 0.71}, {0.14, 0.08}, kIlluminantC};
    case 5:  // BT.601 with 625 lines
      return Primaries{{0.64, 0.33}, {0.29, 0.60}, {0.15, 0.06}, kD65};
    case 6:  // BT.601 with 525 lines
    case 7:  // SMPTE ST 240
      return Primaries{{0.630, 0.340}, {0.310, 0.595}, {0.155, 0.070}, kD65};
    case 8:  // film
      return Primaries{{0.681, 0.319}, {0.243, 0.692}, {0.145, 0.049}, kIlluminantC};
    case 9:  // BT.2020
      return Primaries{{0.708, 0.292}, {0.170, 0.797}, {0.131, 0.046}, kD65};
    case 11:  // DCI-P3
      return Primaries{{0.680, 0.320}, {0.265, 0.690}, {0.150, 0.060}, {0.314, 0.351}};
    case 12:  // Display P3
      return Primaries{{0.680, 0.320}, {0.265, 0.690}, {0.150, 0.060}, kD65};
    case 22:  // EBU Tech. 3213
      return Primaries{{0.630, 0.340}, {0.295, 0.605}, {0.155, 0.077}, kD65};
    default:
      return std::nullopt;
  }
}

std::string hdr(const char* name, unsigned transfer) {
  return fmt::format(
      "it is an HDR picture ({}, transfer characteristics {}), and only SDR is read; convert it to SDR first", name,
      transfer);
}

std::string unknown(const char* what, unsigned code) {
  return fmt::format("its colours have {} {} (ITU-T H.273), which cannot be converted; convert it to sRGB first", what,
                     code);
}

bool near(const Chromaticity& a, const Chromaticity& b) {
  constexpr double kTolerance = 0.002;
  return std::abs(a.x - b.x) <= kTolerance && std::abs(a.y - b.y) <= kTolerance;
}

// Twice the area of a triangle, positive where its corners go round to the left.
double turn(const Chromaticity& a, const Chromaticity& b, const Chromaticity& c) {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

}  // namespace

bool is_srgb(const ColourSpace& space) {
  const Primaries& p = space.primaries;
  return !space.gamma && near(p.red, kSrgbPrimaries.red) && near(p.green, kSrgbPrimaries.green) &&
         near(p.blue, kSrgbPrimaries.blue) && near(p.white, kSrgbPrimaries.white);
}

bool is_sound(const Primaries& p) {
  for (const Chromaticity& c : {p.red, p.green, p.blue, p.white}) {
    // A hair more than 1, because both are rounded.
    if (!(c.x >= 0 && c.y >= 0 && c.x + c.y <= 1.0001)) return false;
  }
  // Large enough for the conversion to be a number. Primaries that are in another order go round to the right.
  constexpr double kLeast = 1e-3;
  const double round = turn(p.red, p.green, p.blue) < 0 ? -1 : 1;
  return p.white.y > kLeast && round * turn(p.red, p.green, p.white) > kLeast &&
         round * turn(p.green, p.blue, p.white) > kLeast && round * turn(p.blue, p.red, p.white) > kLeast;
}

ColourStatement statement_of(unsigned primaries, unsigned transfer) {
  ColourStatement statement;
  if (primaries == kUnspecified && transfer == kUnspecified) return statement;
  ColourSpace space;
  switch (transfer) {
    case 1:  // BT.709
    case kUnspecified:
    case 6:   // BT.601
    case 13:  // sRGB
    case 14:  // BT.2020
    case 15:
      break;
    case 4:  // BT.470 M
      space.gamma = 2.2;
      break;
    case 5:  // BT.470 B, G
      space.gamma = 2.8;
      break;
    case 8:
      space.gamma = 1;
      break;
    case 16:
      statement.refusal = hdr("PQ", transfer);
      return statement;
    case 18:
      statement.refusal = hdr("HLG", transfer);
      return statement;
    default:
      statement.refusal = unknown("transfer characteristics", transfer);
      return statement;
  }
  const auto known = primaries_of(primaries);
  if (!known) {
    statement.refusal = unknown("colour primaries", primaries);
    return statement;
  }
  space.primaries = *known;
  statement.space = space;
  return statement;
}

}  // namespace step1x::image
