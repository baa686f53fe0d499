#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "support/mentions.hpp"
#include "support/temp_dir.hpp"
#include "weights/safetensors.hpp"
#include "weights/support.hpp"

using namespace step1x;
using step1x::test::mentions;
using step1x::test::safetensors_bytes;
using step1x::test::TempDir;

namespace {

// The message of the error that opening `bytes` as a file gives; empty when it opens.
std::string refusal(const std::string& bytes) {
  const TempDir dir;
  const auto path = dir.write("model.safetensors", bytes);
  try {
    const SafetensorsFile file(path);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::model_missing);
    const std::string message = error.what();
    CHECK(message.find(path.string()) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    return message;
  }
}

std::string refusal(std::string_view header, std::string_view data) {
  return refusal(safetensors_bytes(header, data));
}

constexpr std::string_view kGood =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
    R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"none":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}})";
const std::string kGoodData = "0123456789abcdef";

}  // namespace

TEST_CASE("a good file lists its tensors by offset and hands out their bytes") {
  const TempDir dir;
  const SafetensorsFile file(dir.write("m.safetensors", safetensors_bytes(kGood, kGoodData)));
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "a");
  CHECK(file.tensors()[1].name == "none");
  CHECK(file.tensors()[2].name == "b");
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.at("a").shape.empty());
  const TensorInfo& b = file.at("b");
  CHECK(b.dtype == Dtype::bf16);
  CHECK(b.shape == std::vector<std::int64_t>{2, 3});
  CHECK(b.offset == 8 + kGood.size() + 4);
  std::string bytes(b.bytes, '\0');
  file.read(b, std::as_writable_bytes(std::span(bytes)));
  CHECK(bytes == "456789abcdef");
  CHECK(file.find("c") == nullptr);
  CHECK_THROWS_WITH_AS(file.at("c"), doctest::Contains("tensor 'c' is missing"), Error);
  CHECK_THROWS_AS(file.read(b, std::as_writable_bytes(std::span(bytes).first(3))), Error);
}

TEST_CASE("a file without tensors is a good file") {
  CHECK(refusal("{}", "") == "");
}

TEST_CASE("spaces may pad the header's end") {
  CHECK(refusal(std::string(kGood) + "   \n", kGoodData) == "");
}

