#include "picture_input.hpp"

#include <unistd.h>

#include "image/input_file.hpp"
#include "ipc/picture.hpp"

namespace step1x::cli {

image::Limits limits_of(const config::Settings& settings) {
  image::Limits limits;
  limits.max_file_bytes = static_cast<std::uint64_t>(settings.max_file_bytes);
  limits.max_pixels = static_cast<std::uint64_t>(settings.max_pixels);
  limits.max_side = static_cast<int>(settings.max_side);
  return limits;
}

InputPicture read_picture(const std::string& input, const config::Settings& settings) {
  const image::Limits limits = limits_of(settings);
  constexpr const char* kStandardInput = "standard input";
  std::optional<image::Format> format;
  const auto open = [&] {
    if (input != "-") return image::Decoder::from_file(input, limits);
    std::vector<std::byte> bytes = image::read_stream(STDIN_FILENO, kStandardInput, limits.max_file_bytes);
    format = image::format_from_content(bytes);
    return image::Decoder::from_bytes(std::move(bytes), kStandardInput, limits);
  };
  image::Decoder decoder = open();
  ipc::PictureWriter picture(decoder.width(), decoder.height());
  decoder.read(picture.pixels());
  return {input, picture.seal(), decoder.width(), decoder.height(), decoder.metadata(), decoder.pictures(), format};
}

std::string further_pictures(const std::string& name, int pictures) {
  return fmt::format(
      "{} holds {} pictures (pages or frames): the first is edited, and the others are not in the result", name,
      pictures);
}

}  // namespace step1x::cli
