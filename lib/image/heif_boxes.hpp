// What stands in the boxes of an AVIF or HEIC file, by the boxes' own structure: words that look like a box are common
// in compressed pixels. Pure functions, any thread; any bytes may come in. What is damaged is as if it were missing.
//
// Layout: ISO/IEC 14496-12 (ISO base media file format), sections 4.2 (boxes), 8.4.3 (hdlr), 8.7.3 (stsz, stz2),
// 8.11.4 (pitm) and 12.1.5 (colr); ISO/IEC 23008-12 (HEIF), section 9.3 (iprp, ipco, ipma).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace step1x::image {

// Colour as code points of ITU-T H.273.
struct CodePoints {
  unsigned primaries = 2;  // 2: unspecified
  unsigned transfer = 2;
};

// From the "nclx" colour box of the primary item. Where that has none, from the first in the file: of a picture in
// tiles some writers say the colours of the tiles alone.
std::optional<CodePoints> heif_code_points(std::span<const std::byte> file);

// Pictures in the longest of the sequences in the file; 0: there are only single ones.
std::uint64_t heif_sequence_length(std::span<const std::byte> file);

}  // namespace step1x::image
