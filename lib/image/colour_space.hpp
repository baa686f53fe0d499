// The colours that the samples of a picture stand for, where a few numbers say it: primaries, white, and a curve. What
// takes a profile is no matter of this. Plain data and pure functions, any thread.
//
// Code points and their numbers: ITU-T H.273 (2021), tables 2 and 3; sRGB: IEC 61966-2-1; Adobe RGB (1998): Adobe
// Systems, "Adobe RGB (1998) Color Image Encoding", section 4.3.
#pragma once

#include <optional>
#include <string>

namespace step1x::image {

struct Chromaticity {
  double x = 0;
  double y = 0;
};

struct Primaries {
  Chromaticity red, green, blue, white;
};

inline constexpr Primaries kSrgbPrimaries{{0.640, 0.330}, {0.300, 0.600}, {0.150, 0.060}, {0.3127, 0.3290}};

struct ColourSpace {
  Primaries primaries = kSrgbPrimaries;
  // Light is a sample's value to this power, both from 0 to 1; nothing: by the curve of sRGB.
  std::optional<double> gamma;
};

inline constexpr ColourSpace kAdobeRgb{{{0.64, 0.33}, {0.21, 0.71}, {0.15, 0.06}, {0.3127, 0.3290}}, 563.0 / 256};

// To 0.002 in primaries and white, by its own curve.
bool is_srgb(const ColourSpace& space);
// No light is further out than the primaries, and white lies between them.
bool is_sound(const Primaries& primaries);

// What a picture says of its colours besides an embedded profile.
struct ColourStatement {
  std::optional<ColourSpace> space;  // nothing: it says nothing
  std::string refusal;               // not empty: why it cannot be converted, and what to do
  bool before_profile = false;       // it goes before an embedded profile

  bool says_something() const { return space || !refusal.empty(); }
};

// The curves of BT.709 and its relatives count as sRGB's, as browsers have it for still pictures: a picture that says
// so was hardly ever made by the curve of a television camera. What is "unspecified" counts as sRGB's too; both: no
// statement.
ColourStatement statement_of(unsigned primaries, unsigned transfer);

}  // namespace step1x::image
