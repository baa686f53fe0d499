#include "image/format.hpp"

#include <algorithm>
#include <cctype>
#include <climits>

#include "base/error.hpp"
#include "base/utf8.hpp"

namespace step1x::image {
namespace {

using namespace std::string_view_literals;

struct Extension {
  std::string_view text;
  Format format;
};

constexpr std::array kExtensions{
    Extension{".png", Format::png},   Extension{".jpg", Format::jpeg},  Extension{".jpeg", Format::jpeg},
    Extension{".jpe", Format::jpeg},  Extension{".jfif", Format::jpeg}, Extension{".webp", Format::webp},
    Extension{".tif", Format::tiff},  Extension{".tiff", Format::tiff}, Extension{".gif", Format::gif},
    Extension{".avif", Format::avif}, Extension{".heic", Format::heic}, Extension{".heif", Format::heic},
    Extension{".hif", Format::heic},
};

struct Magic {
  std::size_t offset;
  std::string_view bytes;
  Format format;
};

constexpr std::array kMagic{
    Magic{0, "\x89PNG\r\n\x1a\n"sv, Format::png},
    Magic{0, "\xff\xd8\xff"sv, Format::jpeg},
    Magic{8, "WEBP"sv, Format::webp},
    Magic{0, "II*\0"sv, Format::tiff},
    Magic{0, "MM\0*"sv, Format::tiff},
    Magic{0, "II+\0"sv, Format::tiff},
    Magic{0, "MM\0+"sv, Format::tiff},
    Magic{0, "GIF87a"sv, Format::gif},
    Magic{0, "GIF89a"sv, Format::gif},
    Magic{4, "ftypavif"sv, Format::avif},
    Magic{4, "ftypavis"sv, Format::avif},
    Magic{4, "ftyphei"sv, Format::heic},
    Magic{4, "ftyphev"sv, Format::heic},
    Magic{4, "ftypmif1"sv, Format::heic},
    Magic{4, "ftypmsf1"sv, Format::heic},
};

struct Known {
  std::size_t offset;
  std::string_view bytes;
  std::string_view what;
};

// What people do put on the command line by mistake, most of which libvips could be made to open.
constexpr std::array kKnown{
    Known{0, "%PDF"sv, "a PDF document"},
    Known{0, "8BPS"sv, "a Photoshop document"},
    Known{0, "BM"sv, "a BMP picture"},
    Known{0, "#?RADIANCE"sv, "a Radiance HDR picture"},
    Known{0, "#?RGBE"sv, "a Radiance HDR picture"},
    Known{0, "\x76\x2f\x31\x01"sv, "an OpenEXR picture"},
    Known{0, "\xff\x0a"sv, "a JPEG XL picture"},
    Known{4, "JXL \r\n"sv, "a JPEG XL picture"},
    Known{4, "jP  \r\n"sv, "a JPEG 2000 picture"},
    Known{0, "\xff\x4f\xff\x51"sv, "a JPEG 2000 picture"},
    Known{0, "qoif"sv, "a QOI picture"},
    Known{0, "\0\0\1\0"sv, "an icon"},
    Known{4, "ftypcrx "sv, "a camera's raw file (CR3)"},
    Known{0, "FUJIFILMCCD-RAW"sv, "a camera's raw file (RAF)"},
    Known{0, "IIRO"sv, "a camera's raw file (ORF)"},
    Known{0, "IIRS"sv, "a camera's raw file (ORF)"},
    Known{0, "MMOR"sv, "a camera's raw file (ORF)"},
    Known{0, "IIU\0"sv, "a camera's raw file (RW2)"},
    Known{0, "FOVb"sv, "a camera's raw file (X3F)"},
    Known{0, "\0MRM"sv, "a camera's raw file (MRW)"},
    Known{4, "ftyp"sv, "a film"},
    Known{8, "AVI "sv, "a film"},
    Known{0, "\x1a\x45\xdf\xa3"sv, "a film"},
    Known{0, "PK\3\4"sv, "a ZIP archive"},
    Known{0, "\x1f\x8b"sv, "compressed with gzip"},
    Known{0,
          "\x7f"
          "ELF"sv,
          "a program"},
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kSniffedBytes)};
}

bool has(std::string_view text, std::size_t offset, std::string_view part) {
  return text.size() >= offset && text.substr(offset).starts_with(part);
}

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u >= 0x80 || std::isprint(u) != 0 || std::isspace(u) != 0;
  });
}

}  // namespace

std::string_view name(Format format) {
  switch (format) {
    case Format::png:
      return "PNG";
    case Format::jpeg:
      return "JPEG";
    case Format::webp:
      return "WebP";
    case Format::tiff:
      return "TIFF";
    case Format::gif:
      return "GIF";
    case Format::avif:
      return "AVIF";
    case Format::heic:
      return "HEIC";
  }
  return "";
}

std::string supported_formats() {
  std::string list;
  for (const Format format : kFormats) {
    if (!list.empty()) list += ", ";
    list += name(format);
  }
  return list;
}

std::optional<Format> format_from_extension(const std::filesystem::path& path) {
  const std::string extension = lower_ascii(path.extension().string());
  for (const Extension& known : kExtensions) {
    if (extension == known.text) return known.format;
  }
  return std::nullopt;
}

Format result_format(std::optional<Format> input) {
  return input && *input != Format::gif && *input != Format::heic ? *input : Format::png;
}

std::optional<int> default_quality(Format format) {
  switch (format) {
    case Format::jpeg:
    case Format::webp:
      return 95;
    case Format::avif:
    case Format::heic:
      return 85;
    case Format::png:
    case Format::tiff:
    case Format::gif:
      return std::nullopt;
  }
  return std::nullopt;
}

void check_sides(Format format, int width, int height) {
  // WebP has 14 bits for a side; libjpeg keeps to 65,500. The others hold whatever is taken for a picture here.
  const int most = format == Format::webp ? 16'383 : format == Format::jpeg ? 65'500 : INT_MAX;
  if (std::max(width, height) <= most) return;
  throw Error::format(ErrorCode::usage,
                      "a {} picture has at most {} pixels a side, and this one is {}x{}: choose another format",
                      name(format), most, width, height);
}

std::optional<Format> format_from_content(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  for (const Magic& magic : kMagic) {
    if (has(text, magic.offset, magic.bytes)) return magic.format;
  }
  return std::nullopt;
}

std::string describe_unsupported(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  for (const Known& known : kKnown) {
    if (has(text, known.offset, known.bytes)) return std::string(known.what);
  }
  if (text.size() > 1 && text[0] == 'P' && text[1] >= '1' && text[1] <= '7') return "a Netpbm picture";
  if (printable(text)) return text.find("<svg") != std::string_view::npos ? "an SVG drawing" : "text";
  return "of an unknown kind";
}

}  // namespace step1x::image