// The ten ways the reference reader refuses a file, by its own names.
TEST_CASE("HeaderTooSmall: fewer than 8 bytes") {
  CHECK(mentions(refusal(""), "0 bytes"));
  CHECK(mentions(refusal("1234567"), "7 bytes"));
}
TEST_CASE("HeaderTooLarge: a length over 100,000,000") {
  CHECK(mentions(refusal(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)), "100000001"));
  CHECK(mentions(refusal(std::string(8, '\xff') + "{}"), "18446744073709551615"));
}
TEST_CASE("InvalidHeaderLength: a header that does not fit in the file") {
  CHECK(mentions(refusal(std::string("<\0\0\0\0\0\0\0{}", 10)), "truncated"));
  // The largest allowed length is a matter of the file's size again.
  CHECK(mentions(refusal(std::string("\x00\xe1\xf5\x05\0\0\0\0{}", 10)), "truncated"));
}
TEST_CASE("InvalidHeader: not UTF-8") {
  CHECK(mentions(refusal("\xff", ""), "UTF-8"));
  CHECK(mentions(refusal("{\"\xed\xa0\x80\":{}}", ""), "byte 2"));
}
TEST_CASE("InvalidHeaderStart: no opening brace") {
  CHECK(mentions(refusal("", ""), "'{'"));
  CHECK(mentions(refusal("[]", ""), "'{'"));
  CHECK(mentions(refusal(" {}", ""), "'{'"));
  CHECK(mentions(refusal("\xef\xbb\xbf{}", ""), "'{'"));
}
TEST_CASE("InvalidHeaderDeserialization: not the JSON that is expected") {
  const auto with = [](std::string_view tensor) { return refusal(R"({"a":)" + std::string(tensor) + "}", "1234"); };
  CHECK(mentions(refusal("{", ""), "JSON"));
  CHECK(mentions(refusal("{}x", ""), "JSON"));
  CHECK(mentions(refusal(std::string("{}\0", 3), ""), "NUL"));
  CHECK(mentions(with("1"), "'a' is a number"));
  CHECK(mentions(with("[]"), "'a' is an array"));
  CHECK(mentions(with("null"), "'a' is null"));
  CHECK(mentions(with("{}"), "no 'dtype'"));
  CHECK(mentions(with(R"({"dtype":"F32","data_offsets":[0,4]})"), "no 'shape'"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[1]})"), "no 'data_offsets'"));
  CHECK(mentions(with(R"({"dtype":"F31","shape":[1],"data_offsets":[0,4]})"), "unknown dtype 'F31'"));
  CHECK(mentions(with(R"({"dtype":4,"shape":[1],"data_offsets":[0,4]})"), "'dtype' is a number"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})"), "'shape' is a number"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "negative"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), "64-bit unsigned"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[1],"data_offsets":[-0,4]})"), "negative"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[[1]],"data_offsets":[0,4]})"), "an array"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})"), "a string"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]})"), "64-bit unsigned"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})"), "3 numbers"));
  CHECK(mentions(with(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":)" + std::string(200, '[') +
                      std::string(200, ']') + "}"),
                 "nested"));
  CHECK(mentions(refusal(R"({"__metadata__":{"a":1}})", ""), "'__metadata__' 'a' is a number"));
  CHECK(mentions(refusal(R"({"__metadata__":"a"})", ""), "'__metadata__' is a string"));
}
TEST_CASE("MetadataIncompleteBuffer: the data and the file end apart") {
  CHECK(mentions(refusal(kGood, kGoodData + "x"), "bytes after the last tensor"));
  CHECK(mentions(refusal(kGood, kGoodData.substr(1)), "truncated"));
  CHECK(mentions(refusal("{}", "x"), "bytes after the last tensor"));
}
TEST_CASE("InvalidOffset: not at 0, a gap, an overlap, backwards") {
  const auto two = [](std::string_view first, std::string_view second) {
    return refusal(fmt::format(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":{}}},)"
                               R"("b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
                               first, second),
                   "12345678");
  };
  CHECK(two("[4,8]", "[0,4]") == "");
  CHECK(mentions(two("[1,5]", "[5,9]"), "tensor 'a' begins at 1"));
  CHECK(mentions(two("[0,4]", "[5,9]"), "tensor 'b' begins at 5 of the data where 4 was expected: there is a gap"));
  CHECK(mentions(two("[0,4]", "[3,7]"), "tensors overlap"));
  CHECK(mentions(two("[0,4]", "[0,4]"), "tensors overlap"));
  CHECK(mentions(two("[0,4]", "[8,4]"), "before its start"));
}
TEST_CASE("TensorInvalidInfo: shape and dtype disagree with the offsets") {
  CHECK(mentions(refusal(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,4]}})", "1234"),
                 "tensor 'a': shape [2, 2] of F32 needs 16 bytes and its offsets [0, 4] hold 4"));
  CHECK(mentions(refusal(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "1"), "whole byte"));
}
TEST_CASE("ValidationOverflow: sizes that do not fit in 64 bits") {
  CHECK(mentions(refusal(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", ""),
                 "overflow"));
  CHECK(
      mentions(refusal(R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", ""), "overflow"));
  CHECK(mentions(refusal(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,0]}})", ""),
                 "too large"));
}

TEST_CASE("a key that appears twice is refused, whichever it is") {
  constexpr std::string_view kOne = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  CHECK(mentions(refusal(fmt::format("{{{},{}}}", kOne, kOne), "1"), "duplicate key 'a'"));
  CHECK(mentions(refusal(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", "1"),
                 "duplicate key 'dtype'"));
  CHECK(mentions(refusal(R"({"__metadata__":{"x":"1","x":"2"}})", ""), "duplicate key 'x'"));
  // Written differently, the same key.
  CHECK(mentions(refusal(R"({"a":{"\u0064type":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", "1"),
                 "duplicate"));
}

TEST_CASE("a tensor's unknown fields are skipped, and cannot pass for known ones") {
  CHECK(
      refusal(R"({"a":{"dtype":"U8","x":{"shape":[9],"y":[[1.5,null,true,"z",-1]]},"shape":[1],"data_offsets":[0,1]}})",
              "1") == "");
}

TEST_CASE("every element type of the format has its size") {
  const std::vector<std::pair<std::string, int>> sizes = {
      {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
      {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
      {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};
  for (const auto& [name, size] : sizes) {
    CAPTURE(name);
    const std::string header = fmt::format(R"({{"a":{{"dtype":"{}","shape":[8],"data_offsets":[0,{}]}}}})", name, size);
    CHECK(refusal(header, std::string(size, 'x')) == "");
    CHECK(refusal(header, std::string(size + 1, 'x')) != "");
    CHECK(step1x::name(dtype_of(name).value()) == name);
  }
}

TEST_CASE("a file cut at any of 1,000 sizes is refused") {
  std::string header = "{";
  std::string data;
  for (int i = 0; i < 40; ++i) {
    header += fmt::format(R"({}"layer.{}.weight":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})", i ? "," : "",
                          i, i + 1, data.size(), data.size() + 4 * (i + 1));
    data += std::string(4 * (i + 1), 'x');
  }
  const std::string whole = safetensors_bytes(header + "}", data);
  REQUIRE(whole.size() > 1000);
  REQUIRE(refusal(whole) == "");
  for (std::size_t i = 0; i < 1000; ++i) CHECK(refusal(whole.substr(0, i * whole.size() / 1000)) != "");
}

TEST_CASE("a file that shrinks after it was opened gives an error, not zeros") {
  const TempDir dir;
  const auto path = dir.write("m.safetensors", safetensors_bytes(kGood, kGoodData));
  const SafetensorsFile file(path);
  std::filesystem::resize_file(path, file.file_bytes() - 1);
  const TensorInfo& b = file.at("b");
  std::string bytes(b.bytes, '\0');
  CHECK_THROWS_WITH_AS(file.read(b, std::as_writable_bytes(std::span(bytes))), doctest::Contains("tensor 'b'"), Error);
}

TEST_CASE("what is not a regular file is refused without waiting") {
  const TempDir dir;
  const auto fifo = dir.path() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(SafetensorsFile{fifo}, doctest::Contains("not a regular file"), Error);
  CHECK_THROWS_WITH_AS(SafetensorsFile{dir.path()}, doctest::Contains("not a regular file"), Error);
  CHECK_THROWS_WITH_AS(SafetensorsFile{dir.path() / "none"}, doctest::Contains("No such file"), Error);
}

TEST_CASE("hostile names stay on one line of the message") {
  const std::string message = refusal("{\"a\\nb\\u0007" + std::string(1000, 'x') + "\":1}", "");
  CHECK(mentions(message, "'a\\x0ab\\x07xxx"));
  CHECK(message.size() < 500);
}
