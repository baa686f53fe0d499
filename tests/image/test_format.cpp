#include <doctest/doctest.h>

#include "image/format.hpp"
#include "image/messages.hpp"

using namespace step1x::image;

TEST_CASE("the extension decides the format, in any case") {
  CHECK(format_from_extension("a.png") == Format::png);
  CHECK(format_from_extension("dir.png/a.JPG") == Format::jpeg);
  CHECK(format_from_extension("a.b.JpEg") == Format::jpeg);
  CHECK(format_from_extension("a.tif") == Format::tiff);
  CHECK(format_from_extension("a.heif") == Format::heic);
  CHECK(format_from_extension("a.avif") == Format::avif);
  for (const char* none : {"", "a", "png", ".png", "a.", "a.bmp", "a.png.gz", "a.png "}) {
    CAPTURE(none);
    CHECK(!format_from_extension(none));
  }
  CHECK(supported_formats() == "PNG, JPEG, WebP, TIFF, GIF, AVIF, HEIC");
}

TEST_CASE("text from outside becomes one printable line, each line once") {
  CHECK(printable_line("a\nb\n") == "a; b");
  CHECK(printable_line("a\na\n\nb") == "a; b");
  CHECK(printable_line("\x1b[31mred\r\x7f") == "?[31mred??");
  CHECK(printable_line("größe") == "größe");
  CHECK(printable_line("").empty());
}
