#include "image/provenance.hpp"

#include <fmt/format.h>

#include <string_view>

#include "base/version.hpp"

namespace step1x::image {
namespace {

// What XML 1.0 has no way to write; the last two are no characters.
bool is_forbidden(std::string_view character) {
  const bool control = character.size() == 1 && static_cast<unsigned char>(character[0]) < 0x20;
  return (control && character != "\t" && character != "\n") || character == "\xEF\xBF\xBE" ||
         character == "\xEF\xBF\xBF";
}

std::string_view written(std::string_view character) {
  if (character == "&") return "&amp;";
  if (character == "<") return "&lt;";
  if (character == ">") return "&gt;";
  // A reader would make a line feed of it.
  if (character == "\r") return "&#13;";
  return is_forbidden(character) ? "\xEF\xBF\xBD" : character;
}

std::string in_xml(std::string_view text) {
  constexpr std::size_t kMost = 28'000;
  std::string result;
  while (!text.empty()) {
    std::size_t size = 1;
    while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) ++size;
    const std::string_view next = written(text.substr(0, size));
    if (result.size() + next.size() > kMost) break;
    result += next;
    text.remove_prefix(size);
  }
  return result;
}

std::string element(std::string_view name, std::string_view text) {
  return fmt::format("   <{0}>{1}</{0}>\n", name, in_xml(text));
}

}  // namespace

std::string xmp_packet(const Provenance& provenance) {
  std::string about = element("xmp:CreatorTool", fmt::format("step1x {} ({})", kVersion, kBuildId));
  about += element("Iptc4xmpExt:DigitalSourceType",
                   fmt::format("http://cv.iptc.org/newscodes/digitalsourcetype/{}",
                               provenance.edited ? "compositeWithTrainedAlgorithmicMedia" : "trainedAlgorithmicMedia"));
  about += element("Iptc4xmpExt:AISystemUsed", provenance.model);
  for (const auto& [name, value] : provenance.parameters.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.empty()) continue;
    about += element(name == "prompt" ? "Iptc4xmpExt:AIPromptInformation" : "step1x:" + name, text);
  }
  return fmt::format(
      "<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
      "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n"
      " <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
      "  <rdf:Description rdf:about=\"\"\n"
      "    xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n"
      "    xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n"
      "    xmlns:step1x=\"urn:step1x:edit:1\">\n"
      "{}"
      "  </rdf:Description>\n"
      " </rdf:RDF>\n"
      "</x:xmpmeta>\n"
      "<?xpacket end=\"w\"?>",
      about);
}

Metadata result_metadata(const MetadataChoice& choice, const Metadata& of_input, const Provenance& provenance) {
  Metadata result = of_input;
  if (!choice.exif) result.exif = {};
  result.xmp = choice.provenance ? xmp_packet(provenance) : "";
  return result;
}

}  // namespace step1x::image
