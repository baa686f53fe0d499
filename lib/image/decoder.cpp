#include "image/decoder.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "image/camera_raw.hpp"
#include "image/colour_profile.hpp"
#include "image/colour_statement.hpp"
#include "image/format.hpp"
#include "image/gif.hpp"
#include "image/icc.hpp"
#include "image/input_file.hpp"
#include "image/messages.hpp"
#include "image/picture_count.hpp"
#include "image/pixels.hpp"
#include "image/vips_library.hpp"
#include "image/vips_metadata.hpp"

namespace step1x::image {

struct Decoder::State {
  std::string name;
  std::vector<std::byte> bytes;  // the file; `stored` reads from it until it is decoded
  VipsImagePtr stored;
  PixelLayout layout;
  std::optional<Upright> upright;
  Metadata metadata;
  ColourStatement colours;
  int pictures = 1;
};

namespace {

// Decoded at a time: few enough to stay in the cache, enough to write a turned picture in runs.
constexpr int kStripRows = 32;

// Reads the header only; the pixels come when they are asked for, top to bottom.
VipsImagePtr open(Format format, std::vector<std::byte>& bytes) {
  const VipsLibrary& v = vips();
  VipsImage* image = nullptr;
  const auto load = [&](auto loader) {
    loader(bytes.data(), bytes.size(), &image, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
           kVipsEnd);
  };
  switch (format) {
    case Format::png:
      load(v.vips_pngload_buffer);
      break;
    case Format::jpeg:
      load(v.vips_jpegload_buffer);
      break;
    case Format::webp:
      load(v.vips_webpload_buffer);
      break;
    case Format::tiff:
      load(v.vips_tiffload_buffer);
      break;
    case Format::gif:
      load(v.vips_gifload_buffer);
      break;
    case Format::avif:
    case Format::heic:
      load(v.vips_heifload_buffer);
      break;
  }
  return VipsImagePtr(image);
}

void check_size(const std::string& name, VipsImage* image, const Limits& limits) {
  const VipsLibrary& v = vips();
  const int width = v.vips_image_get_width(image);
  const int height = v.vips_image_get_height(image);
  if (width < 1 || height < 1) cannot_read(name, "it has no pixels");
  const std::uint64_t pixels = std::uint64_t(width) * std::uint64_t(height);
  if (width > limits.max_side || height > limits.max_side || pixels > limits.max_pixels) {
    cannot_read(
        name, fmt::format("it is {}x{} pixels, and at most {} on a side and {} in all are read; make it smaller first",
                          width, height, limits.max_side, limits.max_pixels));
  }
  const std::uint64_t sample = v.vips_image_get_format(image) == VIPS_FORMAT_UCHAR ? 1 : 2;
  const std::uint64_t decoded = pixels * std::uint64_t(v.vips_image_get_bands(image)) * sample;
  if (decoded > limits.max_decoded_bytes) {
    cannot_read(
        name, fmt::format("{}x{} pixels of {} samples with {} bits need {} bytes, and at most {} are used; make it "
                          "smaller first",
                          width, height, v.vips_image_get_bands(image), sample * 8, decoded, limits.max_decoded_bytes));
  }
}

PixelLayout layout_of(const std::string& name, VipsImage* image) {
  const VipsLibrary& v = vips();
  PixelLayout layout;
  layout.bands = v.vips_image_get_bands(image);
  const VipsBandFormat format = v.vips_image_get_format(image);
  if (format != VIPS_FORMAT_UCHAR && format != VIPS_FORMAT_USHORT) {
    cannot_read(
        name, fmt::format("its samples are of type {}, and only 8- and 16-bit unsigned ones are read; convert it first",
                          v.vips_enum_nick(v.vips_band_format_get_type(), format)));
  }
  layout.sample_bytes = format == VIPS_FORMAT_UCHAR ? 1 : 2;
  const VipsInterpretation model = v.vips_image_get_interpretation(image);
  int needed = 3;
  switch (model) {
    case VIPS_INTERPRETATION_B_W:
    case VIPS_INTERPRETATION_GREY16:
      layout.model = PixelLayout::Model::grey;
      needed = 1;
      break;
    case VIPS_INTERPRETATION_sRGB:
    case VIPS_INTERPRETATION_RGB:
    case VIPS_INTERPRETATION_RGB16:
      layout.model = PixelLayout::Model::rgb;
      break;
    case VIPS_INTERPRETATION_CMYK:
      layout.model = PixelLayout::Model::cmyk;
      needed = 4;
      break;
    default:
      needed = -1;
  }
  if (needed < 0 || layout.bands < needed) {
    cannot_read(name,
                fmt::format("its colours are {} in {} samples, and only grey, RGB and CMYK are read; convert it first",
                            v.vips_enum_nick(v.vips_interpretation_get_type(), model), layout.bands));
  }
  return layout;
}

struct Destination {
  const Upright& upright;
  PixelLayout layout;
  std::uint8_t* rgb;
  std::optional<std::array<std::uint8_t, 3>> hidden;  // what pixels with alpha 0 become
};

void show_hidden(const std::byte* from, std::ptrdiff_t step, int count, std::array<std::uint8_t, 3> colour,
                 std::uint8_t* to) {
  for (int i = 0; i < count; ++i, from += step, to += 3) {
    if (from[3] == std::byte{0}) std::ranges::copy(colour, to);
  }
}

// Rows of stored pixels, full width, from row `top` on.
struct Strip {
  const std::byte* from;
  std::ptrdiff_t line;  // bytes from one row to the next
  int top;
  int width;
  int height;
};

void place(const Strip& strip, const Destination& d) {
  const std::ptrdiff_t pixel = d.layout.pixel_bytes();
  const Upright& u = d.upright;
  std::uint8_t* first = d.rgb + 3 * (u.origin + strip.top * u.dy);
  if (u.transposed()) {
    // Along columns, so that what is written lies together; the strip that is read fits the cache.
    for (int x = 0; x < strip.width; ++x) {
      convert_pixels(strip.from + x * pixel, strip.line, d.layout, strip.height, first + 3 * x * u.dx, u.dy);
    }
    return;
  }
  for (int y = 0; y < strip.height; ++y) {
    const std::byte* from = strip.from + y * strip.line;
    convert_pixels(from, pixel, d.layout, strip.width, first + 3 * y * u.dy, u.dx);
    if (d.hidden) show_hidden(from, pixel, strip.width, *d.hidden, first + 3 * y * u.dy);
  }
}

Strip strip_of(const VipsRegion& region, const VipsRect& area, PixelLayout layout) {
  return {reinterpret_cast<const std::byte*>(region.data) + std::ptrdiff_t{area.top - region.valid.top} * region.bpl +
              (area.left - region.valid.left) * layout.pixel_bytes(),
          region.bpl, area.top, area.width, area.height};
}

// Decodes from top to bottom and hands each strip to `take`. In this thread, not through libvips' thread pool: that
// loses the error of a truncated picture once in a hundred times (8.14.1), and decoders work one row after another.
template <typename Take>
bool decode_strips(VipsImage* image, PixelLayout layout, Take take) {
  const VipsLibrary& v = vips();
  const VipsRegionPtr region(v.vips_region_new(image));
  if (!region) return false;
  const int width = v.vips_image_get_width(image);
  const int height = v.vips_image_get_height(image);
  for (int top = 0; top < height; top += kStripRows) {
    const VipsRect area{0, top, width, std::min(kStripRows, height - top)};
    if (v.vips_region_prepare(region.get(), &area) != 0) return false;
    take(strip_of(*region, area, layout));
  }
  return true;
}

struct SrgbSink {
  const Destination& destination;
  int rows = 0;
};

// libvips calls this with full-width strips, in order, from one thread at a time.
int take_srgb(VipsRegion* region, VipsRect* area, void* to) {
  SrgbSink& sink = *static_cast<SrgbSink*>(to);
  place(strip_of(*region, *area, sink.destination.layout), sink.destination);
  sink.rows += area->height;
  return 0;
}

// What pixels are converted from.
struct Source {
  std::vector<std::byte> profile;
  bool rgb;  // the profile is one of RGB, whatever the picture is
};

// The first that can be used counts; none: the samples are sRGB. Copies, because decoding replaces the image's
// metadata.
std::vector<Source> sources_of(VipsImage* image, PixelLayout layout, const ColourStatement& colours) {
  std::vector<Source> sources;
  const std::span<const std::byte> embedded = blob_of(image, VIPS_META_ICC_NAME);
  if (!embedded.empty() && !colours.before_profile) {
    if (is_srgb(embedded)) return {};
    if (!colours.space || is_usable(embedded)) sources.push_back({{embedded.begin(), embedded.end()}, false});
  }
  // Inks have no primaries.
  if (colours.space && layout.model != PixelLayout::Model::cmyk && !is_srgb(*colours.space)) {
    sources.push_back({profile_of(*colours.space), true});
  }
  return sources;
}

// Three times the same samples, without alpha: through a profile of grey Little CMS interpolates between 33 points of a
// curve (2.14), by which linear samples come out wrong by up to 7 of 255, and of RGB it keeps the curve.
VipsImagePtr grey_as_rgb(VipsImage* grey) {
  const VipsLibrary& v = vips();
  VipsImage* next = nullptr;
  v.vips_extract_band(grey, &next, 0, kVipsEnd);
  const VipsImagePtr band(next);
  if (!band) return nullptr;
  std::array<VipsImage*, 3> bands{band.get(), band.get(), band.get()};
  next = nullptr;
  v.vips_bandjoin(bands.data(), &next, int{bands.size()}, kVipsEnd);
  return VipsImagePtr(next);
}

// Converts decoded pixels on all cores. False: the profile is broken, or for another kind of picture.
bool place_through_profile(std::span<const std::byte> pixels, VipsImage* stored, const Source& source,
                           const Destination& destination) {
  const VipsLibrary& v = vips();
  const int height = v.vips_image_get_height(stored);
  VipsImagePtr raw(v.vips_image_new_from_memory(pixels.data(), pixels.size(), v.vips_image_get_width(stored), height,
                                                v.vips_image_get_bands(stored), v.vips_image_get_format(stored)));
  VipsInterpretation interpretation = v.vips_image_get_interpretation(stored);
  if (raw && source.rgb && destination.layout.model == PixelLayout::Model::grey) {
    raw = grey_as_rgb(raw.get());
    interpretation = destination.layout.sample_bytes == 1 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_RGB16;
  }
  if (!raw) return false;
  VipsImage* next = nullptr;
  v.vips_copy(raw.get(), &next, "interpretation", interpretation, kVipsEnd);
  const VipsImagePtr image(next);
  if (!image) return false;
  v.vips_image_set_blob_copy(image.get(), VIPS_META_ICC_NAME, source.profile.data(), source.profile.size());
  next = nullptr;
  v.vips_icc_transform(image.get(), &next, "srgb", "embedded", TRUE, "intent", VIPS_INTENT_RELATIVE,
                       "black_point_compensation", TRUE, "depth", 8, kVipsEnd);
  const VipsImagePtr srgb(next);
  if (!srgb) return false;
  Destination to = destination;
  to.layout = PixelLayout{PixelLayout::Model::rgb, v.vips_image_get_bands(srgb.get()), 1};
  SrgbSink sink{to};
  return v.vips_sink_disc(srgb.get(), take_srgb, &sink) == 0 && sink.rows == height;
}

}  // namespace

Decoder::Decoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

Decoder Decoder::from_file(const std::filesystem::path& path, const Limits& limits) {
  return from_bytes(read_picture_file(path, limits.max_file_bytes).bytes, path.string(), limits);
}

Decoder Decoder::from_bytes(std::vector<std::byte> bytes, std::string name, const Limits& limits) {
  auto state = std::make_unique<State>();
  state->name = std::move(name);
  state->bytes = std::move(bytes);
  if (state->bytes.empty()) cannot_read(state->name, "it is empty");
  if (state->bytes.size() > limits.max_file_bytes) {
    cannot_read(state->name, fmt::format("it is larger than {} bytes, the most that is read", limits.max_file_bytes));
  }
  const auto format = format_from_content(state->bytes);
  if (!format) {
    cannot_read(state->name, fmt::format("it is {}, not a picture that can be read; readable are {}",
                                         describe_unsupported(state->bytes), supported_formats()));
  }
  if (const std::string raw = describe_camera_raw(state->bytes); !raw.empty()) {
    cannot_read(state->name, fmt::format("it is {}; develop it to TIFF or JPEG first", raw));
  }

  const VipsLock lock;
  if (*format == Format::avif || *format == Format::heic) load_heif_plugin();
  state->stored = open(*format, state->bytes);
  if (!state->stored) cannot_read(state->name, fmt::format("damaged {}: {}", image::name(*format), take_error()));
  VipsImage* image = state->stored.get();
  state->layout = layout_of(state->name, image);
  check_size(state->name, image, limits);
  const VipsLibrary& v = vips();
  state->upright.emplace(v.vips_image_get_orientation(image), v.vips_image_get_width(image),
                         v.vips_image_get_height(image));
  state->metadata = metadata_of(image);
  state->colours = colour_statement(*format, state->bytes, blob_of(image, VIPS_META_EXIF_NAME));
  if (const ColourStatement& colours = state->colours; !colours.refusal.empty()) {
    const std::span<const std::byte> embedded = blob_of(image, VIPS_META_ICC_NAME);
    if (colours.before_profile || embedded.empty() || !is_usable(embedded)) cannot_read(state->name, colours.refusal);
  }
  state->pictures = count_pictures(*format, state->bytes, v.vips_image_get_n_pages(image));
  return Decoder(std::move(state));
}

int Decoder::width() const {
  return state_->upright->width();
}

int Decoder::height() const {
  return state_->upright->height();
}

int Decoder::pictures() const {
  return state_->pictures;
}

const Metadata& Decoder::metadata() const {
  return state_->metadata;
}

void Decoder::read(std::span<std::byte> rgb) {
  State& s = *state_;
  if (rgb.size() != std::size_t(width()) * std::size_t(height()) * 3 || !s.stored) {
    throw Error::format(ErrorCode::failure, "Decoder::read of {}: {} bytes for {}x{} pixels, or read before",
                        printable_line(s.name), rgb.size(), width(), height());
  }
  const VipsLock lock;
  const VipsImagePtr stored = std::move(s.stored);
  Destination destination{*s.upright, s.layout, reinterpret_cast<std::uint8_t*>(rgb.data()), std::nullopt};
  const bool gif = format_from_content(s.bytes) == Format::gif;
  if (gif && s.layout.bands == 4) destination.hidden = gif_hidden_colour(s.bytes);
  const auto check = [&](bool decoded) {
    if (!decoded) cannot_read(s.name, fmt::format("damaged picture: {}", take_error()));
  };

  const std::vector<Source> sources = sources_of(stored.get(), s.layout, s.colours);
  if (sources.empty()) {
    check(decode_strips(stored.get(), s.layout, [&](const Strip& strip) { place(strip, destination); }));
    return;
  }
  const int stored_width = vips().vips_image_get_width(stored.get());
  const int stored_height = vips().vips_image_get_height(stored.get());
  const std::ptrdiff_t line = stored_width * s.layout.pixel_bytes();
  std::vector<std::byte> pixels(static_cast<std::size_t>(line) * static_cast<std::size_t>(stored_height));
  check(decode_strips(stored.get(), s.layout, [&](const Strip& strip) {
    for (int y = 0; y < strip.height; ++y) {
      std::copy_n(strip.from + y * strip.line, line, pixels.data() + (strip.top + y) * line);
    }
  }));
  for (const Source& source : sources) {
    if (place_through_profile(pixels, stored.get(), source, destination)) return;
    vips().vips_error_clear();
  }
  place({pixels.data(), line, 0, stored_width, stored_height}, destination);
}

}  // namespace step1x::image
