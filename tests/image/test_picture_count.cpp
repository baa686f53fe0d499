// How many pictures a file holds.
#include <doctest/doctest.h>

#include "image/fixtures.hpp"
#include "image/made_files.hpp"
#include "image/picture_count.hpp"

using namespace step1x;
using namespace step1x::image;
using namespace step1x::test;

namespace {

int pictures_in(FileBytes file) {
  return Decoder::from_bytes(std::move(file), "it").pictures();
}

// An APNG of `frames` frames that says it has `announced`; its first picture may be none of them.
FileBytes animated_png(std::uint32_t announced, int frames, bool first_is_frame) {
  FileBytes png = fixture_bytes("rgb.png");
  const auto frame = [](FileBytes to, int number) {
    return png_with(to, "fcTL", be(std::uint64_t(number), 4) + std::string(22, '\1'));
  };
  if (first_is_frame) png = frame(png, 0);
  png = png_with(png, "acTL", be(announced, 4) + be(0, 4));
  // Behind the pixels, before the end.
  const FileBytes end(png.end() - 12, png.end());
  png.resize(png.size() - 12);
  for (int i = first_is_frame ? 1 : 0; i < frames; ++i) {
    const FileBytes made = frame(FileBytes(33), i);
    png.insert(png.end(), made.begin() + 33, made.end());
  }
  append(png, end);
  return png;
}

std::string track(const char* handler, std::uint32_t samples) {
  const std::string kind = be(0, 8) + handler + std::string(13, '\0');
  const std::string sizes = be(0, 4) + be(1, 4) + be(samples, 4);
  return box("trak", box("mdia", box("hdlr", kind) + box("minf", box("stbl", box("stsz", sizes)))));
}

}  // namespace

TEST_CASE("a file with one picture has one") {
  for (const char* one :
       {"rgb.png", "rgb.jpg", "rgb.tif", "lossy.webp", "palette.gif", "rgb.avif", "rgb.heic", "alpha-thumbnail.heic"}) {
    CAPTURE(one);
    CHECK(Decoder::from_file(fixture(one)).pictures() == 1);
  }
}

TEST_CASE("pages, frames and the pictures of a HEIC are counted") {
  for (const char* two : {"two-pages.tif", "animated.webp", "animated.gif", "two-pictures.heic"}) {
    CAPTURE(two);
    CHECK(Decoder::from_file(fixture(two)).pictures() == 2);
  }
}

TEST_CASE("thumbnails, levels of a pyramid and masks are no pages") {
  for (const bool big : {true, false}) {
    TiffMaker tiff(true, big);
    std::uint64_t next = 0;
    for (const std::uint64_t kind : {1, 4, 2, 5, 0}) {
      auto page = tiff.picture(8, 1, 2, 3);
      page.push_back(TiffMaker::number(254, kind));
      next = tiff.directory(page, next);
    }
    CHECK(pictures_in(tiff.finish(tiff.directory(tiff.picture(16, 1, 2, 3), next))) == 3);
  }
}

TEST_CASE("directories that follow each other in a ring are counted once, in no time") {
  TiffMaker tiff;
  const std::uint64_t first = tiff.directory(tiff.picture(8, 1, 2, 3));
  FileBytes ring = tiff.finish(first);
  for (std::size_t i = 0; i < 4; ++i) ring[ring.size() - 4 + i] = std::byte(first >> (8 * i));
  const int pages = count_pictures(Format::tiff, ring, 1);
  CHECK(pages >= 1);
  CHECK(pages <= int(ring.size() / 18));
}

TEST_CASE("an APNG has the frames that it announces and holds, and its picture") {
  CHECK(pictures_in(animated_png(3, 3, true)) == 3);
  CHECK(pictures_in(animated_png(3, 3, false)) == 4);
  CHECK(pictures_in(animated_png(0x7FFF'FFFF, 2, true)) == 2);
  CHECK(pictures_in(animated_png(0, 2, true)) == 1);
}

TEST_CASE("a sequence of AVIF or HEIC has as many pictures as the track that shows them") {
  FileBytes avif = fixture_bytes("rgb.avif");
  append(avif, bytes_from(box("moov", track("soun", 99) + track("pict", 12) + track("auxv", 40))));
  CHECK(pictures_in(avif) == 12);
  FileBytes lying = fixture_bytes("rgb.avif");
  append(lying, bytes_from(box("moov", track("pict", 0xFFFF'FFFF))));
  CHECK(pictures_in(lying) == int(lying.size()));
}
