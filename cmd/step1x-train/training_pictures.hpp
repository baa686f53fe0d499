// The pictures that are learnt from: drawings, and pieces of the photographs in a folder, in any number. Const after
// construction; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "demo/random.hpp"
#include "nn/aten.hpp"

namespace step1x::train {

class Pictures {
 public:
  // Draws `drawings` pictures and reads every picture in `photographs` but those that results are judged by.
  // Error(usage) when there is none.
  Pictures(const std::filesystem::path& photographs, std::size_t drawings, std::uint64_t seed);

  // Random pieces, mirrored and recoloured here and there. -> (count, 3, height, width), float32 in [0, 1]
  at::Tensor pieces(std::size_t count, std::int64_t height, std::int64_t width, demo::Random& random) const;

 private:
  at::Tensor piece(std::int64_t height, std::int64_t width, demo::Random& random) const;

  std::vector<at::Tensor> drawings_;     // (3, kDrawingSide, kDrawingSide), uint8
  std::vector<at::Tensor> photographs_;  // (3, height, width), uint8, several sizes of each
};

}  // namespace step1x::train
