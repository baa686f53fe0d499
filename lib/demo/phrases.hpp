// Wordings of the edits: a grammar to train with, and others, which it never makes, to judge by. Pure but for the
// Random; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "demo/edits.hpp"
#include "demo/random.hpp"

namespace step1x::demo {

// Edit::none: something that the model does not know, or nothing. A word is left out here and there.
std::string phrase(Edit edit, Random& random);

// Wordings that phrase() never makes.
std::span<const std::string_view> unseen_phrases(Edit edit);

}  // namespace step1x::demo
