#include "model_module.hpp"

#include <dlfcn.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/process.hpp"

namespace step1x::engine {

std::unique_ptr<Runner> load_model_runner() {
  const std::filesystem::path path = std::filesystem::path(program_directory()) / "step1x-model.so";
  if (!std::filesystem::exists(path)) {
    throw Error::format(
        ErrorCode::model_missing,
        "this step1x was built without libtorch ({} is missing): run scripts/libtorch and build it anew",
        path.string());
  }
  // Never closed: libtorch does not survive that.
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    throw Error::format(ErrorCode::model_missing,
                        "cannot load libtorch: {}; set STEP1X_TORCH_DIR to the folder that holds torch/ and nvidia/",
                        ::dlerror());
  }
  const auto make = reinterpret_cast<MakeRunner>(::dlsym(module, kMakeRunner));
  if (make == nullptr) throw Error::format(ErrorCode::model_missing, "{} is of another build", path.string());
  return std::unique_ptr<Runner>(make());
}

}  // namespace step1x::engine
