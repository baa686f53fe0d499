// How a picture was made, written into it as an XMP packet: in words that other programs look for where there are any
// (the AI properties of the IPTC Photo Metadata Standard 2025.1, and its DigitalSourceType), in our own namespace where
// there are none. Pure functions, any thread. Syntax: ISO 16684-1 (XMP), sections 7.3 and 7.4.
//
// There is no time in it: the same edit gives the same bytes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "image/metadata.hpp"

namespace step1x::image {

struct Provenance {
  bool edited = true;  // false: made from words alone
  std::string model;   // as its user calls it
  // As the worker was asked: prompt, negative_prompt, seed, size, steps, guidance, ... Strings are UTF-8.
  nlohmann::ordered_json parameters;
};

// At most 64,000 bytes, because JPEG has no room for more: of longer prompts the beginning.
std::string xmp_packet(const Provenance& provenance);

// What a user wants in the pictures that are made.
struct MetadataChoice {
  bool provenance = true;
  bool exif = true;  // the input's
};
Metadata result_metadata(const MetadataChoice& choice, const Metadata& of_input, const Provenance& provenance);

}  // namespace step1x::image
