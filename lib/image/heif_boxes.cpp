#include "image/heif_boxes.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "image/numbers.hpp"

namespace step1x::image {
namespace {

using Bytes = std::span<const std::byte>;

// Version and flags, which stand first in some kinds of boxes.
constexpr std::size_t kFull = 4;

constexpr std::uint32_t word(std::string_view text) {
  std::uint32_t value = 0;
  for (const char c : text) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

struct Box {
  std::uint64_t type = 0;
  Bytes content;
};

// The boxes that lie in `bytes`, up to the first that is not all there.
std::vector<Box> boxes_in(Bytes bytes) {
  std::vector<Box> boxes;
  while (bytes.size() >= 8) {
    std::size_t head = 8;
    std::uint64_t size = number_at(bytes, 0, 4);
    if (size == 1) {
      head = 16;
      size = number_at(bytes, 8, 8);
    } else if (size == 0) {
      size = bytes.size();  // to the end
    }
    if (size < head || size > bytes.size()) break;
    boxes.push_back({number_at(bytes, 4, 4), bytes.subspan(head, size - head)});
    bytes = bytes.subspan(size);
  }
  return boxes;
}

Bytes behind(Bytes bytes, std::size_t count) {
  return bytes.subspan(std::min(count, bytes.size()));
}

// The content of the first box with this name; nothing where there is none.
Bytes content_of(Bytes bytes, std::string_view name) {
  for (const Box& box : boxes_in(bytes)) {
    if (box.type == word(name)) return box.content;
  }
  return {};
}

std::optional<CodePoints> code_points(const Box& property) {
  if (property.type != word("colr") || number_at(property.content, 0, 4) != word("nclx")) return std::nullopt;
  // The coefficients of the matrix, and whether the range is full, are libheif's matter.
  constexpr std::size_t kSize = 4 + 3 * 2 + 1;
  if (property.content.size() < kSize) return std::nullopt;
  return CodePoints{static_cast<unsigned>(number_at(property.content, 4, 2)),
                    static_cast<unsigned>(number_at(property.content, 6, 2))};
}

// From 1 on, as the properties are counted in ipco.
std::vector<std::size_t> properties_of(Bytes ipma, std::uint64_t item) {
  const std::size_t item_bytes = number_at(ipma, 0, 1) < 1 ? 2 : 4;
  const bool wide = (number_at(ipma, 3, 1) & 1) != 0;
  const std::uint64_t count = number_at(ipma, kFull, 4);
  std::vector<std::size_t> found;
  std::size_t at = kFull + 4;
  for (std::uint64_t i = 0; i < count && at < ipma.size(); ++i) {
    const bool wanted = number_at(ipma, at, item_bytes) == item;
    at += item_bytes;
    const std::size_t associations = number_at(ipma, at, 1);
    ++at;
    for (std::size_t j = 0; j < associations; ++j, at += wide ? 2 : 1) {
      // The highest bit says that the property is essential.
      if (wanted) found.push_back(wide ? number_at(ipma, at, 2) & 0x7FFF : number_at(ipma, at, 1) & 0x7F);
    }
  }
  return found;
}

std::uint64_t primary_item(Bytes meta) {
  const Bytes pitm = content_of(meta, "pitm");
  return number_at(pitm, kFull, number_at(pitm, 0, 1) == 0 ? 2 : 4);
}

std::uint64_t samples(Bytes track) {
  const Bytes media = content_of(track, "mdia");
  const std::uint64_t handler = number_at(content_of(media, "hdlr"), kFull + 4, 4);
  if (handler != word("pict") && handler != word("vide")) return 0;
  const Bytes table = content_of(content_of(media, "minf"), "stbl");
  for (const std::string_view sizes : {"stsz", "stz2"}) {
    if (const Bytes content = content_of(table, sizes); !content.empty()) return number_at(content, kFull + 4, 4);
  }
  return 0;
}

}  // namespace

std::optional<CodePoints> heif_code_points(Bytes file) {
  const Bytes meta = behind(content_of(file, "meta"), kFull);
  const Bytes iprp = content_of(meta, "iprp");
  const std::vector<Box> properties = boxes_in(content_of(iprp, "ipco"));
  const std::uint64_t primary = primary_item(meta);
  for (const Box& box : boxes_in(iprp)) {
    if (box.type != word("ipma")) continue;
    for (const std::size_t number : properties_of(box.content, primary)) {
      if (number < 1 || number > properties.size()) continue;
      if (const auto found = code_points(properties[number - 1])) return found;
    }
  }
  for (const Box& property : properties) {
    if (const auto found = code_points(property)) return found;
  }
  return std::nullopt;
}

std::uint64_t heif_sequence_length(Bytes file) {
  std::uint64_t longest = 0;
  for (const Box& box : boxes_in(content_of(file, "moov"))) {
    // A sample takes a byte at least.
    if (box.type == word("trak"))
      longest = std::max(longest, std::min<std::uint64_t>(samples(box.content), file.size()));
  }
  return longest;
}

}  // namespace step1x::image
