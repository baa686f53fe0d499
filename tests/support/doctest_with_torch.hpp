// doctest for files that include libtorch: its logging has macros of the same names, which abort instead of counting.
// Included last.
#pragma once

#include <c10/util/Logging.h>

#undef CHECK
#undef CHECK_EQ
#undef CHECK_NE
#undef CHECK_GT
#undef CHECK_GE
#undef CHECK_LT
#undef CHECK_LE
#include <doctest/doctest.h>
