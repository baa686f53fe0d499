#include "image/vips_library.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"
#include "image/messages.hpp"

namespace step1x::image {
namespace {

constexpr const char* kLibrary = "libvips.so.42";
// Decoding is mostly serial, and every thread costs start-up time and memory.
constexpr int kMostThreads = 8;

// Errors reach the user through our own exceptions; a warning about a picture that decodes is none of their business.
void drop_log(const gchar*, GLogLevelFlags, const gchar*, gpointer) {}

[[noreturn]] void fail_to_load(const std::string& why) {
  throw Error::format(ErrorCode::failure,
                      "cannot load libvips, which reads and writes pictures: {}; install the package libvips42",
                      printable_line(why));
}

// vips_init() loads every plug-in it finds (ImageMagick, poppler, OpenSlide...), which takes as long as libvips itself
// and brings parsers that must never see a user's file. It looks for them below VIPSHOME.
int init_without_plugins(const VipsLibrary& v) {
  if (std::getenv("VIPSHOME") != nullptr) return v.vips_init("step1x");
  ::setenv("VIPSHOME", "/nonexistent", 1);
  const int result = v.vips_init("step1x");
  ::unsetenv("VIPSHOME");
  return result;
}

VipsLibrary load() {
  void* handle = ::dlopen(kLibrary, RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) fail_to_load(::dlerror());
  VipsLibrary v;
  // A handle's symbols include those of the libraries it needs, so those of GLib and Little CMS are found through it
  // too.
#define STEP1X_LOOK_UP(function)                                                   \
  v.function = reinterpret_cast<decltype(v.function)>(::dlsym(handle, #function)); \
  if (v.function == nullptr) fail_to_load(::dlerror());
  STEP1X_VIPS_FUNCTIONS(STEP1X_LOOK_UP)
#undef STEP1X_LOOK_UP
#define STEP1X_LOOK_UP(function) v.function = reinterpret_cast<decltype(v.function)>(::dlsym(handle, #function));
  STEP1X_LCMS_FUNCTIONS(STEP1X_LOOK_UP)
#undef STEP1X_LOOK_UP

  v.g_log_set_default_handler(drop_log, nullptr);
  if (init_without_plugins(v) != 0) fail_to_load("vips_init failed");
  v.vips_cache_set_max(0);
  if (std::getenv("VIPS_CONCURRENCY") == nullptr) {
    v.vips_concurrency_set(std::min(v.vips_concurrency_get(), kMostThreads));
  }
  // Whatever a picture says it is, no other parser can be reached.
  v.vips_operation_block_set("VipsForeignLoad", TRUE);
  for (const char* allowed : {"VipsForeignLoadPng", "VipsForeignLoadJpeg", "VipsForeignLoadWebp", "VipsForeignLoadTiff",
                              "VipsForeignLoadNsgif"}) {
    v.vips_operation_block_set(allowed, FALSE);
  }
  return v;
}

std::mutex& mutex() {
  static std::mutex m;
  return m;
}

}  // namespace

const VipsLibrary& vips() {
  static const VipsLibrary library = load();
  return library;
}

void load_heif_plugin() {
  static const bool loaded = [] {
    const VipsLibrary& v = vips();
    if (v.vips_type_find("VipsOperation", "heifload_buffer") == 0) {
      Dl_info info{};
      if (::dladdr(reinterpret_cast<const void*>(v.vips_init), &info) != 0 && info.dli_fname != nullptr) {
        const auto plugin = std::filesystem::path(info.dli_fname).parent_path() /
                            fmt::format("vips-modules-{}.{}", v.vips_version(0), v.vips_version(1)) / "vips-heif.so";
        v.g_module_open(plugin.c_str(), G_MODULE_BIND_LAZY);
      }
    }
    // Blocks and unblocks reach only the classes that exist when they are called.
    v.vips_operation_block_set("VipsForeignLoadHeif", FALSE);
    return v.vips_type_find("VipsOperation", "heifload_buffer") != 0;
  }();
  if (!loaded) {
    throw Error(
        ErrorCode::failure,
        "this libvips cannot read or write HEIC and AVIF: its plug-in vips-heif.so is missing; use PNG, JPEG or WebP");
  }
}

VipsLock::VipsLock() : lock_(mutex()) {
  // A picture that decoded in spite of something leaves its complaint behind.
  vips().vips_error_clear();
}

std::string take_error() {
  const VipsLibrary& v = vips();
  char* text = v.vips_error_buffer_copy();
  std::string line = printable_line(text == nullptr ? "" : text);
  v.g_free(text);
  v.vips_error_clear();
  return line.empty() ? "libvips gives no reason" : line;
}

}  // namespace step1x::image
