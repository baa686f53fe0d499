// Cameras' raw files, which begin like a TIFF with a preview that must not be taken for the picture.
#include <doctest/doctest.h>

#include <random>

#include "image/camera_raw.hpp"
#include "image/fixtures.hpp"
#include "image/made_files.hpp"

using namespace step1x;
using namespace step1x::image;
using namespace step1x::test;

namespace {

using Fields = std::vector<TiffMaker::Field>;

constexpr std::uint64_t kColourFilterArray = 32803;

Fields with(Fields fields, const Fields& more) {
  for (const TiffMaker::Field& field : more) {
    std::erase_if(fields, [&](const TiffMaker::Field& old) { return old.tag == field.tag; });
    fields.push_back(field);
  }
  return fields;
}

// A small picture in the first directory, a larger one below it.
FileBytes preview_first(const Fields& of_preview, const Fields& of_picture, bool little = true, bool big = false) {
  TiffMaker tiff(little, big);
  const std::uint64_t below = tiff.directory(with(tiff.picture(32, 30, 200, 30), of_picture));
  const Fields preview = with(tiff.picture(8, 200, 30, 30), {TiffMaker::number(330, below)});
  return tiff.finish(tiff.directory(with(preview, of_preview)));
}

void check_refused(const FileBytes& file, std::string_view what) {
  const std::string error = decode_error(file);
  CAPTURE(error);
  CHECK(error.find(what) != std::string::npos);
  CHECK(error.find("develop it to TIFF or JPEG first") != std::string::npos);
}

}  // namespace

TEST_CASE("a raw file is refused by its kind, in either byte order, as BigTIFF too") {
  for (const bool little : {true, false}) {
    for (const bool big : {true, false}) {
      CAPTURE(little);
      CAPTURE(big);
      const auto reduced = TiffMaker::number(254, 1);
      const TiffMaker::Field sensor{262, 3, {kColourFilterArray}};
      check_refused(preview_first({{50706, 1, {1, 4, 0, 0}}}, {}, little, big), "a camera's raw file (DNG)");
      check_refused(preview_first({TiffMaker::text(271, "NIKON CORPORATION")}, {sensor}, little, big),
                    "raw file (NEF)");
      check_refused(preview_first({TiffMaker::text(271, "SONY"), reduced}, {}, little, big), "raw file (ARW)");
      check_refused(preview_first({TiffMaker::text(271, "Nobody")}, {sensor}, little, big), "a camera's raw file;");
      check_refused(preview_first({{262, 3, {34892}}}, {}, little, big), "a camera's raw file;");
    }
  }
}

TEST_CASE("a TIFF that begins with a preview is refused, however it is told") {
  constexpr std::string_view kWhat = "a TIFF that begins with a small preview";
  check_refused(preview_first({}, {}), kWhat);  // by the larger picture below it
  check_refused(preview_first({TiffMaker::number(254, 1)}, {TiffMaker::number(256, 4)}), kWhat);
  check_refused(preview_first({{255, 3, {2}}}, {TiffMaker::number(256, 4)}), kWhat);
  TiffMaker pages;
  const std::uint64_t second = pages.directory(pages.picture(32, 1, 2, 3));
  check_refused(pages.finish(pages.directory(with(pages.picture(8, 4, 5, 6), {TiffMaker::number(254, 1)}), second)),
                kWhat);
}

TEST_CASE("a CR2 is told by its mark, and not by pixels that begin like it") {
  TiffMaker tiff;
  const FileBytes file = tiff.finish(tiff.directory(tiff.picture(8, 'C', 'R', 2)));
  REQUIRE(file[8] == std::byte{'C'});
  CHECK(decode_error(file).empty());
  FileBytes cr2 = file;
  cr2[11] = std::byte{0};
  check_refused(cr2, "a camera's raw file (CR2)");
}

TEST_CASE("a TIFF whose first directory is the picture is read, whatever follows it") {
  const auto first_pixel = [](const FileBytes& file) { return decode(Decoder::from_bytes(file, "it")).at(0, 0, 0); };
  CHECK(first_pixel(fixture_bytes("two-pages.tif")) == 200);
  for (const bool big : {true, false}) {
    CAPTURE(big);
    TiffMaker below(true, big);
    const std::uint64_t level = below.directory(with(below.picture(8, 1, 2, 3), {TiffMaker::number(254, 1)}));
    const Fields top = with(below.picture(16, 77, 2, 3), {TiffMaker::number(330, level), TiffMaker::text(271, "SONY")});
    CHECK(first_pixel(below.finish(below.directory(top))) == 77);

    TiffMaker chained(true, big);
    const std::uint64_t next = chained.directory(with(chained.picture(8, 1, 2, 3), {TiffMaker::number(254, 1)}));
    CHECK(first_pixel(chained.finish(chained.directory(chained.picture(16, 78, 2, 3), next))) == 78);
  }
}

TEST_CASE("raw files that are no TIFFs are named too") {
  const auto named = [](std::string_view begin, std::string_view what) {
    CHECK(decode_error(bytes_from(begin)).find(what) != std::string::npos);
  };
  named({"\0\0\0\x18"
         "ftypcrx ",
         12},
        "a camera's raw file (CR3)");
  named("FUJIFILMCCD-RAW 0201", "a camera's raw file (RAF)");
  named({"IIU\0\x18\0\0\0", 8}, "a camera's raw file (RW2)");
}

TEST_CASE("whatever the bytes of a TIFF are, its directories are read within them") {
  std::mt19937 random(1);
  for (const bool big : {true, false}) {
    const FileBytes whole =
        preview_first({TiffMaker::text(271, "NIKON CORPORATION")}, {TiffMaker::number(254, 0)}, big, big);
    for (std::size_t size = 0; size <= whole.size(); ++size) {
      FileBytes cut(whole.begin(), whole.begin() + std::ptrdiff_t(size));
      cut.shrink_to_fit();
      describe_camera_raw(cut);
    }
    for (int i = 0; i < 20'000; ++i) {
      FileBytes bad = whole;
      // Most of the file is pixels, and what is read stands at its beginning and end.
      bad[random() % 16] = std::byte(random());
      for (int n = 0; n < 3; ++n) bad[bad.size() - 1 - random() % 400] = std::byte(random());
      describe_camera_raw(bad);
    }
  }
}
