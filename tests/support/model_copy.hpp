// A model's folder of links to another one, in which single files are replaced.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "support/temp_dir.hpp"
#include "weights/checkpoint.hpp"

namespace step1x::test {

class ModelCopy {
 public:
  explicit ModelCopy(const std::filesystem::path& model) : model_(model) {
    namespace fs = std::filesystem;
    for (const fs::directory_entry& each : fs::recursive_directory_iterator(fs::absolute(model))) {
      const fs::path here = path() / fs::relative(each.path(), fs::absolute(model));
      if (each.is_directory()) {
        fs::create_directory(here);
      } else {
        fs::create_symlink(each.path(), here);
      }
    }
  }

  const std::filesystem::path& path() const { return dir_.path(); }
  std::string original(const std::string& file) const { return read_file(model_ / file); }

  void replace(const std::string& file, const std::string& content) const {
    std::filesystem::remove(path() / file);
    dir_.write(file, content);
  }
  void restore(const std::string& file) const { replace(file, original(file)); }

  // Fills the first row of a tensor with one byte: 0xff is NaN in each of the types that weights have, 0x7f nearly the
  // largest number of those with an exponent of eight bits.
  void spoil(const std::string& file, const std::string& tensor, unsigned char byte) const {
    const Checkpoint checkpoint(model_ / file);
    const TensorInfo& found = *checkpoint.at(tensor).tensor;
    std::string content = original(file);
    const std::size_t rows = found.shape.size() > 1 ? static_cast<std::size_t>(found.shape[0]) : 1;
    content.replace(found.offset, found.bytes / rows, found.bytes / rows, static_cast<char>(byte));
    replace(file, content);
  }

 private:
  std::filesystem::path model_;
  TempDir dir_;
};

}  // namespace step1x::test
