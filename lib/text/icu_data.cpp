// An ICU data library with nothing in it. What this program asks of ICU (properties of characters, NFC, regular
// expressions) is compiled into ICU's code; the 31 MB of libicudata.a are locales, converters and break rules.
// The layout is that of a data package: a header (unicode/udata.h, UDataInfo) and a table of contents with no entry.
#include <unicode/uversion.h>

#include <cstdint>

#include <unicode/udata.h>

namespace {

struct EmptyPackage {
  std::uint16_t header_size;
  std::uint8_t magic1;
  std::uint8_t magic2;
  UDataInfo info;
  std::uint32_t padding[2];
  std::uint32_t entries;
};

}  // namespace

// ICU looks for this name: icudt<major>_dat.
#define STEP1X_ICU_DATA_NAME(major) STEP1X_ICU_DATA_NAME_(major)
#define STEP1X_ICU_DATA_NAME_(major) icudt##major##_dat

extern "C" {
extern const EmptyPackage STEP1X_ICU_DATA_NAME(U_ICU_VERSION_MAJOR_NUM);
alignas(16) const EmptyPackage STEP1X_ICU_DATA_NAME(U_ICU_VERSION_MAJOR_NUM) = {
    .header_size = 32,
    .magic1 = 0xda,
    .magic2 = 0x27,
    .info = {.size = sizeof(UDataInfo),
             .reservedWord = 0,
             .isBigEndian = U_IS_BIG_ENDIAN,
             .charsetFamily = U_CHARSET_FAMILY,
             .sizeofUChar = U_SIZEOF_UCHAR,
             .reservedByte = 0,
             .dataFormat = {'C', 'm', 'n', 'D'},
             .formatVersion = {1, 0, 0, 0},
             .dataVersion = {0, 0, 0, 0}},
    .padding = {},
    .entries = 0,
};
}
