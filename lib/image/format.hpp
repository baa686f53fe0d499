// The picture formats that are read and written, told by content when reading and by file name when writing.
// Pure functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace step1x::image {

enum class Format { png, jpeg, webp, tiff, gif, avif, heic };

inline constexpr std::array kFormats{Format::png, Format::jpeg, Format::webp, Format::tiff,
                                     Format::gif, Format::avif, Format::heic};

// "PNG", "JPEG"...
std::string_view name(Format format);
// "PNG, JPEG, WebP, TIFF, GIF, AVIF, HEIC", for error messages.
std::string supported_formats();

// By the extension, in any case: "jpg", "jpeg", "jpe" and "jfif", "tif" and "tiff", "heic", "heif" and "hif", ...
std::optional<Format> format_from_extension(const std::filesystem::path& path);

// What a picture of format `input` becomes when it has been edited and is to stay what it was: its own format where
// results are usually of it, PNG where they are not (GIF has 256 colours, HEIC few programs read) or where it has none.
Format result_format(std::optional<Format> input);

// From 1 to 100; none for a format that loses nothing, or nothing that could be chosen. High, because results are
// edited again.
std::optional<int> default_quality(Format format);

// Throws Error(usage) where no picture of the format has such sides.
void check_sides(Format format, int width, int height);

// How many first bytes format_from_content() wants; fewer are judged by what there is.
inline constexpr std::size_t kSniffedBytes = 512;
std::optional<Format> format_from_content(std::span<const std::byte> bytes);
// What the bytes are when they are no supported picture: "a PDF document", "text", "of an unknown kind".
std::string describe_unsupported(std::span<const std::byte> bytes);

}  // namespace step1x::image
