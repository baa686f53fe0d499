// What the engine finds in the module, see model_module.hpp.
#include "engine/model_runner.hpp"

extern "C" step1x::engine::Runner* step1x_make_runner() {
  return new step1x::engine::ModelRunner;
}
