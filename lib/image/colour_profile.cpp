#include "image/colour_profile.hpp"

#include <array>
#include <memory>

#include "base/error.hpp"
#include "image/vips_library.hpp"

namespace step1x::image {
namespace {

struct FreeCurve {
  void operator()(cmsToneCurve* curve) const { vips().cmsFreeToneCurve(curve); }
};
struct CloseProfile {
  void operator()(void* profile) const { vips().cmsCloseProfile(profile); }
};

cmsToneCurve* curve_of(const ColourSpace& space) {
  const VipsLibrary& v = vips();
  if (space.gamma) return v.cmsBuildGamma(nullptr, *space.gamma);
  // Of sRGB, as Little CMS wants it: the exponent, a and b above d, and c below it.
  constexpr int kPowerAndLine = 4;
  constexpr std::array<double, 5> kSrgb{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
  return v.cmsBuildParametricToneCurve(nullptr, kPowerAndLine, kSrgb.data());
}

// Little CMS, or an error.
const VipsLibrary& lcms() {
  const VipsLibrary& v = vips();
  if (v.cmsCreateRGBProfile == nullptr) {
    throw Error(
        ErrorCode::failure,
        "this libvips was built without Little CMS, which converts colours to sRGB; install Debian's libvips42");
  }
  return v;
}

cmsCIExyY with_light(const Chromaticity& c) {
  return {c.x, c.y, 1};
}

}  // namespace

std::vector<std::byte> profile_of(const ColourSpace& space) {
  const VipsLibrary& v = lcms();
  const std::unique_ptr<cmsToneCurve, FreeCurve> curve(curve_of(space));
  if (!curve) return {};
  const Primaries& p = space.primaries;
  const cmsCIExyY white = with_light(p.white);
  const cmsCIExyYTRIPLE primaries{with_light(p.red), with_light(p.green), with_light(p.blue)};
  const std::array<cmsToneCurve*, 3> curves{curve.get(), curve.get(), curve.get()};
  const std::unique_ptr<void, CloseProfile> profile(v.cmsCreateRGBProfile(&white, &primaries, curves.data()));
  cmsUInt32Number size = 0;
  if (!profile || v.cmsSaveProfileToMem(profile.get(), nullptr, &size) == 0) return {};
  std::vector<std::byte> bytes(size);
  if (v.cmsSaveProfileToMem(profile.get(), bytes.data(), &size) == 0) return {};
  return bytes;
}

bool is_usable(std::span<const std::byte> profile) {
  const VipsLibrary& v = lcms();
  const std::unique_ptr<void, CloseProfile> opened(
      v.cmsOpenProfileFromMem(profile.data(), static_cast<cmsUInt32Number>(profile.size())));
  return opened && v.cmsIsIntentSupported(opened.get(), INTENT_RELATIVE_COLORIMETRIC, LCMS_USED_AS_INPUT) != 0;
}

}  // namespace step1x::image
