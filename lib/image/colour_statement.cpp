#include "image/colour_statement.hpp"

#include <cmath>
#include <cstdint>

#include "image/exif.hpp"
#include "image/heif_boxes.hpp"
#include "image/numbers.hpp"
#include "image/png_reader.hpp"

namespace step1x::image {
namespace {

using Bytes = std::span<const std::byte>;

// In numbers of 1/100,000, as in cHRM.
Chromaticity chromaticity(Bytes data, std::size_t at) {
  constexpr double kUnit = 100'000;
  return {double(number_at(data, at, 4)) / kUnit, double(number_at(data, at + 4, 4)) / kUnit};
}

// The chunks that count, each the first of its kind; empty: there is none.
struct PngColours {
  Bytes cicp, srgb, gamma, primaries;
};

PngColours colours_of_png(Bytes file) {
  constexpr std::size_t kCicpSize = 4, kSrgbSize = 1, kGammaSize = 4, kPrimariesSize = 32;
  PngColours found;
  const auto take = [](const PngChunk& chunk, std::size_t size, Bytes& into) {
    if (into.empty() && chunk.data.size() == size && chunk.intact()) into = chunk.data;
  };
  PngReader reader(file);
  // All of them stand before the pixels.
  for (auto chunk = reader.next(); chunk && chunk->type != "IDAT"; chunk = reader.next()) {
    if (chunk->type == "cICP") take(*chunk, kCicpSize, found.cicp);
    if (chunk->type == "sRGB") take(*chunk, kSrgbSize, found.srgb);
    if (chunk->type == "gAMA") take(*chunk, kGammaSize, found.gamma);
    if (chunk->type == "cHRM") take(*chunk, kPrimariesSize, found.primaries);
  }
  return found;
}

ColourStatement statement_of_cicp(Bytes cicp) {
  ColourStatement statement = statement_of(unsigned(number_at(cicp, 0, 1)), unsigned(number_at(cicp, 1, 1)));
  statement.before_profile = statement.says_something();
  if (number_at(cicp, 3, 1) == 0 && statement.refusal.empty()) {
    statement.refusal = "its samples do not use their full range (cICP); convert it to full range first";
    statement.before_profile = true;
  }
  return statement;
}

ColourStatement statement_of_png(Bytes file) {
  const PngColours png = colours_of_png(file);
  // Samples of a PNG are RGB or grey; any other matrix than 0 is no cICP.
  if (!png.cicp.empty() && number_at(png.cicp, 2, 1) == 0) {
    if (ColourStatement statement = statement_of_cicp(png.cicp); statement.says_something()) return statement;
  }
  ColourStatement statement;
  if (!png.srgb.empty()) {
    statement.space.emplace();
    return statement;
  }
  // Of gammas outside of these no picture is made; some writers put a 0.
  constexpr double kLeastGamma = 0.1, kMostGamma = 10;
  constexpr double kUnit = 100'000;
  const double encoding = double(number_at(png.gamma, 0, 4)) / kUnit;
  if (encoding >= 1 / kMostGamma && encoding <= 1 / kLeastGamma) statement.space.emplace().gamma = 1 / encoding;
  if (!png.primaries.empty()) {
    const Primaries p{chromaticity(png.primaries, 8), chromaticity(png.primaries, 16), chromaticity(png.primaries, 24),
                      chromaticity(png.primaries, 0)};
    if (is_sound(p)) {
      if (!statement.space) statement.space.emplace();
      statement.space->primaries = p;
    }
  }
  // The gamma that comes nearest to the curve of sRGB; writers round it.
  constexpr double kNearSrgb = 0.45455, kTolerance = 0.015;
  if (std::abs(encoding / kNearSrgb - 1) <= kTolerance && is_srgb({statement.space->primaries, std::nullopt})) {
    statement.space->gamma.reset();
  }
  return statement;
}

ColourStatement statement_of_exif(Bytes block) {
  ColourStatement statement;
  if (exif_says_adobe_rgb(block)) statement.space = kAdobeRgb;
  return statement;
}

}  // namespace

ColourStatement colour_statement(Format format, Bytes file, Bytes exif) {
  switch (format) {
    case Format::png:
      return statement_of_png(file);
    case Format::avif:
    case Format::heic:
      if (const auto code = heif_code_points(file)) {
        if (ColourStatement statement = statement_of(code->primaries, code->transfer); statement.says_something())
          return statement;
      }
      return statement_of_exif(exif);
    case Format::tiff:
      return statement_of_exif(file);
    case Format::jpeg:
    case Format::webp:
      return statement_of_exif(exif);
    case Format::gif:
      break;
  }
  return {};
}

}  // namespace step1x::image
