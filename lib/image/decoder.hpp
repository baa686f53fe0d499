// Decoder is an opened picture whose header was read and checked against Limits; its pixels are decoded by read().
//
// Read are PNG, JPEG, WebP, TIFF, GIF, AVIF and HEIC, told by content, whatever the name says; of several pictures in
// one file the first (HEIC: the primary). Pixels come out as 8-bit sRGB: EXIF orientation is applied, alpha is dropped;
// see pixels.hpp for the rest. Float, HDR and other sample types than 8- and 16-bit integers are refused, and so are
// cameras' raw files (camera_raw.hpp).
//
// Colours are converted from what counts first: cICP of PNG, an embedded ICC profile (a broken one is ignored), then
// what else the file says of them (colour_statement.hpp). What says nothing is taken for sRGB. CMYK has only its
// profile.
//
// One thread at a time per Decoder. Several Decoders may be used by several threads, but they take turns; libvips
// itself uses several cores for one picture.
//
// Errors: Error(bad_image), one line with the name, what and why; Error(failure) when libvips itself is missing.
// A truncated or corrupt picture is an error, never a picture with grey rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "image/metadata.hpp"

namespace step1x::image {

struct Limits {
  std::uint64_t max_file_bytes = std::uint64_t{1} << 30;
  std::uint64_t max_pixels = 64'000'000;
  int max_side = 30'000;
  // Samples as stored, so that 16-bit counts double and alpha counts.
  std::uint64_t max_decoded_bytes = std::uint64_t{512} << 20;
};

class Decoder {
 public:
  static Decoder from_file(const std::filesystem::path& path, const Limits& limits = {});
  // `name` is what messages call it, "standard input" for example.
  static Decoder from_bytes(std::vector<std::byte> bytes, std::string name, const Limits& limits = {});

  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  // In pixels, upright.
  int width() const;
  int height() const;

  // How many pictures the file holds, the one that is decoded included: pages, frames, pictures of a HEIC. 1 as a rule;
  // what only accompanies a picture does not count (picture_count.hpp).
  int pictures() const;

  // For a picture that is made of this one; without XMP.
  const Metadata& metadata() const;

  // Decodes into exactly width * height * 3 bytes: R, G, B, rows from top to bottom, no padding. Once.
  void read(std::span<std::byte> rgb);

 private:
  struct State;
  explicit Decoder(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace step1x::image
