#include "model/text_positions.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace step1x {

namespace {

// The first token of the picture: what follows the first vision-start token, if that is a picture's. The prompt may
// name special tokens too, which stay text.
std::ptrdiff_t find_picture(const std::vector<std::int64_t>& ids, const TextEncoderConfig& config) {
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    if (ids[i] == config.vision_start_token && ids[i + 1] == config.image_token) {
      return std::ranges::find(ids, config.image_token) - ids.begin();
    }
  }
  return std::ssize(ids);
}

}  // namespace

TextPositions text_positions(const EncodedPrompt& prompt, PatchGrid grid, const TextEncoderConfig& config) {
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < prompt.ids.size(); ++i) {
    if (prompt.attended[i] != 0) ids.push_back(prompt.ids[i]);
  }
  const std::int64_t rows = grid.rows / config.vision.merge_size;
  const std::int64_t columns = grid.columns / config.vision.merge_size;
  const auto count = std::ssize(ids);
  const std::int64_t picture = find_picture(ids, config);
  const bool has_picture = picture < count;
  const std::int64_t end = has_picture ? picture + rows * columns : picture;
  const auto tokens = std::ranges::count(ids, config.image_token);
  if (tokens != (has_picture ? rows * columns : 0) || end > count) {
    throw Error::format(ErrorCode::failure, "the prompt has {} picture tokens and the picture's grid is {}x{}", tokens,
                        rows, columns);
  }

  TextPositions counted;
  const auto add = [&](std::int64_t time, std::int64_t row, std::int64_t column) {
    counted[0].push_back(time);
    counted[1].push_back(row);
    counted[2].push_back(column);
  };
  for (std::int64_t i = 0; i < picture; ++i) add(i, i, i);
  for (std::int64_t i = 0; i < end - picture; ++i) add(picture, picture + i / columns, picture + i % columns);
  const std::int64_t next = has_picture ? picture + std::max(rows, columns) : picture;
  for (std::int64_t i = end; i < count; ++i) add(next + i - end, next + i - end, next + i - end);

  TextPositions result;
  for (std::size_t axis = 0; axis < result.size(); ++axis) {
    auto from = counted[axis].begin();
    for (const std::uint8_t attended : prompt.attended) result[axis].push_back(attended != 0 ? *from++ : 1);
  }
  return result;
}

Rotation text_rotation(const TextPositions& positions, const TextEncoderConfig& config, at::Device device) {
  std::array<RotationPart, 3> parts;
  std::int64_t first = 0;
  for (std::size_t axis = 0; axis < parts.size(); ++axis) {
    parts[axis] = {positions[axis], first, config.rope_sections[axis]};
    first += config.rope_sections[axis];
  }
  return make_rotation(parts, config.rope_theta, config.head_dim(), device);
}

}  // namespace step1x
