// Pictures that must be refused: one line that names the picture and says why, quickly, and never a crash or a hang.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <fcntl.h>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "image/fixtures.hpp"
#include "image/input_file.hpp"
#include "support/temp_dir.hpp"

using namespace step1x;
using namespace step1x::image;
using namespace step1x::test;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

bool contains(const std::string& text, std::string_view part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

std::string big_endian(std::uint32_t value) {
  return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
}

std::string png_chunk(const std::string& kind, const std::string& data) {
  const std::string body = kind + data;
  const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(body.data()), uInt(body.size()));
  return big_endian(std::uint32_t(data.size())) + body + big_endian(std::uint32_t(crc));
}

// A PNG that declares a size and brings no pixels to speak of.
std::vector<std::byte> png_bomb(std::uint32_t width, std::uint32_t height, char depth, char colour) {
  const std::string header = big_endian(width) + big_endian(height) + std::string{depth, colour, 0, 0, 0};
  const std::string nothing("\x78\x9c\x63\x00\x00\x00\x01\x00\x01", 9);
  return bytes_of("\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + png_chunk("IDAT", nothing) + png_chunk("IEND", ""));
}

void put16le(std::vector<std::byte>& bytes, std::size_t at, unsigned value) {
  bytes.at(at) = std::byte(value & 255);
  bytes.at(at + 1) = std::byte(value >> 8);
}

// libvips reserves memory for the whole of a WebP when it reads the header, without touching it; the address sanitizer
// does touch an eighth of that.
#ifdef __SANITIZE_ADDRESS__
constexpr long kMostKib = 256 * 1024;
#else
constexpr long kMostKib = 64 * 1024;
#endif

long peak_rss_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// What is written to descriptor 2 while it lives.
class StderrCapture {
 public:
  explicit StderrCapture(const TempDir& dir) : file_(dir.path() / "stderr"), saved_(::dup(2)) {
    const UniqueFd to(::open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ::dup2(to.get(), 2);
  }
  ~StderrCapture() { ::dup2(saved_.get(), 2); }
  std::string text() const { return read_file(file_); }

 private:
  std::filesystem::path file_;
  UniqueFd saved_;
};

}  // namespace

TEST_CASE("each format cut short anywhere is an error, never a picture") {
  for (const std::string name : {"rgb.png", "interlaced.png", "rgb.jpg", "progressive.jpg", "rgb.tif", "lossless.webp",
                                 "lossy.webp", "palette.gif", "rgb.avif", "rgb.heic"}) {
    const std::vector<std::byte> whole = fixture_bytes(name);
    // What may be missing without a pixel missing: PNG's IEND chunk, and marks that end a stream.
    const std::size_t optional = name.ends_with("png")   ? 12 + 4
                                 : name.ends_with("jpg") ? 2
                                 : name.ends_with("tif") ? 0
                                                         : 2;
    const std::size_t step = std::max<std::size_t>(1, whole.size() / 40);
    for (std::size_t size = 1; size + optional < whole.size(); size += step) {
      CAPTURE(name);
      CAPTURE(size);
      CHECK(!decode_error({whole.begin(), whole.begin() + std::ptrdiff_t(size)}).empty());
    }
  }
}

TEST_CASE("any byte changed gives a picture or one line, and nothing on stderr") {
  const TempDir dir;
  const StderrCapture captured(dir);
  for (const std::string name : {"rgb.png", "p3.png", "rgb.jpg", "exif-6.jpg", "rgb.tif", "palette.tif", "lossy.webp",
                                 "animated.webp", "animated.gif", "rgb.heic"}) {
    const std::vector<std::byte> whole = fixture_bytes(name);
    const std::size_t step = std::max<std::size_t>(1, whole.size() / 60);
    for (std::size_t at = 0; at < whole.size(); at += step) {
      CAPTURE(name);
      CAPTURE(at);
      std::vector<std::byte> changed = whole;
      changed[at] ^= std::byte{0xff};
      decode_error(changed);
    }
  }
  CHECK(captured.text() == "");
}

TEST_CASE("decoders in several threads each get their own reason") {
  const std::vector<std::byte> png = fixture_bytes("rgb.png");
  const std::vector<std::byte> jpeg = fixture_bytes("rgb.jpg");
  const auto reason = [](std::vector<std::byte> bytes) {
    bytes.resize(bytes.size() / 2);
    try {
      decode(Decoder::from_bytes(std::move(bytes), "it"));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string of_png = reason(png);
  const std::string of_jpeg = reason(jpeg);
  CHECK(of_png != of_jpeg);
  std::mutex mutex;
  std::set<std::string> seen;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 20; ++n) {
        const std::string text = (i % 2 == 0 ? "png: " : "jpeg: ") + reason(i % 2 == 0 ? png : jpeg);
        const std::lock_guard lock(mutex);
        seen.insert(text);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(seen == std::set<std::string>{"png: " + of_png, "jpeg: " + of_jpeg});
}

TEST_CASE("what is no picture is named") {
  CHECK(contains(decode_error({}), "it is empty"));
  CHECK(contains(decode_error(bytes_of("hello, world\n")), "it is text"));
  CHECK(contains(decode_error(bytes_of("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")),
                 "an SVG drawing"));
  CHECK(contains(decode_error(bytes_of("<?xml version='1.0'?>\n<svg/>")), "an SVG drawing"));
  CHECK(contains(decode_error(bytes_of("%PDF-1.4\n")), "a PDF document"));
  CHECK(
      contains(decode_error(bytes_of("#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n")), "a Radiance HDR picture"));
  CHECK(contains(decode_error(bytes_of("\x76\x2f\x31\x01 rest")), "an OpenEXR picture"));
  CHECK(contains(decode_error(bytes_of("P6 1 1 255 abc")), "a Netpbm picture"));
  CHECK(contains(decode_error(bytes_of(std::string("\0\0\0\x18"
                                                   "ftypisom",
                                                   12))),
                 "a film"));
  CHECK(contains(decode_error(bytes_of(std::string("\1\2\3\4", 4))), "of an unknown kind"));
  CHECK(contains(decode_error(bytes_of("x")), "readable are PNG, JPEG, WebP, TIFF, GIF, AVIF, HEIC"));
}

TEST_CASE("float and wide integer samples are refused by name") {
  CHECK(contains(file_error(fixture("float.tif")), "float"));
  CHECK(contains(file_error(fixture("int32.tif")), "int"));
}

TEST_CASE("bombs are refused from their header, fast and small") {
  struct Bomb {
    std::string name;
    std::vector<std::byte> bytes;
  };
  std::vector<Bomb> bombs;
  for (const std::uint32_t side : {30'001U, 100'000U, 1'000'000U, 0x7fffffffU, 0xffffffffU}) {
    bombs.push_back({"png " + std::to_string(side), png_bomb(side, side, 8, 2)});
    bombs.push_back({"png wide " + std::to_string(side), png_bomb(side, 1, 8, 0)});
  }
  bombs.push_back({"png 64 million and more", png_bomb(8001, 8000, 8, 2)});
  bombs.push_back({"png 16-bit grey", png_bomb(30'000, 30'000, 16, 0)});
  bombs.push_back({"png 16-bit", png_bomb(30'000, 30'000, 16, 6)});
  bombs.push_back({"png one bit", png_bomb(30'000, 30'000, 1, 0)});
  bombs.push_back({"png no pixels", png_bomb(0, 5, 8, 2)});

  std::vector<std::byte> gif = fixture_bytes("palette.gif");
  // The logical screen, and the first frame, which follows the palette.
  const std::size_t frame_at = 13 + (std::size_t{3} << ((unsigned(gif[10]) & 7) + 1));
  REQUIRE(gif[frame_at] == std::byte{0x2c});
  for (const std::size_t at : {std::size_t{6}, std::size_t{8}, frame_at + 5, frame_at + 7}) put16le(gif, at, 65535);
  bombs.push_back({"gif screen", gif});
  std::vector<std::byte> jpeg = fixture_bytes("rgb.jpg");
  const std::string_view start_of_frame("\xff\xc0", 2);
  const auto frame = std::search(jpeg.begin(), jpeg.end(), std::as_bytes(std::span(start_of_frame)).begin(),
                                 std::as_bytes(std::span(start_of_frame)).end());
  REQUIRE(frame != jpeg.end());
  std::fill_n(frame + 5, 4, std::byte{0xfe});
  bombs.push_back({"jpeg", jpeg});
  std::vector<std::byte> webp = fixture_bytes("lossy.webp");
  const std::string_view vp8("\x9d\x01\x2a", 3);
  const auto size =
      std::search(webp.begin(), webp.end(), std::as_bytes(std::span(vp8)).begin(), std::as_bytes(std::span(vp8)).end());
  REQUIRE(size != webp.end());
  std::fill_n(size + 3, 4, std::byte{0x3f});
  bombs.push_back({"webp", webp});
  std::vector<std::byte> tiff = fixture_bytes("rgb.tif");
  bool patched = false;
  for (std::size_t at = 8; at + 12 <= tiff.size(); ++at) {
    // ImageWidth (0x0100) and ImageLength (0x0101), of type SHORT or LONG, one value.
    const auto value = [&](std::size_t i) { return unsigned(tiff[at + i]); };
    if ((value(0) == 0 || value(0) == 1) && value(1) == 1 && (value(2) == 3 || value(2) == 4) && value(4) == 1) {
      put16le(tiff, at + 8, 60'000);
      patched = true;
    }
  }
  REQUIRE(patched);
  bombs.push_back({"tiff", tiff});

  for (const std::string name : {"rgb.avif", "rgb.heic"}) {
    std::vector<std::byte> heif = fixture_bytes(name);
    const auto extent = bytes_of("ispe");
    auto at = std::search(heif.begin(), heif.end(), extent.begin(), extent.end());
    REQUIRE(at != heif.end());
    std::fill_n(at + 8, 8, std::byte{0x7f});
    bombs.push_back({name, heif});
  }
  // Both unpack to 100 MB of zeros, in chunks that are not pixels.
  std::string packed(200'000, '\0');
  uLongf packed_size = packed.size();
  const std::string zeros(100'000'000, '\0');
  REQUIRE(::compress(reinterpret_cast<Bytef*>(packed.data()), &packed_size,
                     reinterpret_cast<const Bytef*>(zeros.data()), zeros.size()) == Z_OK);
  packed.resize(packed_size);
  for (const std::string kind : {"zTXt", "iCCP"}) {
    std::vector<std::byte> png = png_bomb(30'001, 30'001, 8, 2);
    const std::vector<std::byte> chunk = bytes_of(png_chunk(kind, std::string("name\0\0", 6) + packed));
    png.insert(png.begin() + 33, chunk.begin(), chunk.end());
    bombs.push_back({"png " + kind, png});
  }

  // libvips and its plug-in are loaded now.
  decode_error(fixture_bytes("rgb.png"));
  decode_error(fixture_bytes("rgb.heic"));
  for (const Bomb& bomb : bombs) {
    CAPTURE(bomb.name);
    const long before = peak_rss_kib();
    const auto start = std::chrono::steady_clock::now();
    CHECK(!decode_error(bomb.bytes).empty());
    const auto took = std::chrono::steady_clock::now() - start;
    CHECK(took < std::chrono::seconds(1));
    CHECK(peak_rss_kib() - before < kMostKib);
  }
}

TEST_CASE("limits are checked before decoding, 16-bit and alpha counted") {
  Limits limits;
  limits.max_pixels = 11;
  CHECK(contains(file_error(fixture("rgb.png"), limits), "4x3 pixels"));
  limits = {};
  limits.max_side = 3;
  CHECK(contains(file_error(fixture("rgb.png"), limits), "at most 3 on a side"));
  limits.max_side = 4;
  CHECK(file_error(fixture("rgb.png"), limits).empty());
  limits.max_pixels = 12;
  CHECK(file_error(fixture("rgb.png"), limits).empty());
  limits = {};
  limits.max_decoded_bytes = 4 * 3 * 3;
  CHECK(file_error(fixture("rgb.png"), limits).empty());
  CHECK(contains(file_error(fixture("rgba.png"), limits), "need 48 bytes"));
  CHECK(contains(file_error(fixture("rgb16.png"), limits), "need 72 bytes"));
  limits = {};
  limits.max_file_bytes = 100;
  CHECK(contains(file_error(fixture("rgb.png"), limits), "larger than 100 bytes"));
  CHECK(contains(decode_error(fixture_bytes("rgb.png"), limits), "larger than 100 bytes"));
}

TEST_CASE("what is no regular file is refused without waiting") {
  const TempDir dir;
  const auto fifo = dir.path() / "fifo.png";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(contains(file_error(fifo), "not a regular file"));
  CHECK(contains(file_error("/dev/zero"), "not a regular file"));
  CHECK(contains(file_error(dir.path()), "is a directory"));
  CHECK(contains(file_error(dir.path() / "missing.png"), "No such file or directory"));
  CHECK(contains(file_error(dir.write("empty.png", "")), "it is empty"));
  if (::geteuid() != 0) {
    const auto secret = dir.write("secret.png", "x");
    std::filesystem::permissions(secret, std::filesystem::perms::none);
    CHECK(contains(file_error(secret), "Permission denied"));
  }
}

TEST_CASE("a huge file of another kind is refused without reading it") {
  const TempDir dir;
  const auto file = dir.write("film.mkv", "\x1a\x45\xdf\xa3");
  std::filesystem::resize_file(file, std::uintmax_t{900} << 20);
  const long before = peak_rss_kib();
  CHECK(contains(file_error(file), "a film"));
  CHECK(peak_rss_kib() - before < kMostKib);
}

TEST_CASE("control characters in names and messages do not reach the terminal") {
  try {
    Decoder::from_bytes({}, "a\nb\x1b[31m.png");
    FAIL("decoded");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "cannot read a; b?[31m.png: it is empty");
  }
}

TEST_CASE("a stream is read to its end, and no further than the limit") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  UniqueFd out(ends[0]);
  const std::string sent(3'000'000, 'x');
  std::thread writer([fd = UniqueFd(ends[1]), &sent] {
    std::size_t done = 0;
    while (done < sent.size()) {
      const ssize_t n = ::write(fd.get(), sent.data() + done, sent.size() - done);
      if (n <= 0) break;
      done += std::size_t(n);
    }
  });
  const std::vector<std::byte> got = read_stream(out.get(), "standard input", sent.size());
  writer.join();
  CHECK(got == bytes_of(sent));

  const UniqueFd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK_THROWS_WITH_AS(read_stream(zeros.get(), "standard input", 5'000'000),
                       "cannot read standard input: it is larger than 5000000 bytes, the most that is read", Error);
  CHECK_THROWS_AS(read_stream(-1, "standard input", 100), Error);
}
