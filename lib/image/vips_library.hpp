// libvips, opened with dlopen when the first picture is touched. The client starts in milliseconds because of that:
// libvips and the hundred libraries below it cost about 30 ms to load, which `step1x gpu status` must not pay.
//
// vips() gives the table of its functions, typed by its headers. Loading happens once; if it fails, every call throws
// Error(failure) that names the Debian package. Any thread, but while the first call runs no other thread should be
// changing the environment.
//
// libvips keeps one error text for the whole process, so everything that can fail runs under VipsLock.
#pragma once

#include <lcms2.h>
#include <vips/vips.h>

#include <memory>
#include <mutex>
#include <string>

namespace step1x::image {

struct VipsLibrary {
#define STEP1X_VIPS_FUNCTIONS(X)   \
  X(vips_init)                     \
  X(vips_version)                  \
  X(vips_cache_set_max)            \
  X(vips_concurrency_get)          \
  X(vips_concurrency_set)          \
  X(vips_operation_block_set)      \
  X(vips_type_find)                \
  X(vips_error_buffer_copy)        \
  X(vips_error_clear)              \
  X(vips_enum_nick)                \
  X(vips_band_format_get_type)     \
  X(vips_interpretation_get_type)  \
  X(vips_image_get_width)          \
  X(vips_image_get_height)         \
  X(vips_image_get_bands)          \
  X(vips_image_get_format)         \
  X(vips_image_get_interpretation) \
  X(vips_image_get_orientation)    \
  X(vips_image_get_n_pages)        \
  X(vips_image_get_typeof)         \
  X(vips_image_get_blob)           \
  X(vips_image_get_fields)         \
  X(vips_image_get_string)         \
  X(vips_image_get_xres)           \
  X(vips_image_get_yres)           \
  X(vips_image_set_string)         \
  X(vips_image_set_blob_copy)      \
  X(vips_region_new)               \
  X(vips_region_prepare)           \
  X(vips_image_new_from_memory)    \
  X(vips_copy)                     \
  X(vips_extract_band)             \
  X(vips_bandjoin)                 \
  X(vips_icc_transform)            \
  X(vips_sink_disc)                \
  X(vips_pngload_buffer)           \
  X(vips_jpegload_buffer)          \
  X(vips_webpload_buffer)          \
  X(vips_tiffload_buffer)          \
  X(vips_gifload_buffer)           \
  X(vips_heifload_buffer)          \
  X(vips_pngsave_buffer)           \
  X(vips_jpegsave_buffer)          \
  X(vips_webpsave_buffer)          \
  X(vips_tiffsave_buffer)          \
  X(vips_gifsave_buffer)           \
  X(vips_heifsave_buffer)          \
  X(g_object_unref)                \
  X(g_free)                        \
  X(g_strfreev)                    \
  X(g_log_set_default_handler)     \
  X(g_module_open)
#define STEP1X_DECLARE(function) decltype(&::function) function = nullptr;
  STEP1X_VIPS_FUNCTIONS(STEP1X_DECLARE)
  // Of Little CMS, which libvips uses; null where this libvips was built without it.
#define STEP1X_LCMS_FUNCTIONS(X) \
  X(cmsBuildGamma)               \
  X(cmsBuildParametricToneCurve) \
  X(cmsFreeToneCurve)            \
  X(cmsCreateRGBProfile)         \
  X(cmsSaveProfileToMem)         \
  X(cmsOpenProfileFromMem)       \
  X(cmsIsIntentSupported)        \
  X(cmsCloseProfile)
  STEP1X_LCMS_FUNCTIONS(STEP1X_DECLARE)
#undef STEP1X_DECLARE
};

const VipsLibrary& vips();

// Ends the named options of a call.
inline constexpr const char* kVipsEnd = nullptr;

// HEIC and AVIF live in a plug-in of libvips, loaded by the first call because it costs as much as libvips itself.
// Throws Error(failure) when this libvips has none.
void load_heif_plugin();

// Held around every call that can fail, from the call to take_error(). Starts with an empty error text.
class VipsLock {
 public:
  VipsLock();

 private:
  std::unique_lock<std::mutex> lock_;
};

// What libvips has to say about the last failure, as one printable line; empties its buffer.
std::string take_error();

struct VipsUnref {
  void operator()(void* object) const { vips().g_object_unref(object); }
};
using VipsImagePtr = std::unique_ptr<VipsImage, VipsUnref>;
using VipsRegionPtr = std::unique_ptr<VipsRegion, VipsUnref>;

}  // namespace step1x::image
