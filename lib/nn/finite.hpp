// Whether a computation has gone wrong for good: NaN and infinity spread until a picture is black. Pure; any thread.
#pragma once

#include "nn/aten.hpp"

namespace step1x {

// No NaN and no infinity in it. One reduction; on a GPU it waits for what was asked for before.
bool all_finite(const at::Tensor& x);

}  // namespace step1x
